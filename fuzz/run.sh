#!/usr/bin/env bash
# Fuzzes the readers of objects and the webhook, one target after the other, and says what it found.
#
#   SECONDS_EACH   how long each target is fuzzed (60)
#   TARGETS        which, of `fuzz/run.sh list`: the CRDs' names and `review`; without it all
#   CARGO          the cargo to build with (cargo)
#   KEEP           how many files of each target the corpus then keeps (without it the corpus stays as it is)
#
# What is reached is kept in the cache for the next run. An input that breaks something is put into fuzz/found.
set -euo pipefail
cd "$(dirname "$0")"

cache="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}/fuzz"
seconds="${SECONDS_EACH:-60}"
found="$PWD/found"
fuzzer="$cache/target/debug/ferromesh-fuzz"

command -v g++ >/dev/null || command -v c++ >/dev/null || {
  echo "fuzz: libFuzzer needs a C++ compiler: install g++ (make prepare does)" >&2
  exit 1
}
cp ../Cargo.lock Cargo.lock
RUSTC_WRAPPER="$PWD/rustc.sh" CARGO_TARGET_DIR="$cache/target" "${CARGO:-cargo}" build --quiet
targets=$(FUZZ_TARGET=list "$fuzzer" 2>/dev/null)
if [ "${1:-}" = list ]; then
  echo "$targets"
  exit 0
fi

broken=0
for target in ${TARGETS:-$targets}; do
  committed="$PWD/corpus/$target" known="$cache/corpus/$target"
  mkdir -p "$committed" "$known" "$found/$target"
  log="$cache/$target.log"
  # A second is long for one object, also on a busy machine; memory is bounded well below what a hostile object could ask for.
  if FUZZ_TARGET=$target "$fuzzer" "$known" "$committed" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
    -artifact_prefix="$found/$target/" -print_final_stats=1 -verbosity=1 >"$log" 2>&1; then
    awk -v target="$target" '
      /cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") reached = $(i + 1) }
      /number_of_executed_units/ { runs = $2 }
      END { printf "%-48s ok   %9d runs, %6d places reached\n", target, runs, reached }' "$log"
    rmdir "$found/$target"
  else
    broken=$((broken + 1))
    printf '%-48s BROKEN, see fuzz/found/%s and %s\n' "$target" "$target" "$log"
    grep -m1 -A3 'panicked at' "$log" | cut -c1-2000 || tail -5 "$log"
  fi
  if [ -n "${KEEP:-}" ]; then
    ./keep.sh "$fuzzer" "$target" "$KEEP" "$known" "$committed"
  fi
done
rmdir "$found" 2>/dev/null || true
[ "$broken" -eq 0 ]
