#!/usr/bin/env bash
# Measures what the two processes of ours in a pod hold, at rest and under load, and how fast the agent answers DNS queries and merges
# pages of metrics: the programs that ship, with the real Envoy, on loopback (tests/agent/resident.rs).
#
#   FERROMESH_AGENT   another program to measure, with its ferromesh-supervisor beside it
set -euo pipefail
shopt -s inherit_errexit

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=images/lib/output.sh
source "$root/images/lib/output.sh"
# shellcheck source=images/lib/binaries.sh
source "$root/images/lib/binaries.sh"

if [[ -z "${FERROMESH_AGENT:-}" ]]; then
    build_small
    FERROMESH_AGENT="$(binary ferromesh-agent)"
fi
printf '| what | measured |\n|---|---|\n'
cd "$root"
FERROMESH_AGENT="$FERROMESH_AGENT" FERROMESH_FIGURES=1 cargo test --locked --quiet --workspace --exclude ferromesh-e2e --test agent -- \
    --nocapture resident:: | grep '^|'
