# Two commands are enough: `make up` to run the bench, `make test` to prove it.
.DEFAULT_GOAL := help
.PHONY: help install install-dev up services services-down test check lint types imports fix bench migrate clean

VENV := .venv
PY := $(VENV)/bin/python
DIR ?= .services
# Where the bench's own files are, for make's callers from elsewhere.
export PYTHONPATH := $(CURDIR)

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

install: ## Make .venv and install what the bench needs to run
	@./install.sh requirements.txt

install-dev:
	@./install.sh requirements-dev.txt

up: install ## Install where needed and start the bench with a demo fleet
	@exec $(PY) -m testbench up --demo $(ARGS)

services: install ## Real servers from Debian's packages, privately below DIR (.services)
	@$(PY) -m testbench services up --dir $(DIR)

services-down: ## Stop them
	@$(PY) -m testbench services down --dir $(DIR)

test: install-dev ## All tests, on the real servers
	$(PY) -m pytest -n 2 --dist loadfile -m "not bench" $(ARGS)

check: lint types imports ## Lint, types, and who may import whom

lint: install-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: install-dev
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pyright

imports: install-dev
	$(VENV)/bin/lint-imports

fix: install-dev ## Format, and mend what the linter can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: install-dev ## The figures: medians and ratios, one after the other
	$(PY) -m pytest tests/bench -m bench -n 0 -s $(ARGS)

migrate: install-dev ## The next migration: make migrate m="what changes"
	@test -n "$(m)" || { echo 'Say what changes: make migrate m="…"'; exit 2; }
	$(PY) -m testbench migrate "$(m)"

clean: ## Forget builds and caches; data in .testbench stays
	rm -rf .web .frontend .pytest_cache .ruff_cache .hypothesis .import_linter_cache reflex.lock
