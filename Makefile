# `make` alone lists the targets. Needs Python 3.10 to 3.13, nothing else.

# Read by the recipes, and yours to set: make train PYTHON=python3.12 ARGS="model.lr=1e-3"
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -qq -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train benchmark test test-all faults lint format docs install install-dev clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo 'Settings: ARGS="..." (passed on), PYTHON=$(PYTHON), VENV=$(VENV)'

train: $(VENV)/.installed ## train a network; ARGS="model.lr=1e-3" overrides the configuration
	@$(PY) train.py $(ARGS)

benchmark: $(VENV)/.installed-dev ## measure how quick it is; ARGS="suite=train publish=true"
	@$(PY) scripts/benchmark.py $(ARGS)

test: $(VENV)/.installed-dev ## run the quick tests, two files at a time; ARGS="-k mask" goes to pytest
	@$(PY) -m pytest --numprocesses=2 --dist=loadfile $(ARGS)

test-all: $(VENV)/.installed-dev ## run every test, the slow ones too; ARGS="-m slow" for those alone
	@$(PY) -m pytest -m "" --numprocesses=2 --dist=loadfile $(ARGS)

faults: $(VENV)/.installed-dev ## kill work at random moments, 50 rounds each; ARGS="rounds=5 publish"
	@$(PY) -m tests.faults.run $(ARGS)

lint: $(VENV)/.installed-dev ## check style and types
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy

format: $(VENV)/.installed-dev ## mend what ruff can mend, then format
	@$(PY) -m ruff check --fix --exit-zero --quiet
	@$(PY) -m ruff format

install: $(VENV)/.installed ## install imcomp into the virtual environment
install-dev: $(VENV)/.installed-dev ## the same, with what tests and checks need

docs: $(VENV)/.installed-dev ## build the documentation's site into build/docs; a warning is an error
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(PY) -m mkdocs build --quiet
	@echo "build/docs/index.html"

clean: ## remove caches and builds; keeps the virtual environment and outputs/
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
	@find imcomp tests scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A stamp is written last, so an interrupted installation is taken up again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.ready
	@echo "Installing imcomp into $(VENV) (the first time fetches PyTorch, which takes minutes) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.ready
	@echo "Installing imcomp[dev] into $(VENV) (the first time fetches PyTorch, which takes minutes) ..."
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.installed $@

# An environment that works is kept as it is, whoever made it. One that was left half made, which .incomplete tells,
# is made anew. Nothing else is ever removed.
$(VENV)/.ready:
	@if [ ! -e $(VENV)/.incomplete ] && $(PY) -m pip --version >/dev/null 2>&1; then touch $@; exit; fi; \
	fail() { echo "error: $$1" >&2; exit 1; }; \
	command -v $(PYTHON) >/dev/null || \
	    fail "no $(PYTHON) found: name a Python 3.10 to 3.13, as in 'make train PYTHON=python3.12'"; \
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	    fail "imcomp needs Python 3.10 to 3.13, $(PYTHON) is $$($(PYTHON) -V 2>&1): name another, as in 'make train PYTHON=python3.12'"; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    fail "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, 'apt install python3-venv' first"; \
	if [ -e $(VENV)/.incomplete ]; then rm -rf $(VENV); fi; \
	if [ -n "$$(ls -A $(VENV) 2>/dev/null)" ] && [ ! -e $(VENV)/pyvenv.cfg ]; then \
	    fail "$(VENV) is no virtual environment: name another place, as in 'make train VENV=.venv-imcomp'"; \
	fi; \
	mkdir -p $(VENV) && touch $(VENV)/.incomplete && $(PYTHON) -m venv $(VENV) && \
	rm $(VENV)/.incomplete && touch $@
