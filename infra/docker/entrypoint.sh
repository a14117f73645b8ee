#!/bin/sh
# What a container runs: web (the default), settlement, worker, beat, migrate, or any other command as it is.
set -eu
mkdir -p "${PROMETHEUS_MULTIPROC_DIR:-/run/loa/metrics}"
case "${1:-web}" in
  web)
    exec python -m granian --interface wsgi --host 0.0.0.0 --port "${LOA_PORT:-8402}" --no-ws --http 1 \
      --workers "${WEB_WORKERS:-2}" --blocking-threads "${WEB_THREADS:-352}" --backpressure 704 \
      --workers-kill-timeout 30 loa_site.wsgi:application
    ;;
  settlement) exec python -m celery -A loa_site.celery worker -Q settlement -c 1 -n "settlement@%h" --without-mingle ;;
  worker) exec python -m celery -A loa_site.celery worker -Q default -c 2 -n "default@%h" --without-mingle ;;
  beat) exec python -m celery -A loa_site.celery beat --schedule /tmp/beat-schedule --pidfile "" ;;
  migrate) LOA_DATABASE_ROLE=owner exec python manage.py migrate --noinput ;;
  *) exec "$@" ;;
esac
