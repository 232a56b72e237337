#!/usr/bin/env bash
# Runs every level of tests, cheapest first, and sums them up in one last line: `N passed, N failed, N skipped`.
#
# Usage: ci/test.sh [LEVEL…]     with no LEVEL, all of: lint unit go chart images cluster
# (dataplane, a part of unit, only by its name)
#
# A level that fails does not keep the later ones from running, but for what depends on it. A test that skips itself writes
# `name: reason` to the file named by FERROMESH_SKIPS; it is counted as skipped and its reason is printed at the end.
set -uo pipefail
cd "$(dirname "$0")/.."

export FERROMESH_CACHE="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export FERROMESH_SKIPS="$work/skips"
: >"$FERROMESH_SKIPS"

passed=0 failed=0
failures=()

note() { printf '\n=== %s\n' "$*"; }

# Adds up what a level's runner printed. Understands cargo test, `go test -json`'s human form, and our own scripts' closing line.
tally() { # LOG
  local counts
  counts=$(awk '
    /^test result:/ { p += $4; f += $6 }
    /^ *--- PASS:/ { p++ }
    /^ *--- FAIL:/ { f++ }
    /^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3 }
    END { print p + 0, f + 0 }' "$1")
  passed=$((passed + ${counts% *}))
  failed=$((failed + ${counts#* }))
}

# Runs one step and counts it: by what its runner printed, or as one test where it printed no count.
step() { # NAME COMMAND…
  local name=$1 log before=$((passed + failed)) failed_before=$failed status
  shift
  log="$work/$(tr -c 'a-z0-9\n' '-' <<<"$name").log"
  note "$name"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  tally "$log"
  if [ "$status" -eq 0 ]; then
    [ $((passed + failed)) -gt "$before" ] || passed=$((passed + 1))
  else
    # A runner that died without naming a failed test still failed.
    [ "$failed" -gt "$failed_before" ] || failed=$((failed + 1))
    failures+=("$name")
  fi
  return "$status"
}

level_lint() {
  step "formatting" cargo fmt --all --check
  # Workspaces of their own.
  step "formatting of the fuzzer" cargo fmt --manifest-path fuzz/Cargo.toml --check
  step "formatting of the engines" cargo fmt --manifest-path bench/engines/Cargo.toml --check
  step "clippy" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
  step "shell scripts parse" bash -c 'git ls-files -z "*.sh" .ci/run | xargs -0 -n1 bash -n'
}

level_unit() {
  step "envoy binary" images/envoy.sh || return
  step "unit, fake API server and Envoy on loopback" cargo test --locked --workspace --exclude ferromesh-e2e
}

# Part of unit: for who works on the data plane.
level_dataplane() {
  step "envoy binary" images/envoy.sh || return
  step "data plane" cargo test --locked --workspace --exclude ferromesh-e2e --lib -- dataplane:: envoy
}

level_go() {
  # Of the package that is ours: vetting its neighbour, the components' main, would vet all of Kubernetes.
  step "cluster tool: vet and tests" env CGO_ENABLED=0 go -C e2e/kubernetes test -trimpath -v ./cluster
  step "sample grpc-echo: vet" env CGO_ENABLED=0 go -C samples/grpc-echo vet .
}

level_chart() {
  step "tools for the cluster" make --no-print-directory cluster-tools || return
  step "chart" charts/test.sh
}

level_images() {
  step "images: build" make --no-print-directory images || return
  step "images: content" images/test.sh
}

level_cluster() {
  if [ -n "${CONTEXT:-}" ]; then
    step "cluster: images" make --no-print-directory images-push || return
    step "cluster: end to end" end_to_end
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "cluster tests: only root can start the local cluster; name one with CONTEXT=…" | tee -a "$FERROMESH_SKIPS"
    return
  fi
  # A cluster that was there before stays; what is left of one that was cut off does not.
  local found=no
  if e2e/kubernetes/cluster.sh status >/dev/null 2>&1; then
    found=yes
  else
    e2e/kubernetes/cluster.sh down
    step "cluster: its life" lifecycle
  fi
  step "cluster: up" make --no-print-directory cluster-up &&
    step "cluster: load images" make --no-print-directory images-load &&
    step "cluster: end to end" end_to_end &&
    step "cluster: rights" make --no-print-directory rights
  [ "$found" = yes ] || step "cluster: down" make --no-print-directory cluster-down
}

# The life of a whole cluster: up, mended, down, cut off.
lifecycle() {
  FERROMESH_CLUSTER_TEST=1 CGO_ENABLED=0 go -C e2e/kubernetes test -trimpath -vet=off -count=1 -v -run Lifecycle ./cluster
}

end_to_end() {
  make --no-print-directory cli && cargo test --locked -p ferromesh-e2e -- --test-threads=1
}

levels=("$@")
[ ${#levels[@]} -gt 0 ] || levels=(lint unit go chart images cluster)
for level in "${levels[@]}"; do
  declare -F "level_$level" >/dev/null || { echo "ci/test.sh: no level '$level': lint unit go chart images cluster" >&2; exit 64; }
  "level_$level"
done

skipped=$(wc -l <"$FERROMESH_SKIPS")
# Rust counts a test that skipped itself as passed.
own=$(grep -vc '^cluster tests:' "$FERROMESH_SKIPS" || true)
passed=$((passed - own))
note "summary"
[ "$skipped" -eq 0 ] || { echo "skipped:"; sed 's/^/  /' "$FERROMESH_SKIPS"; }
[ ${#failures[@]} -eq 0 ] || { echo "failed:"; printf '  %s\n' "${failures[@]}"; }
if [ "${CI:-}" = true ] && [ "$skipped" -gt 0 ]; then
  echo "with CI=true nothing may be skipped"
  failures+=("skipped tests")
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ ${#failures[@]} -eq 0 ]
