# Everything happens in .venv; nothing needs root. `make` alone lists the targets.

PYTHON ?= python3
# Versions to hold the installation to, such as CONSTRAINTS=constraints.txt (those that were tested).
CONSTRAINTS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
PYTEST := $(BIN)/python -m pytest -q --durations=10
BENCHMARKS := recall index pipeline memory rescan first_answer million diagnose
# rclip's program and the folder with weights for both, to be measured beside it: make bench RCLIP=... PEER=...
RCLIP ?=
PEER ?=
BESIDE_RCLIP := index rescan first_answer

# What is installed; each contains the one before it.
DEMO := $(VENV)/.installed-demo
TEST := $(VENV)/.installed-test
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format bench soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO) ## install, then index and search a handful of real photos
	@$(BIN)/oko demo

test: $(TEST) ## install, then run all tests but the slow ones
	@$(PYTEST)

check: $(DEV) ## format, lint, types, then all tests: what must pass before a commit
	@echo "== format"; $(BIN)/ruff format --check .
	@echo "== lint"; $(BIN)/ruff check .
	@echo "== types"; $(BIN)/mypy
	@echo "== tests"; $(PYTEST)

format: $(DEV) ## rewrite the code in the one format, sort imports, mend what lint can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: $(TEST) ## run every benchmark (long; ratios against a reference, JSON in benchmarks/results)
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name; done; \
	for name in $(if $(RCLIP),$(BESIDE_RCLIP)); do echo "== $$name, beside rclip"; \
	$(BIN)/python -m benchmarks.$$name --rclip $(RCLIP) --peer $(PEER); done

soak: $(TEST) ## run the slow tests: kills in the middle of writing, 20,000 files, a watcher over minutes (long)
	@$(PYTEST) -s -m slow --run-slow -o faulthandler_timeout=7200

clean: ## remove what was built and cached (the environment stays; rm -r .venv removes that)
	rm -rf build dist .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "oko needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "No virtual environment could be made (on Debian and Ubuntu: install python3-venv)." >&2; exit 1; }

# pip keeps what it downloaded beside what it unpacks until it is done.
NEEDED_GB := 10

define say_install
@if ls $(VENV)/.installed-* >/dev/null 2>&1; then \
  echo "Bringing the installation in $(VENV) up to date."; \
else \
  echo "Installing oko into $(VENV), once. PyTorch is most of it: several GB to download, about 6 GB on disk;"; \
  echo "two to ten minutes on an ordinary line, and nothing is printed meanwhile."; \
  $(BIN)/python -c 'import os, shutil, tempfile; \
  disks = {os.stat(folder).st_dev: folder for folder in (tempfile.gettempdir(), os.getcwd())}; \
  [print(f"The disk of {folder} has {free / 1e9:.1f} GB free; installing needs up to $(NEEDED_GB) GB for a moment.") \
  for folder in disks.values() if (free := shutil.disk_usage(folder).free) < $(NEEDED_GB) * 1e9]' >&2; \
fi
endef

$(DEMO): pyproject.toml | $(BIN)/python
	$(say_install)
	@$(PIP) -e '.[demo,heic]'
	@touch $(DEMO)

$(TEST): pyproject.toml | $(BIN)/python
	$(say_install)
	@$(PIP) -e '.[test,demo,heic,raw,export,train]'
	@touch $(DEMO) $(TEST)

$(DEV): pyproject.toml | $(BIN)/python
	$(say_install)
	@$(PIP) -e '.[dev,demo,heic,raw,export,train]'
	@touch $(DEMO) $(TEST) $(DEV)
