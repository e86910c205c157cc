# make design: install and run the main job on the embedded data.   make test: install and pass the tests.
# make slow: the tests that take many minutes (whole runs under faults, searches over hyperparameters).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1

.PHONY: setup design test slow check bench clean

setup: $(STAMP)

# torch first and pinned: an unpinned request brings gigabytes of CUDA libraries.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,benchmark,search,watch]'
	touch $(STAMP)

design: setup
	$(BIN)/aimat design --base Zr --data oracle --out runs/first

test: setup
	$(BIN)/python -m pytest -n 2  # one process for tests around one Ray, one for whole commands, the rest where there is room

slow: setup
	$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/aimat bench

clean:
	rm -rf $(VENV) build dist *.egg-info
