#!/bin/sh
# What the browser tests need beyond the Python and npm packages: a Chromium, and fonts so that pages have letters.
# Debian and Ubuntu; run as root. Elsewhere, point CHROMIUM_PATH at a Chromium or Chrome you have.
set -eu
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core fonts-liberation
