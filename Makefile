# Needs Python 3.11 or newer and make, nothing else: every target makes the environment it uses.
# make PYTHON=python3.12 VENV=../env test      with another Python, in another place

PYTHON ?= python3
VENV ?= .venv

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check
STAMP := $(VENV)/.fairlearnkit
OLDEST := $(VENV)-oldest
SMOKE := $(VENV)-smoke

# Boosting waits for its threads without spinning, which on a busy machine takes many times longer.
demo test coverage docs test-oldest: export OMP_WAIT_POLICY := PASSIVE

.PHONY: help demo test check lint docs fix coverage test-oldest smoke bench clean

help: ## list the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)-examples ## run the quickstart on the Adult census data: a table and a picture
	MPLBACKEND=Agg $(BIN)/python examples/plot_01_quickstart.py

test: $(STAMP)-test ## run the whole test suite, doctests included
	$(BIN)/python -m pytest

check: lint coverage docs smoke ## everything that continuous integration checks

lint: $(STAMP)-dev ## format, lint, types, import order, docstrings, spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	find fairlearnkit -name '*.py' -exec $(BIN)/numpydoc lint {} +
	$(BIN)/codespell fairlearnkit tests examples docs $(wildcard benchmarks) *.md Makefile pyproject.toml

docs: $(STAMP)-docs ## build the documentation, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

fix: $(STAMP)-dev ## format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

coverage: $(STAMP)-test ## the test suite with coverage
	$(BIN)/python -m pytest --cov --cov-report=term

test-oldest: $(OLDEST)/.fairlearnkit-test ## the tests with the oldest supported releases
	$(OLDEST)/bin/python -m pytest tests

smoke: $(STAMP)-dev ## build the wheel, install it alone, without extras, and use it
	rm -rf dist $(SMOKE)
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m venv $(SMOKE)
	$(SMOKE)/bin/python $(PIP) install --quiet dist/*.whl
	$(SMOKE)/bin/python tests/smoke_minimal.py

bench: $(STAMP)-test ## run the benchmarks
	@set -e; for script in $(wildcard benchmarks/[!_]*.py); do \
		echo "== $$script"; $(BIN)/python "$$script"; done

clean: ## remove environments and everything built
	rm -rf $(VENV) $(OLDEST) $(SMOKE) build dist docs/_build docs/auto_examples docs/generated \
		.coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find fairlearnkit tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. A stamp newer than pyproject.toml means: installed.

define check_python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "fairlearnkit needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
endef

$(STAMP)-venv $(OLDEST)/.fairlearnkit-venv:
	$(check_python)
	$(PYTHON) -m venv $(@D)
	@touch $@

$(STAMP)-%: pyproject.toml | $(STAMP)-venv
	$(BIN)/python $(PIP) install --quiet --editable ".[$*]"
	@touch $@

# Each floor in pyproject.toml, "name>=version", becomes the constraint "name==version".
$(OLDEST)/.fairlearnkit-test: pyproject.toml | $(OLDEST)/.fairlearnkit-venv
	sed -n 's/^ *"\([a-z-]*\)>=\([0-9.]*\)",$$/\1==\2/p' pyproject.toml > $(OLDEST)/floors.txt
	$(OLDEST)/bin/python $(PIP) install --quiet -c $(OLDEST)/floors.txt --editable ".[test]"
	@touch $@
