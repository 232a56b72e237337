# shellcheck shell=bash disable=SC2154
# What an API server makes of the chart. There is no operator here: the checks do, as its ServiceAccount, what it does.

operator="system:serviceaccount:$namespace:ferromesh-operator"
mesh_roles=(
    ferromesh-citadel ferromesh-citadel-namespaced ferromesh-cni ferromesh-cni-repair ferromesh-galley ferromesh-galley-namespaced
    ferromesh-injector ferromesh-kiali ferromesh-pilot ferromesh-pilot-configuration ferromesh-prometheus ferromesh-proxies
    ferromesh-rollout
)

installing() {
    proves "it installs" install
    proves "the MeshInstall of READMEs and notes can be pasted into a shell" pasted
    proves "its pods meet Pod Security's restricted level" restricted
    proves "the operator may do what it must" operator_may
    proves "and nothing that it needn't" operator_may_not
    proves "it binds the mesh's roles and no others" binds_only_ours
    proves "citadel finds the roots by name, in all namespaces at once" citadel_lists_roots
    proves "a MeshInstall is refused while nobody can check it" webhook_fails_closed
    proves "a MeshInstall's metadata changes and it is deleted while the operator is away" webhook_lets_go
    proves "the operator writes caBundle, and helm upgrade leaves it alone" bundle_survives_upgrade
    proves "a bundle that somebody corrupted is taken back" bundle_is_repaired
    proves "the operator enters the roles' owners, and can't change what the roles allow" owners_only
    proves "uninstall: the mesh keeps its roles, until the MeshInstall is deleted" release_goes_first
    proves "the next install takes over" taken_over
    proves "MeshInstall deleted first: the roles stay for the next one, until uninstall" mesh_goes_first
}

install() {
    helm install ferromesh "$chart" -n "$namespace" --create-namespace
}

# Everything from the command to its end, as people paste it.
pasted() {
    local text command
    for text in "$(<"$here/../README.md")" "$(<"$chart/README.md")" "$(helm get notes ferromesh -n "$namespace")"; do
        command="$(awk '/^kubectl apply -f - <<END$/, /^END$/; /^ *echo .*MeshInstall/, /kubectl apply/' <<<"$text")"
        equal "$(bash -c 'kubectl() { command kubectl "$@" --dry-run=client; }; '"$command")" \
            "meshinstall.install.ferromesh.dev/mesh created (dry run)"
    done
}

uninstall() {
    helm uninstall ferromesh -n "$namespace"
}

restricted() {
    local part
    kubectl create namespace restricted --dry-run=client -o yaml | kubectl apply -f - >/dev/null
    kubectl label namespace restricted pod-security.kubernetes.io/warn=restricted --overwrite >/dev/null
    # A pod is refused without its account.
    kubectl create serviceaccount ferromesh-check -n restricted >/dev/null
    for part in operator/deployment test; do
        helm template ferromesh "$chart" -n restricted -s "templates/$part.yaml" |
            kubectl apply --dry-run=server --warnings-as-errors -f -
    done
}

as_operator() {
    kubectl --as "$operator" "$@"
}

# allowed yes|no VERB RESOURCE[/NAME] [ARGUMENT...]
allowed() {
    local answer
    answer="$(kubectl auth can-i "${@:2}" --as "$operator" 2>/dev/null || true)"
    [[ "$answer" == "$1" ]] || { explain "can-i ${*:2}: $answer"; return 1; }
}

operator_may() {
    kubectl wait --for=condition=Established crd/meshinstalls.install.ferromesh.dev --timeout=30s
    allowed yes watch meshinstalls
    allowed yes patch meshinstalls --subresource=status
    allowed yes create namespaces
    allowed yes create meshinstalls
    allowed yes create events.events.k8s.io -n default
    allowed yes update leases.coordination.k8s.io/ferromesh-operator -n "$namespace"
    allowed yes update secrets/ferromesh-webhook-ca -n "$namespace"
    allowed yes patch validatingwebhookconfigurations/ferromesh-operator
    allowed yes delete mutatingwebhookconfigurations/istio-sidecar-injector
    allowed yes patch namespaces/istio-cni
    allowed yes delete namespaces/istio-cni
}

