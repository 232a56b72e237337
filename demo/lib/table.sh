# shellcheck shell=bash
# What runs where, and what it costs.

# memory_table: each container of the mesh and of bookinfo with its resident memory, as its kubelet reports it.
memory_table() {
    local node
    {
        printf 'NAMESPACE\tPOD\tCONTAINER\tNODE\tMEMORY\n'
        for node in $(k get nodes -o name); do
            k get --raw "/api/v1/nodes/${node#node/}/proxy/stats/summary" | jq -r --arg node "${node#node/}" '
                .pods[] | .podRef as $pod
                | select($pod.namespace == "istio-system" or $pod.namespace == "ferromesh-system" or $pod.namespace == "bookinfo")
                | .containers[]? | select((.memory.rssBytes // 0) > 0)
                | [$pod.namespace, $pod.name, .name, $node, "\(.memory.rssBytes / 104857.6 | round / 10) MiB"] | @tsv'
        done | sort
    } | column -t -s $'\t'
}
