# shellcheck shell=bash disable=SC2154
# What the operator costs while nothing changes, and how soon a mesh is there. The local cluster's processes are this machine's, and its API
# server keeps a log of what the mesh's accounts ask.

# operator_at_rest: CPU, requests and passes over a minute in which nothing changes.
operator_at_rest() {
    local pid ticks lines log="$FERROMESH_CACHE/cluster/audit.log" before after
    pid="$(ps -C ferromeshd -o pid=,args= | awk '$3 == "operator" { print $1; exit }')"
    before="$(operator_passes)" ticks="$(cpu_ticks "$pid")" lines="$(wc -l <"$log")"
    sleep 60
    after="$(operator_passes)"
    echo "$(($(cpu_ticks "$pid") - ticks)) $(getconf CLK_TCK)" |
        awk '{ printf "| operator at rest: CPU | %.2f %% of one core |\n", 100 * $1 / $2 / 60 }'
    tail -n "+$((lines + 1))" "$log" | jq -r 'select(.user.username | endswith(":ferromesh-operator"))
        | if .objectRef.resource == "leases" then "lease" elif .verb == "watch" then "watch" else "other" end' |
        awk '{ count[$1]++ }
            END { printf "| operator at rest: requests a minute | %d of its lease, %d watches renewed, %d others |\n",
                count["lease"], count["watch"], count["other"] }'
    echo "$before $after" | awk '$4 > $2 { printf "| operator at rest: a pass over all objects (%d a minute) | %.2f ms |\n", $4 - $2, 1000 * ($3 - $1) / ($4 - $2) }'
}

# from_nothing: how long after its MeshInstall the mesh is healthy; images are on the node.
from_nothing() {
    local run began
    for ((run = 0; run < runs; run++)); do
        k delete meshinstall mesh >/dev/null
        wait_for 120 "the mesh to go" mesh_gone >&2
        began="$(date +%s%N)"
        sed 's/profile: demo/profile: default/' "$root/demo/mesh-local.yaml" | k apply -f - >/dev/null
        until [[ "$(mesh_state 2>/dev/null)" == "done" ]]; do :; done
        echo $((($(date +%s%N) - began) / 1000000))
    done | median | sed 's/.*/| a MeshInstall is applied → the mesh is healthy | & ms |/'
}

# mesh_gone: `done` once nothing of the mesh is left in its namespace but what stays.
mesh_gone() {
    local left
    left="$(k get deployments,pods -n istio-system -o name)"
    [[ -z "$left" ]] && echo "done" || head -n 1 <<<"$left"
}

# operator_passes: the seconds that its passes have taken, and their number.
operator_passes() {
    local pod
    pod="$(k get pods -n ferromesh-system -l app.kubernetes.io/name=ferromesh-operator -o jsonpath='{.items[0].metadata.name}')"
    k get --raw "/api/v1/namespaces/ferromesh-system/pods/$pod:15014/proxy/metrics" |
        awk '/^operator_pass_seconds_sum/ { sum = $2 } /^operator_pass_seconds_count/ { count = $2 } END { print sum + 0, count + 0 }'
}

cpu_ticks() {
    # The name in the second field may hold spaces.
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}
