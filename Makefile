# One line each; `make` alone lists them.
SHELL := /bin/bash
PY := .venv/bin/python
SCRM := .venv/bin/scrm
LOCK := config/requirements.lock
STAMP := .venv/.installed
.DEFAULT_GOAL := help
.PHONY: help run demo test test-quick check bench fmt migrate lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): $(LOCK) pyproject.toml
	@test -x $(PY) || python3 -m venv .venv
	@echo "installing into .venv (about a minute the first time)"
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@PYTHONWARNINGS=ignore .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP)  ## everything on this machine: stores, web, workers, clock and the sandbox WeCom
	@$(SCRM) up

demo: $(STAMP)  ## a finite story on throw-away stores, checked against what WeCom received
	@$(SCRM) demo

test: $(STAMP)  ## all tests, those that kill processes too (under 12 minutes on 2 cores)
	@$(PY) -m pytest -n 2 --dist loadgroup

test-quick: $(STAMP)  ## the tests that kill nothing (under 3 minutes on 2 cores)
	@$(PY) -m pytest -n 2 --dist loadgroup -m "not fault"

check: $(STAMP)  ## format, lint, types, layers, size of files
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: $(STAMP)  ## measurements with a baseline in the same run; ONLY=<name> runs one
	@$(PY) -m tests.bench $(if $(ONLY),--only $(ONLY))

fmt: $(STAMP)  ## format and mend what a tool can mend
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format .

migrate: $(STAMP)  ## bring the database up to date
	@$(SCRM) migrate

lock: $(STAMP)  ## renew the lock file (hashes, no addresses)
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --prerelease if-necessary-or-explicit --extra dev --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o $(LOCK) pyproject.toml

clean:  ## remove what running leaves behind (the embedded stores too)
	@rm -rf var .pytest_cache .mypy_cache .ruff_cache .hypothesis