operator_may_not() {
    allowed no update meshinstalls
    allowed no get secrets -n "$namespace"
    allowed no get secrets -A
    allowed no get configmaps -A
    # Both come with a MeshInstall, and the second only while it asks for restarts.
    allowed no list pods -A
    allowed no patch deployments.apps -A
    allowed no patch namespaces
    allowed no delete namespaces
    allowed no delete validatingwebhookconfigurations/somebody-elses
    allowed no delete validatingwebhookconfigurations/ferromesh-operator
    allowed no delete clusterrolebindings/cluster-admin
    allowed no bind clusterroles/cluster-admin
    allowed no escalate clusterroles/ferromesh-pilot
    allowed no escalate roles/ferromesh-pilot-credentials -n default
    allowed no create roles -n default
    allowed no create tokenreviews.authentication.k8s.io
}

binds_only_ours() {
    local role
    kubectl create namespace istio-system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
    for role in "${mesh_roles[@]}"; do
        if [[ "$role" == *-namespaced ]]; then
            as_operator create rolebinding "$role" -n istio-system --clusterrole "$role" --serviceaccount "istio-system:${role#ferromesh-}"
        else
            as_operator create clusterrolebinding "$role" --clusterrole "$role" --serviceaccount "istio-system:${role#ferromesh-}"
        fi
    done
    as_operator create rolebinding ferromesh-operator-namespaced -n istio-system --clusterrole ferromesh-operator-namespaced \
        --serviceaccount "$namespace:ferromesh-operator"
    allowed yes create deployments.apps -n istio-system
    allowed yes update secrets/istio-galley-webhook-certs -n istio-system
    allowed yes patch leases.coordination.k8s.io/istio-citadel -n istio-system
    allowed yes create gateways.networking.istio.io -n istio-system
    allowed no create gateways.networking.istio.io -n default
    allowed yes patch peerauthentications.security.istio.io -n istio-system
    allowed no patch peerauthentications.security.istio.io -n default
    allowed no get secrets/istio-ca-secret -n istio-system
    allowed yes escalate roles/ferromesh-pilot-credentials -n istio-system
    allowed no escalate roles/another -n istio-system
    allowed no get secrets/web -n istio-system
    allowed no create deployments.apps -n default
    refused as_operator create clusterrolebinding ferromesh-pilot-2 --clusterrole cluster-admin --serviceaccount a:b
}

citadel_lists_roots() {
    local citadel=(kubectl --as system:serviceaccount:istio-system:citadel)
    "${citadel[@]}" get configmaps -A --field-selector metadata.name=istio-ca-root-cert
    refused "${citadel[@]}" get configmaps -A
}

meshinstall() {
    printf '{"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "mesh"}, "spec": {"profile": "%s"}}' "$1"
}

webhook_fails_closed() {
    local output
    if output="$(meshinstall default | kubectl create -f - 2>&1)"; then
        explain "it was accepted"
        return 1
    fi
    has "$output" "failed calling webhook"
}

# A MeshInstall that is there before the webhook is, since nobody here can admit one.
create_meshinstall() {
    kubectl delete validatingwebhookconfiguration ferromesh-operator --ignore-not-found
    until_true 30 eval 'meshinstall default | kubectl create -f -'
    helm upgrade ferromesh "$chart" -n "$namespace" >/dev/null
    until_true 30 webhook_answers_for_updates
}

webhook_answers_for_updates() {
    refused eval 'meshinstall demo | kubectl apply --dry-run=server -f -'
}

webhook_lets_go() {
    create_meshinstall
    kubectl label meshinstall mesh some=label
    kubectl delete meshinstall mesh --cascade=foreground --timeout=30s
}

bundle() {
    kubectl get validatingwebhookconfiguration ferromesh-operator -o 'jsonpath={.webhooks[0].clientConfig.caBundle}'
}

# What the package webhook-certs sends.
write_bundle() {
    as_operator apply --server-side --force-conflicts --field-manager ferromesh-webhook-certs -f - <<END
{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "ferromesh-operator"},
 "webhooks": [{"name": "meshinstalls.install.ferromesh.dev", "clientConfig": {"caBundle": "$1"}},
   {"name": "probe.install.ferromesh.dev", "clientConfig": {"caBundle": "$1"}}]}
END
}

