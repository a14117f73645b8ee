#!/bin/sh
# What the tests of infra/ need beyond the Python and npm packages: ShellCheck, Compose, Prometheus with promtool, and a
# container engine with what makes a base image of Debian's packages. Debian and Ubuntu; run as root.
# Terraform 1.11 is in no Debian package: get it from its maker, or leave those tests to the workflow that has it.
set -eu
apt-get update -qq
# Nothing that is installed for a test starts as a service of this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  shellcheck docker-compose prometheus docker.io debootstrap ca-certificates
