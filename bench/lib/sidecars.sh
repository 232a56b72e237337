# shellcheck shell=bash disable=SC2154
# What two sidecars cost a request: the same load, from one pod to another, with and without them.
#
# Each Envoy has one worker and is bound to a core of its own; the load is bound to the client's core and the server to the other, as they
# are without sidecars. The load is wrk, in the client's network namespace: the local node's processes are this machine's.

# through_sidecars: a line for each number of connections, direct and through two sidecars; the median of $runs runs by requests a second.
through_sidecars() {
    command -v wrk >/dev/null || apt-get install -q -y --no-install-recommends wrk >/dev/null
    local way connections
    for way in direct meshed; do
        bench_pair "$way" | k apply -n bookinfo -f - >/dev/null
    done
    k wait pod -n bookinfo -l bench=sidecars --for=condition=Ready --timeout=2m >/dev/null
    for way in direct meshed; do
        bind_to_cores "$way"
        for connections in 1 16; do
            load_pair "$way" "$connections"
        done
    done
    k delete pod,service -n bookinfo -l bench=sidecars --wait=false >/dev/null
}

# bench_pair WAY: a client, a server and its Service, with sidecars if WAY is meshed.
bench_pair() {
    local way="$1" inject=false role image
    [[ "$way" == direct ]] || inject=true
    image="$(sed -n 's/^ *image: *//p' "$root/samples/bookinfo/kube/bookinfo.yaml" | head -n 1)"
    for role in client server; do
        cat <<EOF
---
apiVersion: v1
kind: Pod
metadata:
  name: $way-$role
  labels: {app: $way-$role, bench: sidecars, sidecar.istio.io/inject: "$inject"}
  annotations: {proxy.istio.io/config: '{"concurrency": 1}'}
spec:
  containers:
    - {name: $role, image: "$image", imagePullPolicy: IfNotPresent, args: [details], ports: [{name: http, containerPort: 9080}]}
EOF
    done
    cat <<EOF
---
apiVersion: v1
kind: Service
metadata: {name: $way-server, labels: {bench: sidecars}}
spec: {selector: {app: $way-server}, ports: [{name: http, port: 9080, targetPort: http}]}
EOF
}

# bind_to_cores WAY: what runs in the client to core 0, what runs in the server to core 1.
bind_to_cores() {
    local role core=0 process
    for role in client server; do
        for process in $(pod_processes "$1-$role"); do
            taskset -a -c -p "$core" "$process" >/dev/null
        done
        core=$((core + 1))
    done
}

# load_pair WAY CONNECTIONS
load_pair() {
    local way="$1" connections="$2" run client address said
    client="$(pod_processes "$way-client" | head -n 1)"
    address="$(k get service -n bookinfo "$way-server" -o 'jsonpath={.spec.clusterIP}')"
    local -A what=([direct]="directly" [meshed]="through two sidecars")
    for ((run = 0; run <= runs; run++)); do
        said="$(nsenter -t "$client" -n taskset -c 0 wrk -t 1 -c "$connections" -d 5s --latency \
            -H "Host: $way-server:9080" "http://$address:9080/health")"
        if grep -qE 'Non-2xx|Socket errors' <<<"$said"; then
            fail "requests $way failed: $said"
        fi
        # The first run warms connections up.
        ((run == 0)) || awk '$1 == "50%" { p50 = $2 } $1 == "99%" { p99 = $2 } $1 == "Requests/sec:" { print $2, p50, p99 }' <<<"$said"
    done | median_line | awk -v what="${what[$way]}" -v connections="$connections" '{
        printf "| requests a second %s, %s connections; p50, p99 | %.0f/s; %s, %s |\n", what, connections, $1, $2, $3 }'
}

# pod_processes NAME: the processes of a pod in bookinfo, by the kernel's account of who belongs to it.
pod_processes() {
    local uid
    uid="$(k get pod -n bookinfo "$1" -o 'jsonpath={.metadata.uid}')"
    grep -lsE "pod(${uid}|${uid//-/_})" /proc/[0-9]*/cgroup | cut -d / -f 3
}

# median_line: of lines that begin with a number, the one in the middle.
median_line() {
    sort -n | awk '{ all[NR] = $0 } END { print all[int((NR + 1) / 2)] }'
}
