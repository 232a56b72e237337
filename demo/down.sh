#!/usr/bin/env bash
# Removes what up.sh made: bookinfo, the mesh, the operator; and the local cluster, if it was used.
#
#   CONTEXT=name   the cluster that `make demo CONTEXT=name` used
set -euo pipefail
shopt -s inherit_errexit

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export FERROMESH_CACHE="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}"
PATH="$FERROMESH_CACHE/bin:$PATH"
# shellcheck source=demo/lib/output.sh
source "$root/demo/lib/output.sh"
# shellcheck source=demo/lib/cluster.sh
source "$root/demo/lib/cluster.sh"

if [[ -z "${CONTEXT:-}" ]]; then
    # All of it lives in the local cluster, and ends with it.
    exec "$root/e2e/kubernetes/cluster.sh" down
fi

need_tools
k delete namespace bookinfo --ignore-not-found
if k get crd meshinstalls.install.ferromesh.dev >/dev/null 2>&1; then
    k delete meshinstall mesh --ignore-not-found
    say "waiting for the mesh's objects to go"
    k wait --for=delete deployment --all -n istio-system --timeout=2m
fi
helm --kube-context "$CONTEXT" uninstall ferromesh --namespace ferromesh-system --ignore-not-found --wait
k delete namespace ferromesh-system istio-system --ignore-not-found
# The chart leaves its CRDs, so that an uninstalled release takes no user's configuration along. Who ran the demo wants nothing left;
# CRDs that came from elsewhere stay.
k get crd -o json |
    jq -r '.items[] | select(.metadata.annotations["meta.helm.sh/release-name"] == "ferromesh") | .metadata.name' |
    while read -r crd; do k delete crd "$crd"; done
