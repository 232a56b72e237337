# shellcheck shell=bash disable=SC2154
# The chart of a gateway that stands alone: with helm, and what an API server makes of it.

gateway_rendering() {
    proves "the gateway's chart lints" helm lint --strict "$gateway"
    proves "a value that the gateway doesn't have is refused by name" refuses_gateway replcas=2 "additional properties 'replcas' not allowed"
    proves "so is one inside of its Service" refuses_gateway service.typ=NodePort "additional properties 'typ' not allowed"
    proves "so is a label by which others find its pods" refuses_gateway 'labels.app\.kubernetes\.io/name=x' "invalid propertyName 'app.kubernetes.io/name'"
    proves "so is a port of the proxy's own" refuses_gateway 'service.ports[0].name=a,service.ports[0].port=1,service.ports[0].targetPort=15001' targetPort
    proves "a parent chart's values are let through to the gateway" gateway --set global.x=1,enabled=true
    proves "every value of the gateway is in its README" in_readme "$gateway"
    proves "everything that can be set of the gateway shows in the result" gateway_set
    proves "a privileged port leads to one that the proxy may bind" gateway_ports
    proves "a gateway's pods are spared by drains if there is another" gateway_spare
    proves "who only installs a gateway gives nobody a right" gateway_rights
    proves "the gateway's notes are at most 15 lines" test "$(wc -l <"$gateway/templates/NOTES.txt")" -le 15
}

gateway() {
    helm template istio-ingressgateway "$gateway" -n edge "$@"
}

refuses_gateway() {
    local output
    if output="$(gateway --set "$1" 2>&1)"; then
        explain "$1 was accepted"
        return 1
    fi
    has "$output" "$2"
}

gateway_set() {
    local output part
    output="$(gateway --set 'name=web,labels.istio=edge,revision=canary,replicas=3,priorityClassName=high,meshNamespace=mesh' \
        --set 'service.type=NodePort,service.ports[0].name=tls,service.ports[0].port=8443,service.ports[0].nodePort=31443' \
        --set 'service.annotations.cloud=internal,service.loadBalancerIP=192.0.2.1,service.loadBalancerClass=own/lb' \
        --set 'service.loadBalancerSourceRanges={10.0.0.0/8},service.externalTrafficPolicy=Local,env.NUMBER=1' \
        --set 'resources.limits.memory=77Mi,nodeSelector.disk=ssd,tolerations[0].key=dedicated,podAnnotations.note=hello' \
        --set 'affinity.nodeAffinity.x=near,topologySpreadConstraints[0].maxSkew=2,topologySpreadConstraints[0].topologyKey=rack' \
        --set 'topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule,terminationGracePeriodSeconds=99' \
        --set 'serviceAccount.annotations.role=x,credentials={web-cert}')"
    for part in "name: web" "istio: edge" 'istio.io/rev: "canary"' "replicas: 3" "priorityClassName: high" "namespace: mesh" "type: NodePort" \
        "nodePort: 31443" "cloud: internal" 'loadBalancerIP: "192.0.2.1"' "loadBalancerClass: own/lb" "- 10.0.0.0/8" \
        "externalTrafficPolicy: Local" 'value: "1"' "memory: 77Mi" "disk: ssd" "key: dedicated" "note: hello" "x: near" "topologyKey: rack" \
        "terminationGracePeriodSeconds: 99" "role: x" "- web-cert" "kind: PodDisruptionBudget"; do
        has "$output" "$part" || return
    done
    [[ "$output" != *podAntiAffinity* && "$output" != *topology.kubernetes.io/zone* ]]
    output="$(gateway --set autoscaling.enabled=true,autoscaling.maxReplicas=7,autoscaling.targetCPUUtilizationPercentage=60)"
    for part in "maxReplicas: 7" "averageUtilization: 60" "podAntiAffinity" "topology.kubernetes.io/zone" "istio: ingressgateway"; do
        has "$output" "$part" || return
    done
    [[ "$output" != *"  replicas:"* ]]
}

# Each port of the Service, and where it leads.
gateway_ports() {
    local ports
    ports="$(gateway -s templates/service.yaml | awk '$2 ~ /^[0-9]+$/ && /port:|targetPort:/ { printf "%s ", $2 }')"
    equal "$ports" "15021 15021 80 8080 443 8443 "
}

gateway_spare() {
    local values
    for values in replicas=1 autoscaling.enabled=true; do
        [[ "$(gateway --set "$values")" != *"kind: PodDisruptionBudget"* ]] || { explain "a budget with $values"; return 1; }
    done
    for values in replicas=2 autoscaling.enabled=true,autoscaling.minReplicas=2; do
        has "$(gateway --set "$values")" "kind: PodDisruptionBudget" || return
    done
}

gateway_rights() {
    [[ "$(gateway)" != *"kind: Role"* ]]
}

gateway_installing() {
    proves "the gateway installs" install_gateway
    proves "its pods meet Pod Security's restricted level" gateway_restricted
    proves "pilot, wherever it stands, may read the Secret that the gateway names, and no other" gateway_credentials
    proves "the gateway can be left to an autoscaler" gateway_scales
    proves "nothing is left of it" gateway_goes
}

install_gateway() {
    helm install istio-ingressgateway "$gateway" -n edge --create-namespace --set 'credentials={web}'
    equal "$(kubectl get deployment istio-ingressgateway -n edge -o 'jsonpath={.spec.template.spec.containers[*].image}')" auto
}

gateway_restricted() {
    kubectl label namespace edge pod-security.kubernetes.io/warn=restricted --overwrite >/dev/null
    gateway -s templates/deployment.yaml | kubectl apply --dry-run=server --warnings-as-errors -f -
}

gateway_credentials() {
    local name pilot
    for name in istio-pilot istio-pilot-blue istio-pilot-green; do
        pilot=(kubectl auth can-i get --as "system:serviceaccount:istio-system:$name" -n edge)
        equal "$("${pilot[@]}" secrets/web || true)" yes
        equal "$("${pilot[@]}" secrets/another || true)" no
        equal "$("${pilot[@]}" secrets || true)" no
    done
}

gateway_scales() {
    helm upgrade istio-ingressgateway "$gateway" -n edge --set autoscaling.enabled=true,autoscaling.minReplicas=2
    equal "$(kubectl get hpa,pdb -n edge -o name | sort | xargs)" \
        "horizontalpodautoscaler.autoscaling/istio-ingressgateway poddisruptionbudget.policy/istio-ingressgateway"
}

gateway_goes() {
    helm uninstall istio-ingressgateway -n edge
    until_true 30 eval '[[ -z "$(kubectl get all,hpa,pdb,serviceaccounts,roles,rolebindings -n edge -o name | grep ingressgateway)" ]]'
}
