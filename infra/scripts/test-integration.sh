#!/usr/bin/env bash
# The tests marked `integration`, on a real Redis 7: starts it, runs them, and always ends what it started.
# usage: infra/scripts/test-integration.sh [--provider auto|compose|testcontainers|system|embedded|given] [pytest arguments]
# auto: Docker Compose where a daemon answers, else the machine's redis-server 7, else the embedded server.
# Exit code: pytest's; 2 when the provider is not there. What an earlier run left behind is removed first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=${PYTHON:-.venv/bin/python}
compose_file=tests/docker-compose.test.yml
project=loa-test-integration
suite=${SUITE:-integration}
provider=auto

if [ "${1:-}" = "--provider" ]; then
  provider=${2:?a provider must be named}
  shift 2
fi

compose() {
  if docker compose version >/dev/null 2>&1; then
    docker compose --project-name "$project" --file "$compose_file" "$@"
  else
    docker-compose --project-name "$project" --file "$compose_file" "$@"
  fi
}

teardown() {
  compose down --volumes --remove-orphans --timeout 2 >/dev/null 2>&1 || true
}

run_tests() {
  "$python" -m tests.integration.redis_provider "$@" -- \
    "$python" -m loa_site.local test "tests/$suite" -m "$suite" -q "${arguments[@]}"
}

arguments=("$@")
if [ "$provider" = auto ] && [ -z "${TEST_REDIS_URL:-}" ] && docker info >/dev/null 2>&1; then
  provider=compose
fi

case $provider in
  compose)
    if ! docker info >/dev/null 2>&1; then
      echo "Docker does not answer; leave --provider out to use another Redis." >&2
      exit 2
    fi
    TEST_REDIS_PORT=${TEST_REDIS_PORT:-$("$python" -c 'from loa_site.local import ports; print(ports.free_port())')}
    export TEST_REDIS_PORT
    trap teardown EXIT INT TERM
    teardown
    compose up --detach --wait redis
    export TEST_REDIS_URL="redis://127.0.0.1:$TEST_REDIS_PORT/0" TEST_REDIS_PROVIDER=compose
    run_tests --provider given
    ;;
  auto) run_tests ;;
  *) run_tests --provider "$provider" ;;
esac
