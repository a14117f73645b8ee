"""The headers of x402 for `django-cors-headers`, so that wallets in browsers of other origins can pay.

from corsheaders.defaults import default_headers
from x402 import cors

CORS_ALLOW_HEADERS = [*default_headers, *cors.ALLOW_HEADERS]
CORS_EXPOSE_HEADERS = cors.EXPOSE_HEADERS
"""

from typing import Final

ALLOW_HEADERS: Final = (
    "access-control-expose-headers",  # the published TypeScript clients send it with the request
    "idempotency-key",
    "loa-quote-token",
    "payment-signature",
    "sign-in-with-x",
    "traceparent",
    "x-payment",
)
EXPOSE_HEADERS: Final = (
    "loa-payment-id",
    "payment-required",
    "payment-response",
    "retry-after",
    "www-authenticate",
    "x-correlation-id",
    "x-payment-response",
)
