# Every target starts from a bare clone: `setup` does what has not been done yet and costs a moment afterwards.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help setup quickstart test test-slow lint format lock doctor clean

help:
	@echo "make quickstart   set up, then run the whole loop on one task (configs/quickstart.toml)"
	@echo "make test         set up, then ruff, mypy and the fast tests"
	@echo "make test-slow    set up, then the tests that take minutes"
	@echo "make doctor       what can run on this machine, and what mends the rest"
	@echo "make format       let ruff put the code in order"
	@echo "make lock         write requirements.lock from what is installed in .venv"

setup:
	@test -n "$(PYTHON)" || { echo "set-up: Python 3.11 was not found. Install it (Debian 12: apt-get install python3.11)." >&2; exit 2; }
	@$(PYTHON) -m scripts.setup

quickstart: setup
	$(BIN)/demomill overnight configs/quickstart.toml

test: lint
	@$(PYTHON) -m scripts.python38
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

doctor: setup
	$(BIN)/demomill doctor

lock:
	$(PYTHON) -m scripts.lock

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
