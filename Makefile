# Everything a developer or an operator runs. `make help` lists it.
# A fresh machine needs make and a Python of 3.11 or newer; the rest is installed into this folder.
PYTHON := .venv/bin/python
BOOTSTRAP ?= python3
ARGS ?=
ONCE ?=
ONLY ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo serve stop reset test attacks fuzz services services-stop lock contracts \
	check format lint types layers migrations openapi openapi-diff deploy dependencies docs terraform

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install what is locked into .venv and node_modules
	@$(BOOTSTRAP) bootstrap.py

demo: setup ## the whole product on this machine, and a client that pays for a call; ONCE=1 ends after the story
	@$(PYTHON) -m loa_site.local demo $(if $(filter-out 0,$(ONCE)),--once)

serve: setup ## the same without the story, on LOA_PORT (8402); writes .loa/run.json
	@$(PYTHON) -m loa_site.local serve

stop: ## end what `make serve` or `make demo` left running
	@$(PYTHON) -m loa_site.local stop

reset: setup ## remove all local data
	@$(PYTHON) -m loa_site.local reset

test: setup ## the whole test suite on real services; ARGS="tests/billing -k fence" narrows it
	@$(PYTHON) -m loa_site.local test $(ARGS)

attacks: setup ## the published attacks on x402, on real services; prints leakage, loss and wasted work
	@LOA_WAIT_SECONDS=8 $(PYTHON) -m loa_site.local test tests/attacks -m attacks $(ARGS)

fuzz: setup ## broken input at every parser and every documented operation; ARGS=--long for a million headers
	@LOA_WAIT_SECONDS=8 $(PYTHON) -m loa_site.local test tests/fuzz -m fuzz -s $(ARGS)

services: setup ## leave Postgres, Redis and the chain running for `test --reuse`
	@$(PYTHON) -m loa_site.local services --keep

services-stop: ## stop what `make services` left running
	@$(PYTHON) -m loa_site.local stop --name shared

check: format lint types layers migrations openapi-diff deploy dependencies terraform interop test ## everything CI does

format: setup
	@$(PYTHON) -m ruff format --check .

lint: setup
	@$(PYTHON) -m ruff check .

types: setup
	@$(PYTHON) -m mypy

layers: setup
	@.venv/bin/lint-imports

migrations: setup ## that every change of a model has its migration
	@DJANGO_SETTINGS_MODULE=loa_site.settings.test $(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

deploy: setup ## Django's deployment checks, with production settings
	@$(PYTHON) -m loa_site.local check-deploy

openapi: setup ## write docs/openapi.yaml anew
	@DJANGO_SETTINGS_MODULE=loa_site.settings.test $(PYTHON) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

openapi-diff: setup ## that docs/openapi.yaml is what the code says
	@DJANGO_SETTINGS_MODULE=loa_site.settings.test $(PYTHON) manage.py spectacular --validate --fail-on-warn | diff -u docs/openapi.yaml -

integration: setup ## what only a real Redis 7 can show (plan 13.3): Docker Compose, the machine's server, or the embedded one
	@infra/scripts/test-integration.sh $(ARGS)

load: setup ## payments at once (plan 13.4): throughput, percentiles, errors, conservation; ARGS="--provider system" as above
	@SUITE=load LOAD_ROUNDS=$(or $(ROUNDS),5) infra/scripts/test-integration.sh $(ARGS)

journeys: setup ## whole payments on servers in processes of their own, crashes included
	@$(PYTHON) -m loa_site.local test -m journey $(ARGS)

storm: setup ## everything goes wrong at once, by a seed: SEED=1, SECONDS=60, STORMS=1 in a row; ARGS=--json
	@$(PYTHON) -m tests.storm --seed $(or $(SEED),1) --seconds $(or $(SECONDS),60) --storms $(or $(STORMS),1) $(ARGS)

drill: setup ## backup, loss, restore and comparison with the chain; a lagging replica; a rolling deploy; long forms
	@DRILL_LONG=1 $(PYTHON) -m loa_site.local test tests/drill tests/deploy -q -s $(ARGS)

interop: setup ## published x402 clients pay a running site
	@$(PYTHON) -m tests.interop

browser: setup ## pages in a real Chromium
	@$(PYTHON) -m loa_site.local test tests/browser $(ARGS)

lighthouse: setup ## Lighthouse on the waitlist and the first page: 95 or more in all four
	@PATH="$(CURDIR)/.venv/bin:$$PATH" npm ci --prefix tests/browser/lighthouse --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(PYTHON) -m loa_site.local test tests/browser/test_lighthouse.py -q $(ARGS)

scale: setup ## more nodes on this machine, measured, and more machines, simulated; NODES=1,2,4, ARGS="--seconds 20"
	@$(PYTHON) -m tests.scale --nodes $(or $(NODES),1,2,4) $(ARGS)

pooler: setup ## parts of the test suite through PgBouncer in transaction mode; ARGS="tests/billing -x" names others
	@LOA_WAIT_SECONDS=8 $(PYTHON) -m tests.scale.pooled $(ARGS)

bench: setup ## our figures beside the peers'; ONLY=ledger or ONLY=x402 for one part
	@$(PYTHON) -m tests.bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

terraform: setup ## format, rules, wiring and a scan of infra/terraform; what cannot run here says why
	@$(PYTHON) -m tests.infra

image: setup ## build the container image and run it, non-root and read-only; a base of Debian's packages, no registry
	@LOA_WAIT_SECONDS=8 $(PYTHON) -m loa_site.local test tests/infra/test_image.py -m image $(ARGS)

docs: setup ## build the documents into .loa/docs, check every link, execute the examples marked as tests
	@DJANGO_SETTINGS_MODULE=loa_site.settings.test $(PYTHON) -W ignore::RuntimeWarning manage.py build_docs .loa/docs
	@$(PYTHON) -m loa_site.local test tests/docs -q $(ARGS)

dependencies: setup ## that imports and declared dependencies agree
	@$(PYTHON) -m deptry .

lock: setup ## resolve the requirements anew; nothing that was published within the last three weeks
	@UV_SYSTEM_CERTS=1 $(PYTHON) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--exclude-newer "3 weeks" --group local --group dev pyproject.toml -o requirements.lock

contracts: setup ## compile contracts/src
	@PATH="$(CURDIR)/.venv/bin:$$PATH" node contracts/build.mjs
