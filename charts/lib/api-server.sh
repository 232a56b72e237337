# shellcheck shell=bash disable=SC2154
# An API server with nobody else on it: etcd, kube-apiserver and the garbage collector, on loopback, in the folder $work.

pids=()

start_api_server() {
    local folder="$work/api" token
    mkdir -p "$folder"
    token="$(openssl rand -hex 16)"
    printf '%s,admin,admin,system:masters\n' "$token" >"$folder/tokens.csv"
    openssl ecparam -genkey -name prime256v1 -noout -out "$folder/service-accounts.key"

    local etcd_port peer_port api_port
    etcd_port="$(free_port)" peer_port="$(free_port)" api_port="$(free_port)"
    background etcd etcd --data-dir "$folder/etcd" --unsafe-no-fsync --log-level error \
        --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
        --listen-peer-urls "http://127.0.0.1:$peer_port"
    # A proxy of the machine has no business between the API server and a webhook.
    background apiserver env "NO_PROXY=*" "no_proxy=*" kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" --secure-port "$api_port" \
        --bind-address 127.0.0.1 --cert-dir "$folder/apiserver" --authorization-mode RBAC --token-auth-file "$folder/tokens.csv" \
        --service-cluster-ip-range 10.0.0.0/24 --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$folder/service-accounts.key" --service-account-signing-key-file "$folder/service-accounts.key"

    export KUBECONFIG="$folder/kubeconfig"
    kubectl config set-cluster test --server "https://127.0.0.1:$api_port" --insecure-skip-tls-verify >/dev/null
    kubectl config set-credentials admin --token "$token" >/dev/null
    kubectl config set-context test --cluster test --user admin >/dev/null
    kubectl config use-context test >/dev/null
    until_true 60 kubectl get --raw /readyz || { cat "$folder"/*.log >&2; fail "the API server isn't ready"; }
    background controllers kube-controller-manager --kubeconfig "$KUBECONFIG" --secure-port 0 --leader-elect=false \
        --controllers garbage-collector-controller
}

stop_api_server() {
    local index
    # In the opposite order, so that none waits for one that has gone.
    for ((index = ${#pids[@]} - 1; index >= 0; index--)); do
        kill "${pids[index]}" 2>/dev/null || true
        wait "${pids[index]}" 2>/dev/null || true
    done
    pids=()
}

# background NAME COMMAND...
background() {
    "${@:2}" >"$work/api/$1.log" 2>&1 </dev/null &
    pids+=($!)
}

# A port below those that the kernel gives to outgoing connections.
free_port() {
    local port
    while port=$((RANDOM % 10000 + 20000)); do
        (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { printf '%s' "$port"; return; }
    done
}

# until_true SECONDS COMMAND...: passes as soon as COMMAND does.
until_true() {
    local deadline=$((SECONDS + $1))
    until "${@:2}" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            explain "not within $1 s: ${*:2}"
            "${@:2}"
            return 1
        fi
        read -rt 0.1 <> <(:) || true
    done
}
