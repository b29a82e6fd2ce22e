VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: help demo test check format record long clean
help:
	@echo "make demo    run the main job on a local Bedrock and print what it cost"
	@echo "make test    run the tests"
	@echo "make check   ruff, mypy --strict and the import arrows"
	@echo "make format  put right what ruff can by itself"
	@echo "make long    what takes longer than CI may: growth, hostile input, late memories, overhead"
	@echo "make record  make the cassettes anew (AWS=1: against AWS, with your credentials)"

# pip reads dependency groups from 25.1 on (2025-04).
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -U "pip>=25.1"
	$(BIN)/python -m pip install -q -e ".[all]" --group dev
	touch $@

demo: $(VENV)/.installed
	$(BIN)/cachepoint demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

long: $(VENV)/.installed
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/deadline.py
	$(BIN)/python benchmarks/overhead.py

record: $(VENV)/.installed
	$(BIN)/python -m pytest tests/adapters/test_cassettes.py --record-mode=rewrite

clean:
	rm -rf $(VENV) dist
