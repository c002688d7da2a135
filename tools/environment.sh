#!/bin/sh
# environment.sh PYTHON VENV: make the virtual environment VENV with PYTHON unless it stands already, and say clearly
# what a fresh machine lacks. Quick when there is nothing to do.
set -eu
python=$1
venv=$2

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }
fail() { printf 'epicycle: %s\n' "$@" >&2; exit 1; }

version=$(version_of "$python")
[ -n "$version" ] || fail "cannot run $python; name another interpreter with make PYTHON=..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != "cpython")' ||
  fail "CPython 3.11 or newer is needed and $python is $version; name another with make PYTHON=..."
command -v cargo >/dev/null || fail "Rust is needed and cargo is not on PATH (https://rustup.rs)"
command -v cc >/dev/null || fail "a C compiler is needed and cc is not on PATH"

if [ -x "$venv/bin/python" ]; then
  made_with=$(version_of "$venv/bin/python")
  [ "$made_with" = "$version" ] && exit 0
  [ -z "$made_with" ] ||
    fail "$venv is of Python $made_with and $python is $version; give it its own: make PYTHON=$python VENV=.venv-$version"
  # Its interpreter is gone (an upgrade, a moved folder): nothing in it can be used.
  rm -rf "$venv"
fi
echo "environment: $venv, Python $version"
"$python" -m venv "$venv" || fail "$python cannot make virtual environments; install its venv package (python3-venv)"
