#!/bin/sh
# fuzz.sh [--if-possible] SECONDS [TARGET...]: each target of fuzz/ (or those named) for so long, guided by coverage. Ends with
# "fuzz: N passed, M failed". What reaches new code is kept in the target folder, and the next run begins with it; what
# makes a target fail is kept there too, and its path is told.
#
# cargo-fuzz is not needed: stable rustc has the instrumentation, and libFuzzer comes from crates.io as C++ source. The
# address sanitiser, which stable rustc does not have, would find little: the reactor's only unsafe code is in
# kernel/system.rs.
set -u
if [ "${1-}" = --if-possible ]; then optional=yes; shift; else optional=; fi
seconds=${1:?for how many seconds}
shift
if ! command -v c++ >/dev/null; then
  echo "fuzz: a C++ compiler (c++) is needed to build libFuzzer" >&2
  [ -n "$optional" ] || exit 1
  echo "fuzz: 0 passed, 0 failed, 1 skipped"
  exit 0
fi

host=$(rustc -vV | sed -n 's/^host: //p')
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
# With --target, the flags are for the targets alone and not for what builds them.
cargo build ${CI:+--locked} --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$out" ||
  { echo "fuzz: 0 passed, 1 failed"; exit 1; }

[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)
passed=0
failed=0
for target; do
  mkdir -p "$out/corpus/$target" "$out/found"
  log=$out/$target.log
  if "$out/$host/release/$target" -max_total_time="$seconds" -max_len=2048 -timeout=20 -rss_limit_mb=1024 \
      -artifact_prefix="$out/found/$target-" "$out/corpus/$target" >"$log" 2>&1; then
    passed=$((passed + 1))
    echo "fuzz: $target: $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 cases in \2 s/p' "$log")," \
      "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1) places reached"
  else
    failed=$((failed + 1))
    tail -40 "$log"
    echo "fuzz: $target failed"
  fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
