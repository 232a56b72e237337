#!/usr/bin/env bash
# Measures what docs/benchmarks.md shows and prints it as a table: images and memory at rest with bookinfo, start to ready, the way of
# a VirtualService to Envoy, what a sidecar adds to a pod's start and two to a request, and what the webhooks answer on one core.
# Programs are built as they ship (profile release; small for what runs in pods).
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
# shellcheck source=bench/lib/sidecars.sh
source "$root/bench/lib/sidecars.sh"
# shellcheck source=bench/lib/operator.sh
source "$root/bench/lib/operator.sh"

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
    operator_at_rest
    pod_start
    through_sidecars
    start_to_ready
    (cd "$root" && cargo build --locked --release --quiet -p ferromesh -p ferromesh-bench)
    local target
    target="$(cd "$root" && cargo metadata --locked --no-deps --format-version 1 | jq -r .target_directory)/release"
    "$target/ferromesh-bench" effect --gateway "$(gateway_address)"
    local setting=(--ferromeshd "$target/ferromeshd" --core 0 --runs "$runs")
    taskset -c 1 "$target/ferromesh-bench" webhooks "${setting[@]}"
    taskset -c 1 "$target/ferromesh-bench" configuration "${setting[@]}" --ferromesh "$target/ferromesh"
    # Last: it takes the mesh away from whoever else would measure it.
    from_nothing
}

# The mesh and bookinfo, as `make demo` installs them, but for the profile.
install() {
    helm --kube-context "$CONTEXT" upgrade --install ferromesh "$root/charts/ferromesh" \
        --namespace ferromesh-system --create-namespace --wait --timeout 5m --hide-notes
    sed 's/profile: demo/profile: default/' "$root/demo/mesh-local.yaml" | k apply -f -
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

# resident_memory: what each program holds with the pages of its own file, as `ps` shows it, and with its share alone of what processes
# share; the local node's processes are this machine's.
resident_memory() {
    local role
    for role in citadel galley injector operator pilot; do
        processes_memory "ferromeshd $role" "ferromeshd $role"
    done
    processes_memory envoy "envoy (median)"
    # Two processes in each pod: the agent proper, and process 1, which supervises it and Envoy.
    processes_memory "ferromesh-agent agent" "ferromesh-agent agent (median)"
    processes_memory "ferromesh-agent proxy" "ferromesh-agent proxy, which supervises (median)"
}

# processes_memory COMMAND NAME: a line for all processes whose command line begins so.
processes_memory() {
    local process
    for process in $(pgrep -f "^([^ ]*/)?$1"); do
        awk '/^(Rss|Pss):/ { printf "%s ", $2 }' "/proc/$process/smaps_rollup"
        awk '/^RssAnon:/ { print $2 }' "/proc/$process/status"
    done | median_line | awk -v name="$2" '{
        printf "| resident: %s; its share of it; its own alone | %.1f; %.1f; %.1f MiB |\n", name, $1 / 1024, $2 / 1024, $3 / 1024 }'
}

# pod_start: what a sidecar adds to the start of a pod whose images are on the node.
pod_start() {
    local injected run
    local -A what=([false]=without [true]=with)
    for injected in false true; do
        for ((run = 0; run < runs; run++)); do
            one_pod_start "$injected"
        done | median | sed "s/.*/| a pod ${what[$injected]} a sidecar: scheduled → ready | & ms |/"
    done
}

# one_pod_start INJECTED: the milliseconds from the moment at which a watch sees a new pod's node to that at which it sees it ready.
one_pod_start() {
    local name="start-$RANDOM$RANDOM" image watch watcher node ready scheduled="" now
    image="$(sed -n 's/^ *image: *//p' "$root/samples/bookinfo/kube/bookinfo.yaml" | head -n 1)"
    exec {watch}< <(k get pods -n bookinfo --field-selector "metadata.name=$name" --watch \
        -o 'jsonpath={.spec.nodeName}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}' 2>/dev/null)
    watcher=$!
    k run "$name" -n bookinfo --image="$image" --image-pull-policy=IfNotPresent --labels="sidecar.istio.io/inject=$1" -- details >/dev/null
    while read -r -u "$watch" node ready; do
        now="$(date +%s%N)"
        # Without a node the first word is the condition.
        [[ -n "$scheduled" || "$node" == "" || "$node" =~ ^(True|False)$ ]] || scheduled="$now"
        if [[ -n "$scheduled" && "$ready" == True ]]; then
            echo $((now - scheduled)) | awk '{ printf "%.0f\n", $1 / 1e6 }'
            break
        fi
    done
    kill "$watcher" 2>/dev/null || true
    exec {watch}<&-
    k delete pod "$name" -n bookinfo --wait=false >/dev/null
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
    median_line | awk '{ print $1 }'
}

gateway_address() {
    gateway_url | sed 's|^http://||'
}

main
