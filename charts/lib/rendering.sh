# shellcheck shell=bash disable=SC2154
# What helm alone can tell of the chart.

rendering() {
    proves "the chart lints" helm lint --strict "$chart"
    proves "a value that doesn't exist is refused by name" refused_value replcas=2 "additional properties 'replcas' not allowed"
    proves "so is one inside an object" refused_value image.tga=1 "additional properties 'tga' not allowed"
    proves "a value of the wrong kind is refused" refused_value webhook.certificates=somebody webhook/certificates
    proves "a parent chart's values are let through" render --set global.x=1,enabled=true
    proves "every value is in the README" in_readme "$chart"
    proves "the image is put together from its parts" image_parts
    proves "everything that can be set shows in the result" everything_set
    proves "operators keep to different nodes and zones, unless something else is said" spread_by_itself
    proves "CRDs can be left out" without_crds
    proves "CRDs and the mesh's roles outlive the release, nothing else" kept_objects
    proves "the webhook has no caBundle, and never asks about DELETE" webhook_rendered
    proves "an outside issuer's Secrets aren't the operator's to write" external_certificates
    proves "the command line installs the same operator" same_operator
    proves "helm test may read what checks look at, and change nothing" test_only_reads
    proves "the notes are at most 15 lines" notes_are_short
}

render() {
    helm template ferromesh "$chart" -n "$namespace" "$@"
}

refused_value() {
    local output
    if output="$(render --set "$1" 2>&1)"; then
        explain "$1 was accepted"
        return 1
    fi
    has "$output" "$2"
}

# The schema is closed, so its leaves are all values that there are.
in_readme() {
    local chart="$1" value
    while read -r value; do
        grep -qF "| \`$value\` |" "$chart/README.md" || { explain "README.md lacks $value"; return 1; }
    done < <(jq -r '
        def leaves(path): to_entries[] | (path + [.key]) as $path
            | if .value.properties and (.key | IN("image", "crds", "webhook", "autoscaling", "service", "serviceAccount")) then .value.properties | leaves($path)
              else $path | join(".") end;
        .properties | del(.global, .enabled) | leaves([])' "$chart/values.schema.json")
}

image_parts() {
    local digest
    digest="sha256:$(printf '%064d' 0)"
    has "$(render)" "image: docker.io/ferromesh/ferromesh:0.1.0" &&
        has "$(render --set image.registry=)" "image: ferromesh/ferromesh:0.1.0" &&
        has "$(render --set "image.registry=r.test:5000,image.repository=a/b,image.tag=x,image.digest=$digest")" \
            "image: r.test:5000/a/b/ferromesh:x@$digest"
}

everything_set() {
    local output part
    output="$(render --set 'image.pullSecrets[0].name=hub-password,replicas=3,resources.limits.memory=77Mi,nodeSelector.disk=ssd' \
        --set 'tolerations[0].key=dedicated,affinity.podAntiAffinity.x=spread,podAnnotations.note=hello,logLevel=debug' \
        --set 'topologySpreadConstraints[0].maxSkew=2,topologySpreadConstraints[0].topologyKey=rack,priorityClassName=high' \
        --set 'topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule' \
        --set 'podAnnotations.prometheus\.io/port=off,image.pullPolicy=Never,revisions={canary},tags={prod}')"
    for part in "name: hub-password" "replicas: 3" "topologyKey: rack" "priorityClassName: high" "memory: 77Mi" "disk: ssd" "key: dedicated" "x: spread" "note: hello" \
        'value: "debug"' "prometheus.io/port: \"off\"" "imagePullPolicy: Never" "kind: PodDisruptionBudget" \
        "- istio-galley-canary" "- ferromesh-pilot-canary" "- istio-revision-tag-prod"; do
        has "$output" "$part" || return
    done
}

spread_by_itself() {
    local usual told
    usual="$(render --set replicas=2)"
    told="$(render --set 'replicas=2,affinity.podAntiAffinity.x=spread')"
    has "$usual" "topologyKey: kubernetes.io/hostname" && has "$usual" "topologyKey: topology.kubernetes.io/zone" &&
        [[ "$told" != *"topologyKey: kubernetes.io/hostname"* ]]
}

without_crds() {
    local output
    output="$(render --set crds.install=false)"
    [[ "$output" != *"kind: CustomResourceDefinition"* ]]
    has "$(render)" "kind: CustomResourceDefinition"
}

kept_objects() {
    local kept
    kept="$(render | awk -v roles="${#mesh_roles[@]}" '
        /^---/ { kind = name = "" }
        /^kind:/ { kind = $2 }
        /^  name:/ && !name { name = $2 }
        /^    helm.sh\/resource-policy: keep/ { keep[kind]++ }
        /^kind: CustomResourceDefinition/ { crds++ }
        END { printf "%s", (keep["CustomResourceDefinition"] == crds && keep["ClusterRole"] == roles) ? "yes" : "no" }')"
    equal "$kept" yes
    equal "$(render | grep -c 'resource-policy: keep')" "$(($(render | grep -c '^kind: CustomResourceDefinition') + ${#mesh_roles[@]}))"
}

webhook_rendered() {
    local output
    output="$(render -s templates/operator/webhook.yaml | grep -v '^ *#')"
    [[ "$output" != *caBundle* ]] && has "$output" "operations: [CREATE, UPDATE]" && has "$output" "timeoutSeconds: 5"
}

external_certificates() {
    local output
    output="$(render --set webhook.certificates=external)"
    has "$output" "value: external"
    [[ "$output" != *ferromesh-webhook-ca* ]]
    # That of Secrets is the one thing less that it may create.
    equal "$(creations --set webhook.certificates=external)" "$(($(creations) - 1))"
}

# creations ARGUMENT...: how many rules let the operator create something.
creations() {
    render -s templates/roles/operator.yaml "$@" | grep -A1 'verbs:' | grep -c create
}

# `ferromesh operator init` has what Helm renders built in.
same_operator() {
    local install="$here/../src/cli/install"
    diff "$install/operator.yaml" <(render --no-hooks --set 'crds.install=false,revisions={any-revision},tags={any-tag}') &&
        diff "$install/tests/operator-named.yaml" <(render --set 'revisions={canary,next},tags={prod}' \
            -s templates/operator/access.yaml -s templates/roles/galley.yaml -s templates/roles/operator.yaml) ||
        { explain "make generate writes both anew"; return 1; }
}

test_only_reads() {
    local output
    output="$(render -s templates/test.yaml)"
    equal "$(grep 'verbs:' <<<"$output" | sort -u | xargs)" "verbs: [list]"
    [[ "$output" != *secrets* ]]
    equal "$(grep -c 'helm.sh/hook: test' <<<"$output")" 4
}

notes_are_short() {
    [[ "$(wc -l <"$chart/templates/NOTES.txt")" -le 15 ]]
}
