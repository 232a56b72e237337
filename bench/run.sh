#!/usr/bin/env bash
# Measures what docs/benchmarks.md shows and prints it as a table: images and memory at rest with bookinfo, start to ready, the way of
# a VirtualService to Envoy, and what the webhooks answer on one core. Programs are built as they ship (profile release).
#
#   RUNS=5   how often what varies is measured; the median counts
#
# Uses the local cluster; one that was there before stays, with the mesh in it.
set -euo pipefail
shopt -s inherit_errexit

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export FERROMESH_CACHE="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}" PROFILE=release
PATH="$FERROMESH_CACHE/bin:$PATH"
runs="${RUNS:-5}"
# shellcheck source=demo/lib/output.sh
source "$root/demo/lib/output.sh"
# shellcheck source=demo/lib/cluster.sh
source "$root/demo/lib/cluster.sh"
# shellcheck source=demo/lib/waiting.sh
source "$root/demo/lib/waiting.sh"
# shellcheck source=demo/lib/table.sh
source "$root/demo/lib/table.sh"

main() {
    "$root/ci/prepare.sh"
    {
        CONTEXT='' choose_cluster
        use_local_cluster
        "$root/images/load.sh" ferromesh ferromesh-proxy bookinfo
        install
    } >&2
    printf '| what | measured |\n|---|---|\n'
    image_sizes
    memory_at_rest
    resident_memory
    start_to_ready
    (cd "$root" && cargo build --locked --release --quiet -p ferromesh -p ferromesh-bench)
    local target
    target="$(cd "$root" && cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)/release"
    "$target/ferromesh-bench" effect --gateway "$(gateway_address)"
    local setting=(--ferromeshd "$target/ferromeshd" --core 0 --runs "$runs")
    taskset -c 1 "$target/ferromesh-bench" webhooks "${setting[@]}"
    taskset -c 1 "$target/ferromesh-bench" configuration "${setting[@]}" --ferromesh "$target/ferromesh"
}

# The mesh and bookinfo, as `make demo` installs them, but for the profile.
install() {
    helm --kube-context "$CONTEXT" upgrade --install ferromesh "$root/charts/ferromesh" \
        --namespace ferromesh-system --create-namespace --wait --timeout 5m --hide-notes
    sed 's/profile: demo/profile: default/' "$root/demo/mesh.yaml" | k apply -f -
    wait_for 300 "the mesh" mesh_state
    k apply -f "$root/demo/namespace.yaml"
    k apply -n bookinfo -f "$root/samples/bookinfo/kube/bookinfo.yaml" -f "$root/samples/bookinfo/networking/bookinfo-gateway.yaml"
    wait_for 300 "bookinfo's pods" pods_state bookinfo
}

image_sizes() {
    local name
    for name in ferromesh ferromesh-proxy bookinfo; do
        printf '| image %s | %s |\n' "$name" "$(numfmt --to=iec --suffix=B "$(stat -c %s "$FERROMESH_CACHE/images/$name.tar")")"
    done
}

# memory_at_rest: the memory of each container of the control plane; of bookinfo's sidecars the median.
memory_at_rest() {
    container_memory | awk '
        function mib(bytes) { return sprintf("%.1f MiB", bytes / 1048576) }
        $1 != "bookinfo" { sub(/-[0-9a-f]+-[0-9a-z]+$/, "", $2); print "| memory of " $2 " | " mib($5) " |" }'
    container_memory | awk '$1 == "bookinfo" && $3 == "istio-proxy" { print $5 }' | median |
        awk '{ printf "| memory of a sidecar, Envoy and agent (median of bookinfo) | %.1f MiB |\n", $1 / 1048576 }'
}

# resident_memory: what each program holds with the pages of its own file, as `ps` shows it; the local node's processes are this machine's.
resident_memory() {
    ps -C ferromeshd -o rss=,args= | sort -k 3 | awk '{ printf "| resident: ferromeshd %s | %.1f MiB |\n", $3, $1 / 1024 }'
    local program
    for program in envoy ferromesh-agent; do
        ps -C "$program" -o rss= | median | awk '{ printf "| resident: '"$program"' (median) | %.1f MiB |\n", $1 / 1024 }'
    done
}

# start_to_ready: from the first line of a process to its readiness, by its own clock.
start_to_ready() {
    local component run
    for component in istio-pilot istio-citadel istio-galley istio-sidecar-injector; do
        for ((run = 0; run < runs; run++)); do
            k rollout restart -n istio-system "deployment/$component" >/dev/null
            k rollout status -n istio-system "deployment/$component" --timeout=2m >/dev/null
            k logs -n istio-system "$(newest_pod "$component")" | awk '/ starting/ { first = $1 } / ready$/ { print first, $1; exit }'
        done | milliseconds_between | median | sed "s/.*/| $component: start → ready | & ms |/"
    done
}

# newest_pod NAME: the pod that was made last for a Deployment of the control plane; older ones may be ending still.
newest_pod() {
    k get pods -n istio-system -l "app.kubernetes.io/name=$1" --sort-by=.metadata.creationTimestamp -o name | tail -n 1
}

# milliseconds_between: for lines of two times, the difference in milliseconds.
milliseconds_between() {
    local from to
    while read -r from to; do
        echo $(($(date -d "$to" +%s%N) - $(date -d "$from" +%s%N))) | awk '{ printf "%.1f\n", $1 / 1e6 }'
    done
}

median() {
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

gateway_address() {
    gateway_url | sed 's|^http://||'
}

main
