# shellcheck shell=bash
# What runs where, and what it costs.

# container_memory: a line `NAMESPACE POD CONTAINER NODE BYTES` for each container of the mesh, the operator and bookinfo: the memory
# that its kubelet counts against its limit (the working set, which `kubectl top` shows too).
container_memory() {
    local node
    for node in $(k get nodes -o name); do
        k get --raw "/api/v1/nodes/${node#node/}/proxy/metrics/resource" |
            sed -nE 's/^container_memory_working_set_bytes\{container="([^"]*)",namespace="(istio-system|ferromesh-system|bookinfo)",pod="([^"]*)"\} ([^ ]+).*/\2 \3 \1 '"${node#node/}"' \4/p'
    done | sort
}

memory_table() {
    {
        echo NAMESPACE POD CONTAINER NODE MEMORY
        container_memory | awk '{ printf "%s %s %s %s %.1f MiB\n", $1, $2, $3, $4, $5 / 1048576 }' | sed 's/ MiB$/~MiB/'
    } | column -t | tr '~' ' ' | sed 's/^/   /'
}
