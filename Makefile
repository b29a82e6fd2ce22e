VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: help demo test check format record bench long clean
help:
	@echo "make demo    run the main job on a local Bedrock and print what it cost"
	@echo "make test    run the tests"
	@echo "make check   ruff, mypy --strict and the import arrows"
	@echo "make format  put right what ruff can by itself"
	@echo "make record  make the cassettes anew (AWS=1: against AWS, with your credentials)"
	@echo "make bench   what cachepoint costs, the calling thread's CPU and a memory that is late, and what it does to the first token"
	@echo "make long    all that takes minutes, go on where one fails: make -k long [LOOSE=1] [WORKLOADS=folder]"

# pip reads dependency groups from 25.1 on (2025-04).
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -U "pip>=25.1"
	$(BIN)/python -m pip install -q -e ".[all]" --group dev
	touch $@

demo: $(VENV)/.installed
	$(BIN)/cachepoint demo

# A file's tests stay in one process, in their order.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

record: $(VENV)/.installed
	$(BIN)/python -m pytest tests/adapters/test_cassettes.py --record-mode=rewrite

bench: bench-overhead bench-deadline bench-latency

long: bench bench-plugin_start bench-hostile bench-growth bench-fuzz bench-documents bench-rag bench-trimming bench-shaping bench-summaries bench-pauses bench-keep_alive bench-audit bench-fan_out bench-placement $(if $(WORKLOADS),bench-layouts)

bench-hostile: OPTIONS = $(if $(LOOSE),--loose)
bench-layouts: OPTIONS = --workloads $(WORKLOADS)
bench-%: $(VENV)/.installed
	$(BIN)/python benchmarks/$*.py $(OPTIONS)

clean:
	rm -rf $(VENV) dist
