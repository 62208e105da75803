# Two commands set everything up: `make run` and `make test`. Both build .venv once and reuse it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
READY := $(VENV)/.ready

.PHONY: run test test-oldest fuzz lint bench docs clean help

help:
	@echo "make run    compare descents on embedded digits: table, verdict, page (about 3 minutes)"
	@echo "make test   all tests"
	@echo "make test-oldest   the descents' tests with the oldest torch that pyproject.toml allows (an environment of 7 GB)"
	@echo "make fuzz   600 wrong calls of the command: each must be refused in one line, in time (some minutes)"
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
# Files in their own order: sorted by number of tests, those of one long test (a killed study) would all come last.
test: $(READY)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

fuzz: $(READY)
	$(BIN)/python tests/fuzz/fuzz.py --cases $${CASES:-600} --seed $${SEED:-0}

# Descents know private names of torch (descent/torch_internals.py): tested at the oldest version as well as at the pin.
$(OLDEST)/.ready: pyproject.toml constraints.txt
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@grep -v -E '^(torch|torchvision|triton|nvidia-.*|cuda-.*)==' constraints.txt > $(OLDEST)/constraints.txt
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/constraints.txt -e . \
		'torch==2.10.*' 'torchvision==0.25.*' pytest pytest-xdist hypothesis beartype cvxpy clarabel
	@touch $@

test-oldest: $(OLDEST)/.ready
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(OLDEST)/bin/python -m pytest --numprocesses auto --dist loadfile tests/descent

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
	rm -rf $(VENV) $(OLDEST) build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis
