# One line each; `make` alone lists them.
SHELL := /bin/bash
PY := .venv/bin/python
SCRM := .venv/bin/scrm
LOCK := config/requirements.lock
STAMP := .venv/.installed
RIVALS := .venv/.rivals-installed
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

$(RIVALS): config/bench.lock $(STAMP)
	@echo "installing what the bench compares with into .venv (DuckDB, chDB: 0.9 GB)"
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r config/bench.lock
	@touch $@

run: $(STAMP)  ## everything on this machine: stores, web, workers, clock and the sandbox WeCom
	@$(SCRM) up

demo: $(STAMP)  ## a finite story on throw-away stores, checked against what WeCom received
	@$(SCRM) demo

test: $(STAMP)  ## all tests, those that kill processes too (under 12 minutes on 2 cores)
	@$(PY) -m pytest -n 2 --dist loadfile

test-quick: $(STAMP)  ## the tests that kill nothing (under 3 minutes on 2 cores)
	@$(PY) -m pytest -n 2 --dist loadfile -m "not fault"

check: $(STAMP)  ## format, lint, types, layers, size of files
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: $(STAMP) $(if $(filter-out conditions,$(ONLY)),,$(RIVALS))  ## measurements with a baseline in the same run; ONLY=<name> runs one, ROWS=<n> with more
	@$(PY) -m tests.bench $(if $(ONLY),--only $(ONLY)) $(if $(ROWS),--rows $(ROWS))

fmt: $(STAMP)  ## format and mend what a tool can mend
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format .

migrate: $(STAMP)  ## bring the database up to date
	@$(SCRM) migrate

COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

lock: $(STAMP)  ## renew the lock files (hashes, no addresses)
	@$(COMPILE) --prerelease if-necessary-or-explicit --extra dev -o $(LOCK) pyproject.toml
	@$(COMPILE) -c $(LOCK) -o config/bench.lock config/bench.in

clean:  ## remove what running leaves behind (the embedded stores too)
	@rm -rf var .pytest_cache .mypy_cache .ruff_cache .hypothesis
