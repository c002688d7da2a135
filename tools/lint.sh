#!/bin/sh
# lint.sh VENV: every linter over the whole project, all of them even when one complains. Writes nothing but caches.
set -u
bin=$1/bin
passed=0
failed=0

step() {
  echo "lint: $*"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "lint: complaints of: $*"; fi
}

step cargo fmt --all --check -- --files-with-diff
step cargo fmt --manifest-path fuzz/Cargo.toml --check -- --files-with-diff
step cargo clippy ${CI:+--locked} --quiet --workspace --all-targets -- -D warnings
step "$bin/ruff" check --quiet --output-format concise .
step "$bin/ruff" format --check --quiet --output-format concise .
step "$bin/mypy" --no-error-summary

echo "lint: $passed passed, $failed failed"
[ "$failed" = 0 ]
