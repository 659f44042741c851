# dbgate: `make demo` shows it, `make test` proves it, `make lint` keeps it tidy, `make bench` measures it.
# Needs Python 3.11, 3.12 or 3.13 (PYTHON=… picks one) and nothing else.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
APT := test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends

SERVER_TESTS := tests/corpus tests/property/test_gate_property.py tests/live/test_allow_lists.py \
	tests/live/test_catalog.py tests/live/test_connection.py tests/live/test_redefinitions.py tests/live/test_plans.py

.PHONY: demo test test-browser test-servers leaks regress mutants fuzz lint format bench openapi completions lock clean help

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 with the venv module found" >&2; \
		echo "hint: install python3-venv, or name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## The main job on an embedded PostgreSQL
	$(BIN)/dbgate demo

test: $(STAMP) ## All tests on PostgreSQL 18, and the corpus on 16 as well
	$(BIN)/python -m pytest
	DBGATE_TEST_POSTGRES=16 $(BIN)/python -m pytest tests/corpus

test-browser: $(STAMP) ## What needs Debian's packages: the console in a real Chromium, sign-ins in a real Secret Service
	@command -v certutil >/dev/null || { $(APT) libnss3-tools >/dev/null; } || \
		{ echo "error: there is no certutil, which makes the browser trust the tests' authorities" >&2; \
		echo "hint: apt-get install libnss3-tools" >&2; exit 2; }
	@command -v chromium >/dev/null || test -n "$$DBGATE_TEST_CHROMIUM" || { $(APT) chromium >/dev/null; } || \
		{ echo "error: there is no chromium" >&2; \
		echo "hint: apt-get install chromium, or name another one: DBGATE_TEST_CHROMIUM=/path/to/chrome" >&2; exit 2; }
	@command -v dbus-run-session >/dev/null && command -v gnome-keyring-daemon >/dev/null || \
		{ $(APT) gnome-keyring dbus >/dev/null; } || \
		{ echo "error: there is no Secret Service to try" >&2; echo "hint: apt-get install gnome-keyring dbus" >&2; exit 2; }
	$(BIN)/python -m pytest -n 0 tests/browser
	$(BIN)/python -m pytest -n 0 tests/desktop

test-servers: $(STAMP) ## What depends on the server's version, on PostgreSQL 15, 16, 17 and 18 (15 and 17 come from npm)
	@set -e; for version in 15 16 17 18; do echo "PostgreSQL $$version"; \
		DBGATE_TEST_POSTGRES=$$version $(BIN)/python -m pytest $(SERVER_TESTS); done

leaks: $(STAMP) ## The corpus as a table: leaks, oracles, effects, false refusals (SERVERS=all, or SERVERS="15 17")
	$(BIN)/python tools/leaks.py $(SERVERS)

regress: $(STAMP) ## PostgreSQL's own regression SQL, directly and through dbgate, compared (ARGS="join --show different")
	$(BIN)/python -m tools.regress $(ARGS)

mutants: $(STAMP) ## Rules of the gate taken out one at a time: what no test notices (ARGS="--changed")
	$(BIN)/python -m tools.mutants $(ARGS)

crashes: $(STAMP) ## Kill, fill and take away at every step on disk, then kill 500 times at random: nothing may be lost
	$(BIN)/python -m tools.crashes $(ARGS)

fuzz: $(STAMP) ## Random statements over random databases, for long (N=20000 of each kind)
	DBGATE_FUZZ=$(or $(N),20000) $(BIN)/python -m pytest -n 0 --timeout 0 tests/property/test_made_property.py

lint: $(STAMP) ## Formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## Speed, as ratios against psql, pgcli and bare psycopg
	$(BIN)/python -m compileall -q src
	$(BIN)/python -m benchmarks

openapi: $(STAMP) ## Write docs/openapi.json anew
	$(BIN)/python -m dbgate.approvals.openapi > docs/openapi.json

completions: $(STAMP) ## Write completions/ anew
	$(BIN)/python -m dbgate.cli.completions completions

lock: ## Resolve requirements.lock anew (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra demo --extra audit --group dev \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements.lock pyproject.toml

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
