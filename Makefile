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
DIST := $(VENV)-dist
# Where asv remembers the machine: its home, the user's own otherwise.
ASV = HOME=$(abspath $(VENV)) $(BIN)/asv
TIMINGS := --config benchmarks/timings/asv.conf.json

# Boosting waits for its threads without spinning, which on a busy machine takes many times longer.
demo test coverage docs test-oldest test-dist: export OMP_WAIT_POLICY := PASSIVE
# A kernel's time is that of one thread.
timings timings-quick: export OMP_NUM_THREADS := 1
timings timings-quick: export OPENBLAS_NUM_THREADS := 1

.PHONY: help demo test check lint docs fix coverage test-oldest test-dist build smoke bench timings \
	timings-quick clean

help: ## list the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)-examples ## run the quickstart on the Adult census data: a table and a picture
	MPLBACKEND=Agg $(BIN)/python examples/plot_01_quickstart.py

test: $(STAMP)-test ## run the whole test suite, doctests included
	$(BIN)/python -m pytest

check: lint coverage docs smoke timings-quick ## everything that continuous integration checks

lint: $(STAMP)-dev ## format, lint, types, import order, docstrings, spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	find fairlearnkit -name '*.py' -exec $(BIN)/numpydoc lint {} +
	$(BIN)/codespell fairlearnkit tests examples docs $(wildcard benchmarks) *.md Makefile pyproject.toml

docs: $(STAMP)-docs ## build the documentation, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "open docs/_build/html/index.html"

fix: $(STAMP)-dev ## format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

coverage: $(STAMP)-test ## the test suite with coverage
	$(BIN)/python -m pytest --cov --cov-report=term

test-oldest: $(OLDEST)/.fairlearnkit-test ## the tests with the oldest supported releases
	$(OLDEST)/bin/python -m pytest tests

test-dist: build ## the tests of the sdist with the wheel installed, in a fresh environment
	rm -rf $(DIST)
	$(PYTHON) -m venv $(DIST)
	wheel=$$(echo dist/*.whl) && $(DIST)/bin/python $(PIP) install --quiet "$$wheel[test]"
	mkdir $(DIST)/source
	tar -xzf dist/*.tar.gz -C $(DIST)/source --strip-components=1
	rm -r $(DIST)/source/fairlearnkit
	cd $(DIST)/source && ../bin/python -m pytest --pyargs fairlearnkit tests README.md docs

build: $(STAMP)-dev ## build sdist and wheel in dist, and check what they hold
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python tests/check_dist.py dist

smoke: build ## install wheel and sdist, each without extras in a fresh environment, and use them
	@set -e; for file in dist/*.whl dist/*.tar.gz; do \
		echo "== $$file"; \
		rm -rf $(SMOKE); $(PYTHON) -m venv $(SMOKE); \
		$(SMOKE)/bin/python $(PIP) install --quiet "$$file"; \
		$(SMOKE)/bin/python tests/smoke_minimal.py; done

bench: $(STAMP)-test ## run the benchmarks
	@set -e; for script in $(wildcard benchmarks/[!_]*.py); do \
		echo "== $$script"; $(BIN)/python "$$script"; done

timings: $(STAMP)-dev $(STAMP)-machine ## time the kernels with asv, and keep the times of this commit in .asv
	$(ASV) run $(TIMINGS) --python=same --set-commit-hash "$$(git rev-parse HEAD)"
	$(ASV) show $(TIMINGS) HEAD

timings-quick: $(STAMP)-dev $(STAMP)-machine ## run each timing once: does it still work?
	$(ASV) run $(TIMINGS) --python=same --quick --show-stderr

clean: ## remove environments and everything built
	rm -rf $(VENV) $(OLDEST) $(SMOKE) $(DIST) .asv build dist docs/_build docs/auto_examples docs/generated \
		examples/*.png examples/*.html .coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find fairlearnkit tests examples docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

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

$(STAMP)-machine: $(STAMP)-dev
	$(ASV) machine $(TIMINGS) --yes > $@

$(STAMP)-%: pyproject.toml | $(STAMP)-venv
	$(BIN)/python $(PIP) install --quiet --editable ".[$*]"
	@touch $@

# Each floor in pyproject.toml, "name>=version", becomes the constraint "name==version". matplotlib's
# calls pyparsing by names that its later releases warn of.
$(OLDEST)/.fairlearnkit-test: pyproject.toml | $(OLDEST)/.fairlearnkit-venv
	sed -n 's/^ *"\([a-z-]*\)>=\([0-9.]*\)",$$/\1==\2/p' pyproject.toml > $(OLDEST)/floors.txt
	echo 'pyparsing<3.3' >> $(OLDEST)/floors.txt
	$(OLDEST)/bin/python $(PIP) install --quiet -c $(OLDEST)/floors.txt --editable ".[test]"
	@touch $@
