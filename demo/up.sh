#!/usr/bin/env bash
# From nothing to bookinfo in a mesh, explained step by step. Running it again changes nothing that is already right.
#
#   CONTEXT=name   your cluster's kubectl context instead of a local cluster
#   HUB=registry   where your cluster gets the images from, pushed there with skopeo (not needed for kind)
set -euo pipefail
shopt -s inherit_errexit

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export FERROMESH_CACHE="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}"
PATH="$FERROMESH_CACHE/bin:$PATH"
# shellcheck source=demo/lib/output.sh
source "$root/demo/lib/output.sh"
# shellcheck source=demo/lib/cluster.sh
source "$root/demo/lib/cluster.sh"
# shellcheck source=demo/lib/waiting.sh
source "$root/demo/lib/waiting.sh"
# shellcheck source=demo/lib/page.sh
source "$root/demo/lib/page.sh"
# shellcheck source=demo/lib/table.sh
source "$root/demo/lib/table.sh"

work="$(mktemp -d)"
forward=''
trap '[[ -z "$forward" ]] || kill "$forward" 2>/dev/null || true; rm -rf "$work"' EXIT
bookinfo="$root/samples/bookinfo"

main() {
    # Nothing is installed on the machine of somebody who brings his own cluster.
    [[ -n "${CONTEXT:-}" ]] || "$root/ci/prepare.sh"
    step "A cluster"
    choose_cluster
    step "The images"
    say "ferromesh (control plane), ferromesh-proxy (agent and Envoy) and bookinfo, built without an engine or a registry"
    load_images
    step "The operator"
    install_operator
    step "The mesh"
    install_mesh
    step "An application"
    install_bookinfo
    step "Routing"
    route
    step "What is wrong is refused"
    refuse
    step "What runs where"
    memory_table
    step "Yours to try"
    farewell
}

install_operator() {
    local values=()
    mapfile -t values < <(image_values)
    say "helm returns when the mesh can be asked for"
    show helm --kube-context "$CONTEXT" upgrade --install ferromesh "$root/charts/ferromesh" \
        --namespace ferromesh-system --create-namespace --wait --timeout 5m --hide-notes "${values[@]}" ||
        fail "helm could not install the chart: its message is above"
}

install_mesh() {
    say "one object says what the mesh is; the operator makes it so, and keeps it so"
    if is_local; then
        say "the add-ons stay off: the local cluster fetches no images"
        show k apply -f "$root/demo/mesh-local.yaml"
    else
        show k apply -f "$root/demo/mesh.yaml"
    fi
    wait_for 300 "the mesh" mesh_state
    show k get meshinstall mesh
}

install_bookinfo() {
    say "the namespace's label istio-injection=enabled is all that it takes: pods come up with a sidecar, 2/2"
    show k apply -f "$root/demo/namespace.yaml"
    bookinfo_yaml | k apply -n bookinfo -f - | grep -v unchanged | sed 's/^/   /' || true
    wait_for 300 "bookinfo's pods" pods_state bookinfo
    show k get pods -n bookinfo
    say "a way in, and names for the versions of each service:"
    k apply -n bookinfo -f "$bookinfo/networking/bookinfo-gateway.yaml" -f "$bookinfo/networking/destination-rule-all.yaml" | sed 's/^/   /'
    url="$(gateway_url)"
    [[ -n "$url" ]] || forward_gateway
}

# bookinfo_yaml: the sample, with its image from HUB where there is one.
bookinfo_yaml() {
    sed "s|image: ferromesh/|image: ${HUB:-ferromesh}/|" "$bookinfo/kube/bookinfo.yaml"
}

# forward_gateway: where no address of the gateway can be reached, kubectl carries the requests.
forward_gateway() {
    say "the gateway has no address that this machine reaches; kubectl port-forward carries the requests meanwhile"
    k port-forward -n istio-system service/istio-ingressgateway 8080:80 >"$work/forward.log" 2>&1 &
    forward=$!
    url=http://127.0.0.1:8080
}

route() {
    k apply -n bookinfo -f "$bookinfo/networking/virtual-service-all-v1.yaml" | sed 's/^/   /'
    wait_for 60 "all visitors to be sent to reviews v1" routed v1
    say "everybody sees reviews v1, without stars:          $(versions 10)"

    k apply -n bookinfo -f "$bookinfo/networking/virtual-service-reviews-test-v2.yaml" | sed 's/^/   /'
    sign_in jason "$work/jason"
    wait_for 60 "jason to be sent to reviews v2" routed v2 --cookie "$work/jason"
    say "jason, signed in, sees black stars:                $(versions 10 --cookie "$work/jason")"
    say "others still see none:                             $(versions 10)"

    k apply -n bookinfo -f "$bookinfo/networking/virtual-service-reviews-50-v3.yaml" | sed 's/^/   /'
    wait_for 60 "some visitors to be sent to reviews v3" routed v3
    say "half of the visits go to v3, with red stars:       $(versions 100)"
}

refuse() {
    say "this VirtualService would send 130 % of the traffic somewhere:"
    if show k apply -n bookinfo -f "$root/demo/wrong.yaml"; then
        fail "it was accepted: is galley running? kubectl --context $CONTEXT get pods -n istio-system"
    fi
}

farewell() {
    if [[ -z "$forward" ]]; then
        say "the page:     $bold$url/productpage$plain"
    else
        say "the page:     kubectl --context $CONTEXT port-forward -n istio-system service/istio-ingressgateway 8080:80"
        say "              and then http://127.0.0.1:8080/productpage"
    fi
    if is_local; then
        say "kubectl:      export KUBECONFIG=$KUBECONFIG PATH=$FERROMESH_CACHE/bin:\$PATH"
    fi
    say "the routes:   ls samples/bookinfo/networking"
    say "all of it away again:   make demo-down${HINT_CONTEXT:+ CONTEXT=$HINT_CONTEXT}"
}

HINT_CONTEXT="${CONTEXT:-}"
main
