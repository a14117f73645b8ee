# Everything a developer or an operator runs. `make help` lists it.
PYTHON := .venv/bin/python
ARGS ?=

.PHONY: help test services services-stop
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

test: ## the whole test suite on real services; ARGS="tests/billing -k fence" narrows it
	@$(PYTHON) -m loa_site.local test $(ARGS)

services: ## leave Postgres, Redis and the chain running for `test --reuse`
	@$(PYTHON) -m loa_site.local services --keep

services-stop: ## stop what `make services` left running
	@$(PYTHON) -m loa_site.local stop --name shared
