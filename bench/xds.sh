#!/usr/bin/env bash
# Measures what xDS costs and prints it as tables; plots go to docs/benchmarks. Needs no mesh: pilot is a process of this machine that
# reads the local cluster, and its proxies are simulated. Programs are built as they ship (profile release).
#
#   ARGUMENTS=…   further arguments of `ferromesh-bench xds`, for example "--proxies 1,100 --changes 20"
#
# Uses the local cluster; one that was there before stays. A mesh in it takes time from what is measured.
set -euo pipefail
shopt -s inherit_errexit

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export FERROMESH_CACHE="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}"
PATH="$FERROMESH_CACHE/bin:$PATH"
# shellcheck source=demo/lib/output.sh
source "$root/demo/lib/output.sh"
# shellcheck source=demo/lib/cluster.sh
source "$root/demo/lib/cluster.sh"

main() {
    "$root/ci/prepare.sh"
    {
        CONTEXT='' choose_cluster
        use_local_cluster
        own_kinds
        (cd "$root" && cargo build --locked --release --quiet -p ferromesh -p ferromesh-bench)
    } >&2
    local target arguments
    target="$(cd "$root" && cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)/release"
    read -ra arguments <<<"${ARGUMENTS:-}"
    taskset -c 1 "$target/ferromesh-bench" xds --ferromeshd "$target/ferromeshd" --core 0 --plots "$root/docs/benchmarks" "${arguments[@]}"
}

# own_kinds: the kinds that pilot reads, until the end of this run; those of a mesh that is installed stay as they are.
own_kinds() {
    if k get crd virtualservices.networking.istio.io >/dev/null 2>&1; then
        return
    fi
    trap 'k delete --wait=false -f "$root/crds/generated" >/dev/null' EXIT
    k apply --server-side -f "$root/crds/generated"
    k wait --for=condition=Established --timeout=60s -f "$root/crds/generated"
}

main
