# `make train` and `make test` need Python 3.11 (with venv), make and a C++ compiler.
# They use the uv that is installed, or put one into .tools/ first.

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --quiet --no-sync

# A folder of wheels that this machine's pip knows (a CPU build of torch, say) is offered to uv too.
ifndef UV_FIND_LINKS
export UV_FIND_LINKS := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null || true)
endif

.PHONY: help setup train test check site format items mutants torture clean

help:  ## what can be made
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "%-10s %s\n", $$1, $$2}' Makefile

setup: .venv/.ready  ## find or install uv, make the environment

# `--inexact` leaves alone what the user has added to the environment, TensorBoard for example.
.venv/.ready: pyproject.toml .python-version | $(UV)
	$(UV) sync --quiet --inexact
	@touch $@

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet uv==$(UV_VERSION)

train: setup  ## train a small GPT on text that every Python carries, and print what it writes
	$(RUN) journal train

check: setup  ## style, types, imports between phases, numbers in prose
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) ty check
	$(RUN) lint-imports
	$(RUN) python -m journal.numbers --check

test: check  ## everything that is checked on every change
	$(RUN) pytest -n logical --maxprocesses 8 --dist loadfile

site: setup  ## build the website and look at every page of it in a browser
	$(RUN) journal site build
	$(RUN) pytest -q -n logical --maxprocesses 2 --dist loadfile website/tests tests/test_site.py

format: setup  ## lay the code out as the checks want it
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

items: setup  ## the checker on every item's stub and own modules, and on every wrong solution; takes minutes
	$(RUN) pytest -m "slow or not slow" --timeout 1000 tests/test_items.py tests/test_item_stubs.py tests/test_wrong_solutions.py

mutants: setup  ## plant bugs in the written phases and count those that no test sees; takes minutes
	$(RUN) python -m journal.mutants --record

torture: setup  ## kill the trainer at random moments, damage its files; takes minutes
	$(RUN) pytest -m slow --timeout 3600 -s phase-08-training-gpt/tests/test_torture.py

clean:  ## remove environments, caches and builds (runs/ and data/ stay)
	rm -rf .venv .tools build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
