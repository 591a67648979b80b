# Every target sets up what it needs: on a fresh machine `make run` or `make test` is the only command.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FORM := --full --write
READY := $(VENV)/.installed
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help install run test check bench chaos lock

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(READY) ## Make .venv with everything, as locked in requirements/

$(READY): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $(READY)

run: $(READY) ## Start the scheduler and the admin page on ./jobs, ./logs and ./data; Ctrl-C ends both
	@exec $(BIN)/python scripts/run_both.py

test: check ## Run everything: the checks, then the tests of all groups
	$(BIN)/python -m pytest -n 2

check: $(READY) ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY) ## Measure beside the peers, write benchmarks/RESULTS.md (about 45 minutes; BENCH=--short: 5)
	$(BIN)/python -m benchmarks $(BENCH)

chaos: $(READY) ## Break real schedulers on purpose (root, faketime; FORM= for the short form)
	$(BIN)/python -m chaos $(FORM)

lock: $(READY) ## Resolve pyproject.toml anew into requirements/, with hashes
	$(LOCK) --group dev -o requirements/dev.txt
	$(LOCK) --group scheduler -c requirements/dev.txt -o requirements/scheduler.txt
	$(LOCK) --group admin -c requirements/dev.txt -o requirements/admin.txt
