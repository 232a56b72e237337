#!/usr/bin/env bash
# Holds what the mesh's accounts asked of the local cluster's API server, by its audit log, against what the chart's roles grant them:
# nothing may have been denied, and nothing may be granted that nobody used. What is otherwise stands in rights.txt, with its reason.
# To be run after all end-to-end tests; after a part of them, more is unused.
set -euo pipefail
shopt -s inherit_errexit

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}"
log="$cache/cluster/audit.log"
ferromesh="${FERROMESH:-${CARGO_TARGET_DIR:-$here/../target}/debug/ferromesh}"
known="$here/rights.txt"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

main() {
    [ -s "$log" ] || { echo "rights: $log is not there: make cluster-up, then the end-to-end tests" >&2; exit 1; }
    requests >"$work/requests"
    grep '^allow ' "$work/requests" | cut -d' ' -f2-4 | sort -u >"$work/allowed"
    # What was allowed at another time was denied because the mesh was being removed: bindings may go before the process that has them.
    awk 'NR == FNR { allowed[$0]; next } $1 == "forbid" && !(($2 " " $3 " " $4) in allowed) { print $2, $3, $4, $5 }' \
        "$work/allowed" "$work/requests" | sort -u >"$work/denied"
    # Server-side apply is one request, `patch`; where the object isn't there yet the API server asks for `create`, too.
    { cat "$work/allowed"; awk '$2 == "patch" { print $1, "create", $3 }' "$work/allowed"; } | sort -u >"$work/used"
    granted | sort -u >"$work/granted"
    # The account, the verb and the resource decide; which of an account's roles it was doesn't matter.
    awk 'NR == FNR { used[$0]; next } !(($1 " " $3 " " $4) in used) { print $2, $3, $4 }' "$work/used" "$work/granted" >"$work/unused"
    local failed=0
    report denied "$work/denied" "was denied" || failed=1
    report unused "$work/unused" "is granted, and was not used" || failed=1
    echo "$(wc -l <"$work/used") rights were used of $(wc -l <"$work/granted") that are granted"
    return "$failed"
}

# requests: `DECISION ACCOUNT VERB RESOURCE.GROUP NAMESPACE` of each request, the group of the core being none.
requests() {
    jq -r 'select(.objectRef != null) | .objectRef as $of
        | [ .annotations["authorization.k8s.io/decision"] // "allow", (.user.username | split(":")[3]), .verb,
            $of.resource + (if $of.subresource then "/" + $of.subresource else "" end) + (if $of.apiGroup then "." + $of.apiGroup else "" end),
            $of.namespace // "-" ] | join(" ")' "$log" | sort -u
}

# granted: `ACCOUNT ROLE VERB RESOURCE.GROUP` of each right. The operator binds its own roles to itself.
granted() {
    "$ferromesh" operator init --dump -o json | jq -r '
        def account: if test("^ferromesh-(operator|proxies|rollout)") then "ferromesh-operator"
            elif test("^ferromesh-injector") then "istio-sidecar-injector"
            elif test("^ferromesh-cni") then "istio-cni-node"
            elif test("^ferromesh-(prometheus|kiali)$") then ltrimstr("ferromesh-")
            else "istio-" + (ltrimstr("ferromesh-") | split("-")[0]) end;
        (if type == "array" then .[] elif .kind == "List" then .items[] else . end)
        | select(.kind == "ClusterRole" or .kind == "Role") | .metadata.name as $role | .rules[]
        | .apiGroups[] as $group | .resources[] as $resource | .verbs[]
        | [($role | account), $role, ., $resource + (if $group == "" then "" else "." + $group end)] | join(" ")'
}

# report KIND FILE WORDS: the lines that rights.txt doesn't know under that kind, as failures. A line there is the kind, then patterns for each
# word, then `#` and the reason.
report() {
    local kind=$1 line pattern found=0
    local -a patterns
    mapfile -t patterns < <(sed -n "s/^$kind  *\([^#]*[^# ]\)  *#.*/\1/p" "$known")
    while read -r line; do
        for pattern in "${patterns[@]}"; do
            # shellcheck disable=SC2053  # a pattern is meant
            [[ "$line" == $pattern ]] && continue 2
        done
        echo "rights: $line $3"
        found=1
    done <"$2"
    return "$found"
}

main
