#!/bin/sh
# One line for each supported CPython found on PATH or among pyenv's versions: VERSION PATH.
set -eu
for version in 3.11 3.12 3.13 3.14 3.15; do
  for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/"python$version"; do
    # A shim on PATH may name an interpreter that is not selected, so each is run before it counts.
    path=$("$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null) || continue
    "$path" -c 'import ensurepip, venv' 2>/dev/null || {
      echo "$path cannot make environments: left out (its venv package is missing)" >&2
      continue
    }
    printf '%s %s\n' "$version" "$path"
    break
  done
done
