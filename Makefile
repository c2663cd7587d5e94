# Two commands for a new machine: `make quickstart` and `make test`. Needs Python 3.11 or later and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs/quickstart

.PHONY: quickstart test lint types law browser benchmark lock clean

quickstart: $(VENV)/.demo
	@mkdir -p $(RUN)
	@$(BIN)/tunewright init demo --out $(RUN)/messages.yaml --force
	@$(BIN)/tunewright run $(RUN)/messages.yaml --folder $(RUN)/messages

# two processes of one thread each: small models gain nothing by more threads
test: lint types law
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

law: $(VENV)/.test
	$(BIN)/lint-imports

benchmark: $(VENV)/.test
	$(BIN)/python benchmarks/encoder_classification.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Tunewright needs Python 3.11 or later: make PYTHON=python3.12 quickstart"; exit 1)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python requirements.lock pyproject.toml
	@$(BIN)/python scripts/install.py demo
	@touch $@

$(VENV)/.test: $(VENV)/bin/python requirements.lock pyproject.toml
	@$(BIN)/python scripts/install.py demo,test
	@touch $@ $(VENV)/.demo

# Makes requirements.lock anew from what is installed here.
lock: $(VENV)/bin/python
	$(BIN)/python scripts/lock.py

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