a_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj "/CN=$1" -days 1 2>/dev/null | base64 -w0
}

bundle_survives_upgrade() {
    local written
    written="$(a_certificate first)"
    write_bundle "$written"
    helm upgrade ferromesh "$chart" -n "$namespace" --set replicas=2
    equal "$(bundle)" "$written"
    equal "$(kubectl get validatingwebhookconfiguration ferromesh-operator -o 'jsonpath={.webhooks[0].clientConfig.service.path}')" \
        /validate-meshinstall
    equal "$(kubectl get validatingwebhookconfiguration ferromesh-operator -o json --show-managed-fields | jq -c '.metadata.managedFields[]
        | select(.manager == "ferromesh-webhook-certs").fieldsV1["f:webhooks"] | map(.["f:clientConfig"])')" '[{"f:caBundle":{}},{"f:caBundle":{}}]'
}

bundle_is_repaired() {
    local written
    written="$(a_certificate second)"
    kubectl patch validatingwebhookconfiguration ferromesh-operator --type json \
        -p "[{\"op\": \"replace\", \"path\": \"/webhooks/0/clientConfig/caBundle\", \"value\": \"$(a_certificate somebody)\"}]"
    write_bundle "$written"
    equal "$(bundle)" "$written"
    helm upgrade ferromesh "$chart" -n "$namespace"
    equal "$(bundle)" "$written"
}

uid() {
    kubectl get "$@" -o 'jsonpath={.metadata.uid}'
}

# enter_owners OWNER...: makes them, as a JSON list, the owners of the mesh's roles.
enter_owners() {
    local role
    for role in "${mesh_roles[@]}"; do
        as_operator apply --server-side --field-manager ferromesh-operator-owners -f - <<END
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "$role", "ownerReferences": [$1]}}
END
    done
}

chart_owner() {
    printf '{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "ferromesh-operator", "uid": "%s"}' \
        "$(uid clusterrole ferromesh-operator)"
}

mesh_owner() {
    printf '{"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "name": "mesh", "uid": "%s"}' "$(uid meshinstall mesh)"
}

owners_only() {
    enter_owners "$(chart_owner)"
    refused as_operator patch clusterrole ferromesh-pilot --type json \
        -p '[{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}}]' 2>/dev/null
}

roles_there() {
    local count
    count="$(kubectl get clusterroles -o name | grep -cxF "$(printf 'clusterrole.rbac.authorization.k8s.io/%s\n' "${mesh_roles[@]}")" || true)"
    equal "$count" "$1"
}

# The garbage collector takes the objects that it finds one after the other: once a later one without owners has gone, the roles
# have had their turn.
collected() {
    kubectl create configmap canary -n default --dry-run=client -o json |
        jq '.metadata.ownerReferences = [{apiVersion: "v1", kind: "ConfigMap", name: "gone", uid: "00000000-0000-0000-0000-000000000000"}]' |
        kubectl create -f -
    until_true 60 eval '! kubectl get configmap canary -n default'
}

release_goes_first() {
    create_meshinstall
    enter_owners "$(chart_owner), $(mesh_owner)"
    uninstall
    collected
    roles_there "${#mesh_roles[@]}"
    # Nothing of the chart is left that could be in the way.
    equal "$(kubectl get validatingwebhookconfigurations,clusterrolebindings,clusterroles -o name | grep ferromesh-operator)" ""
    equal "$(kubectl get all,pdb,serviceaccounts,roles,rolebindings -n "$namespace" -o name | grep ferromesh || true)" ""
    kubectl delete meshinstall mesh --timeout=30s
    until_true 60 roles_there 0
    kubectl get crd meshinstalls.install.ferromesh.dev
}

taken_over() {
    install
    create_meshinstall
    enter_owners "$(chart_owner), $(mesh_owner)"
    uninstall
    install
    roles_there "${#mesh_roles[@]}"
    enter_owners "$(chart_owner), $(mesh_owner)"
}

mesh_goes_first() {
    kubectl delete meshinstall mesh --timeout=30s
    collected
    roles_there "${#mesh_roles[@]}"
    uninstall
    until_true 60 roles_there 0
    equal "$(kubectl get crd -o name | grep -c 'ferromesh.dev\|istio.io')" "$(render | grep -c '^kind: CustomResourceDefinition')"
}
