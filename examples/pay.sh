#!/bin/sh
# Pays for one call with curl: read the terms, sign one offer, send the request again with the signature.
set -eu
url="${BASE_URL:-http://127.0.0.1:8402}${URL_PATH:-/api/v1/x402/invoke}"
default='{"prompt": "Say hello", "max_tokens": 64}'
body=${BODY:-$default}
here=$(dirname "$0")

ask() {
  curl -s --max-time 75 -X POST "$url" -H 'Content-Type: application/json' -d "$body" "$@"
}

terms=$(ask -o /dev/null -D - | tr -d '\r' | sed -n 's/^[Pp][Aa][Yy][Mm][Ee][Nn][Tt]-[Rr][Ee][Qq][Uu][Ii][Rr][Ee][Dd]: //p')
payment=$(printf '%s' "$terms" | "${PYTHON:-python3}" "$here/sign.py")

# 503 means that this payment is still being settled: the same one is sent again, never another.
for attempt in 1 2 3 4 5 6; do
  status=$(ask -o answer.json -w '%{http_code}' -H "PAYMENT-SIGNATURE: $payment")
  [ "$status" = 503 ] || break
  sleep 5
done
cat answer.json
rm answer.json
[ "$status" = 200 ]
