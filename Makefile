# Two commands set everything up: `make run` and `make test`. Both build .venv once and reuse it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test lint bench docs clean help

help:
	@echo "make run    compare descents on embedded digits: table, verdict, page (about 3 minutes)"
	@echo "make test   all tests"
	@echo "make lint   style, import rules and types"
	@echo "make bench  time and memory against hand-written loops"
	@echo "make docs   the documentation as pages under site/"
	@echo "make clean  remove .venv and build products (runs/ stays)"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Umbel needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Say which to use: make PYTHON=python3.12 ...")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "This Python cannot make virtual environments; install its venv package (Debian: python3-venv)."; exit 1; }
	@echo "Setting up $(VENV) once (torch is large: some minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

run: $(READY)
	$(BIN)/umbel run compare --quick

# A process for each core, one thread in each: the tests' networks are tiny, and threads that wait for each other cost minutes.
test: $(READY)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis
