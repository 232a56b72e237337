# shellcheck shell=bash disable=SC2154
# What the two processes of ours in a pod hold once the agent has done all that it does for its pod, over and over: DNS queries answered
# from the mesh's names, pages of metrics merged, the application probed in the kubelet's place.
#
# The local node's processes are this machine's, so that the queries are sent from the pod's own network namespace.

# agent_under_load: a line for each of the two.
agent_under_load() {
    local process processes agent supervisor
    loaded_pod | k apply -n bookinfo -f - >/dev/null
    k wait pod -n bookinfo loaded --for=condition=Ready --timeout=2m >/dev/null
    processes="$(pod_processes loaded)"
    for process in $processes; do
        case "$(tr '\0' ' ' <"/proc/$process/cmdline")" in
        *ferromesh-agent\ agent\ *) agent="$process" ;;
        *ferromesh-agent\ proxy\ *) supervisor="$process" ;;
        esac
    done
    load_agent "$agent"
    process_memory "$agent" | memory_line "ferromesh-agent agent, under load"
    process_memory "$supervisor" | memory_line "ferromesh-agent proxy, beside it"
    k delete pod -n bookinfo loaded --wait=false >/dev/null
}

loaded_pod() {
    local image
    image="$(sed -n 's/^ *image: *//p' "$root/samples/bookinfo/kube/bookinfo.yaml" | head -n 1)"
    cat <<EOF
apiVersion: v1
kind: Pod
metadata:
  name: loaded
  annotations:
    proxy.istio.io/config: '{"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}}'
    prometheus.io/scrape: "true"
    prometheus.io/port: "9080"
    prometheus.io/path: /health
spec:
  containers:
    - name: details
      image: $image
      imagePullPolicy: IfNotPresent
      args: [details]
      ports: [{name: http, containerPort: 9080}]
      readinessProbe: {httpGet: {path: /health, port: 9080}, periodSeconds: 1}
EOF
}

# load_agent PROCESS: 1,000 queries and 100 scrapes, in the network namespace of this process.
load_agent() {
    nsenter -t "$1" -n bash -s "$(dns_server)" <<'EOF'
set -euo pipefail
# The address of details.bookinfo.svc.cluster.local, as a resolver asks for it.
query='\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07details\x08bookinfo\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01'
exec 3<>"/dev/udp/$1/53"
for ((i = 0; i < 1000; i++)); do
    printf "$query" >&3
    answer="$(timeout 5 dd bs=512 count=1 status=none <&3 | od -An -tx1 | tr -d ' \n')"
    # It repeats the query's number, is an answer without error, and has one record.
    [[ "$answer" =~ ^1234[89].8000010001 ]] || { echo "the agent does not answer a query: $answer" >&2; exit 1; }
done
for ((i = 0; i < 100; i++)); do
    [[ "$(curl --silent --fail http://localhost:15020/stats/prometheus)" == *istio_agent_* ]] || { echo "no metrics" >&2; exit 1; }
    curl --silent --fail http://localhost:15020/app-health/details/readyz >/dev/null || { echo "no probe" >&2; exit 1; }
done
EOF
}

dns_server() {
    k get service -n kube-system kube-dns -o 'jsonpath={.spec.clusterIP}'
}
