# shellcheck shell=bash disable=SC2154
# Which cluster the demo uses: the one that CONTEXT names, or a local one that it starts.

# choose_cluster: sets KUBECONFIG and the context for kubectl and helm, and brings the local cluster up.
choose_cluster() {
    if [[ -n "${CONTEXT:-}" ]]; then
        need_tools
        kubectl --context "$CONTEXT" get --raw /readyz >/dev/null ||
            fail "the cluster of context $CONTEXT does not answer: kubectl's message is above"
        say "using the cluster of your context $CONTEXT"
    else
        say "a one-node Kubernetes on this machine; the first time its programs are built, which takes some minutes"
        "$root/e2e/kubernetes/cluster.sh" up
        use_local_cluster
    fi
}

# use_local_cluster: points kubectl and helm at the local cluster.
use_local_cluster() {
    CONTEXT=ferromesh
    KUBECONFIG="$FERROMESH_CACHE/cluster/kubeconfig"
    export KUBECONFIG
}

# need_tools: what a cluster of the user's needs, all named at once.
need_tools() {
    local tool missing=() tools=(kubectl helm jq curl column)
    if [[ -n "${HUB:-}" ]]; then tools+=(skopeo); elif [[ "$CONTEXT" == kind-* ]]; then tools+=(kind); fi
    for tool in "${tools[@]}"; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ ${#missing[@]} == 0 ]] || fail "missing: ${missing[*]}; install them (make cluster-tools builds kubectl and helm)"
}

k() {
    kubectl --context "$CONTEXT" "$@"
}

# load_images: builds the images and brings them to where the cluster finds them.
load_images() {
    if is_local; then
        "$root/images/load.sh" ferromesh ferromesh-proxy bookinfo
    elif [[ -n "${HUB:-}" || "$CONTEXT" == kind-* ]]; then
        "$root/images/push.sh"
    else
        fail "a cluster of yours needs a registry to get the images from: make demo CONTEXT=$CONTEXT HUB=registry.example/team"
    fi
}

is_local() {
    [[ "$CONTEXT" == ferromesh && "${KUBECONFIG:-}" == "$FERROMESH_CACHE/cluster/kubeconfig" ]]
}

# image_values: the chart's values for where the images are.
image_values() {
    [[ -z "${HUB:-}" ]] || printf '%s\n' --set "image.registry=,image.repository=$HUB"
    [[ -z "${TAG:-}" ]] || printf '%s\n' --set "image.tag=$TAG"
}

# gateway_url: where the ingress gateway answers from this machine; nothing if it can't be reached directly.
gateway_url() {
    local service=(get service -n istio-system istio-ingressgateway -o) address port url
    port="$(k "${service[@]}" 'jsonpath={.spec.ports[?(@.port==80)].nodePort}')"
    address="$(k get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')"
    for url in "http://$(k "${service[@]}" 'jsonpath={.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}')" \
        "http://$address:$port"; do
        # Any answer of HTTP will do, 404 too.
        if [[ "$url" != http:// ]] && curl --noproxy '*' --silent --max-time 3 --output /dev/null "$url/"; then
            printf '%s' "$url"
            return
        fi
    done
}
