# Every target does its own set-up into .venv; no root is needed.
# PYTHON     the Python to build .venv with: 3.11, with which everything is tested, or newer
# PIP_FLAGS  further arguments of pip install, for example another index
# DATA       the real images and pretrained weights that make bench measures with
# CHROMIUM   the browser of make test-report
# SEED, MINUTES, OUT, FUZZ  of make fuzz: what is drawn, how long, where it is kept, further options

PYTHON ?= python3
PIP_FLAGS ?=
JOBS ?= 2
DATA ?= $(TOOLFLOW_SHARED_DATA)
SEED ?= 1
MINUTES ?= 5
OUT ?= build/fuzz
FUZZ ?=
CHROMIUM ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-report bench fuzz check format venv clean
.NOTPARALLEL:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP)  ## the first example: handwritten digits to a verified accelerator, under five minutes
	@$(BIN)/python -m toolflow.cli.demo --out build/demo

test: $(STAMP)  ## every test but the long ones
	@$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-long: $(STAMP)  ## every test
	@$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder --run-long

test-report: $(STAMP)  ## the report in headless Chromium: CHROMIUM=the browser, else Playwright downloads its own
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@test -n "$(CHROMIUM)" || $(BIN)/playwright install chromium
	@CHROMIUM="$(CHROMIUM)" $(PYTEST) tests/browser --run-browser

bench: $(STAMP)  ## measure every figure and render docs/results-tables.md: make bench DATA=the folder of weights and images
	@test -n "$(DATA)" || { echo "make bench needs DATA=the folder of pretrained weights and images"; exit 1; }
	@PYTHONPATH=. $(BIN)/python benchmarks/everything.py $(DATA)

fuzz: $(STAMP)  ## random networks, damaged files and projects: make fuzz SEED=1 MINUTES=5 OUT=build/fuzz
	@PYTHONPATH=. $(BIN)/python -m fuzz --seed $(SEED) --minutes $(MINUTES) --out $(OUT) --workers $(JOBS) $(FUZZ)

check: $(STAMP)  ## lint, format, types, import order, the emitted RTL under Verilator
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/python .ci/lint_rtl.py

format: $(STAMP)  ## put the sources into their form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

venv: $(STAMP)  ## the Python environment that the other targets use

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python must be 3.11 or newer, not $$($(PYTHON) --version 2>&1): make PYTHON=... names another"; exit 1; }
	@echo "Setting up $(VENV): about 2 GB of packages, one to a few minutes"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
		|| $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q pip; } \
		|| { echo "$(PYTHON) has neither venv nor pip; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
	@echo "$(VENV) is ready"

clean:  ## remove what the targets made, .venv too
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
