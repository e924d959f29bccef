# Needs only Python >= 3.11 with pip and venv. Everything else is installed into .venv.
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip

# Nothing here needs a model hub; a test that asks for one shall fail instead of downloading.
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench versions clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

demo: $(VENV)/.demo  ## install, then run the whole demonstration offline into demo-output/
	$(BIN)/memenc demo --output demo-output

test: $(VENV)/.installed  ## install, then run the tests (JOBS=2, PYTEST_ARGS=...)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

lint: $(VENV)/.installed  ## ruff (rules and format) and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.installed  ## list the benchmarks, then run the one of the schedules
	@for file in benchmarks/*.py; do echo "$(BIN)/python $$file"; done
	$(BIN)/python benchmarks/schedules.py

# Each set gets a scratch environment: the oldest supported transformers, then the newest of everything.
OLDEST := torch==2.13.0 transformers==5.14.0
NEWEST := torch==2.13.0 transformers
VERSION_TESTS ?= tests/memory tests/tasks tests/training tests/test_model.py tests/test_backbone.py tests/reliability/test_golden.py

versions:  ## run the core of the tests with the oldest supported and the newest transformers (OLDEST=, NEWEST=)
	@for set in "$(OLDEST)" "$(NEWEST)"; do \
	  echo "== $$set"; rm -rf $(VENV)-versions; $(PYTHON) -m venv $(VENV)-versions; \
	  $(VENV)-versions/bin/python -m pip install --quiet $${set%% *} && \
	  $(VENV)-versions/bin/python -m pip install --quiet $$set -e '.[dev]' && \
	  OMP_NUM_THREADS=1 $(VENV)-versions/bin/python -m pytest -n $(JOBS) $(VERSION_TESTS) || exit 1; \
	done; rm -rf $(VENV)-versions

clean:  ## remove caches and outputs, keep .venv
	rm -rf build dist demo-output *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# torch goes first and alone, at the pinned version: with an open range, pip may choose a newer and far larger
# build for another device. A CUDA build requires a triton of its own; the CPU build brings none and takes ours.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	grep -v '^triton==' constraints.txt > $(VENV)/constraints.txt
	$(PIP) install --quiet -c $(VENV)/constraints.txt torch
	$(PIP) show torch | grep -q '^Requires:.*triton' || grep '^triton==' constraints.txt >> $(VENV)/constraints.txt
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet -c $(VENV)/constraints.txt -e '.[demo]'
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet -c $(VENV)/constraints.txt -e '.[dev,demo]'
	touch $@ $(VENV)/.demo
