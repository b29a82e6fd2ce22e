VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: help demo test check format record bench chaos long docs compare licences build clean
help:
	@echo "make demo    run the main job on a local Bedrock and print what it cost"
	@echo "make test    run the tests"
	@echo "make check   ruff, mypy --strict, the import arrows, and known vulnerabilities where their data can be had"
	@echo "make format  put right what ruff can by itself"
	@echo "make record  make the cassettes anew (AWS=1: against AWS, with your credentials)"
	@echo "make docs    build the site into site/; mkdocs serve shows it while it is written"
	@echo "make compare run the libraries that docs/compare.md speaks of, each in an environment of its own"
	@echo "make bench   what cachepoint costs, the calling thread's CPU and a memory that is late, and what it does to the first token"
	@echo "make chaos   ten minutes in which all that can fail does, and what a user sees is held against the plain classes"
	@echo "make build   wheel and source distribution, in dist/"
	@echo "make licences  the licence of every dependency; ends with an error where one is unknown or too strict"
	@echo "make long    all that takes minutes, go on where one fails: make -k long [LOOSE=1] [WORKLOADS=folder]"

# pip reads dependency groups from 25.1 on (2025-04).
$(VENV)/.installed: pyproject.toml
	@echo "$(VENV): installing both frameworks and what the tests need, about 1.3 GB; once"
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
	$(BIN)/python .ci/vulnerabilities.py

format: $(VENV)/.installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

record: $(VENV)/.installed
	$(BIN)/python -m pytest tests/adapters/test_cassettes.py --record-mode=rewrite

bench: bench-overhead bench-deadline bench-latency

long: docs compare bench bench-plugin_start bench-hostile bench-growth bench-soak bench-fuzz bench-fuzz_calls bench-fuzz_readers bench-fuzz_bytes bench-documents bench-rag bench-trimming bench-shaping bench-summaries bench-pauses bench-keep_alive bench-audit bench-fan_out bench-placement bench-fleet bench-fleet_faults bench-fleet_cpu bench-fleet_memory bench-installs chaos $(if $(WORKLOADS),bench-layouts)


$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install -q --group docs
	touch $@

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

compare: $(VENV)/.installed
	PATH=$(BIN):$$PATH $(BIN)/python tests/compare/environments.py
	$(BIN)/python -m pytest tests/compare

# Where it has no wheel the fuzz of bytes says that it is left out.
$(VENV)/.fuzz: $(VENV)/.installed
	-$(BIN)/python -m pip install -q --group fuzz
	touch $@
bench-fuzz_bytes: $(VENV)/.fuzz
bench-hostile: OPTIONS = $(if $(LOOSE),--loose)
bench-layouts: OPTIONS = --workloads $(WORKLOADS)
bench-%: $(VENV)/.installed
	$(BIN)/python benchmarks/$*.py $(OPTIONS)

chaos: bench-chaos

build: $(VENV)/.installed
	$(BIN)/uv build --out-dir dist

licences: $(VENV)/.installed
	$(BIN)/python benchmarks/licences.py

clean:
	rm -rf $(VENV) dist site .compare
