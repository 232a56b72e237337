#!/usr/bin/env bash
# Prints how long `cargo check` and `cargo test --no-run` take after a file of each row of src/ was touched.
#
# Over 30 s or 90 s the row is to become a package of its own (docs/architecture.md, "Layers").
set -euo pipefail
cd "$(dirname "$0")/.."

# seconds COMMAND…: how long it took, in seconds with one decimal.
seconds() {
  local before=${EPOCHREALTIME/./} after
  "$@" >/dev/null 2>&1
  after=${EPOCHREALTIME/./}
  printf '%d.%d' $(((after - before) / 1000000)) $(((after - before) / 100000 % 10))
}

cargo test --locked --quiet -p ferromesh --no-run
cargo check --locked --quiet -p ferromesh
printf '%-10s %8s %8s\n' ROW CHECK TESTS
for row in src/*/mod.rs; do
  touch "$row"
  check=$(seconds cargo check --locked -p ferromesh)
  printf '%-10s %7ss %7ss\n' "$(basename "$(dirname "$row")")" "$check" "$(seconds cargo test --locked -p ferromesh --no-run)"
done
