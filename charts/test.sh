#!/usr/bin/env bash
# Checks the charts: first with helm alone, then against an API server of its own (etcd, kube-apiserver and the garbage collector
# on loopback, no node), where it is installed, upgraded and removed in both orders.
#
# The programs come from FERROMESH_CACHE/bin (default ~/.cache/ferromesh/bin; make cluster-tools puts them there). What misses
# its program is skipped.
set -euo pipefail
shopt -s inherit_errexit

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${FERROMESH_CACHE:-$HOME/.cache/ferromesh}"
PATH="$cache/bin:$PATH"
# Read by the parts below.
# shellcheck disable=SC2034
chart="$here/ferromesh" gateway="$here/ferromesh-gateway" namespace=ferromesh-system
work="$(mktemp -d)"
export HELM_CACHE_HOME="$work/helm/cache" HELM_CONFIG_HOME="$work/helm/config" HELM_DATA_HOME="$work/helm/data"

# shellcheck source=../images/lib/output.sh
source "$here/../images/lib/output.sh"
# shellcheck source=../images/lib/checks.sh
source "$here/../images/lib/checks.sh"
# shellcheck source=lib/api-server.sh
source "$here/lib/api-server.sh"
# shellcheck source=lib/rendering.sh
source "$here/lib/rendering.sh"
# shellcheck source=lib/installing.sh
source "$here/lib/installing.sh"
# shellcheck source=lib/gateway.sh
source "$here/lib/gateway.sh"

trap 'stop_api_server; rm -rf "$work"' EXIT

main() {
    local tool missing=()
    for tool in helm jq; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if [[ ${#missing[@]} != 0 ]]; then
        skip "the charts" "${missing[*]} not found in $cache/bin or PATH"
        summary
        return
    fi
    rendering
    gateway_rendering
    for tool in etcd kube-apiserver kube-controller-manager kubectl openssl; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if [[ ${#missing[@]} == 0 ]]; then
        start_api_server
        installing
        gateway_installing
    else
        skip "installing the charts" "${missing[*]} not found in $cache/bin or PATH"
    fi
    summary
}

# proves DESCRIPTION FUNCTION [ARGUMENT...]: passes when every command of FUNCTION succeeds. (`check` sees the last one alone: bash
# doesn't stop at a failure inside a condition.)
proves() {
    local output status
    set +e
    output="$(set -e; "${@:2}" 2>&1)"
    status=$?
    set -e
    check "$1" report "$status" "$output"
}

report() {
    printf '%s\n' "$2"
    return "$1"
}

# refused COMMAND...: passes when COMMAND fails.
refused() {
    if "$@"; then
        explain "accepted: $*"
        return 1
    fi
}

main
