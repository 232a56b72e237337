#!/usr/bin/env bash
# Loads the images into the local cluster (make cluster-up), after building what is out of date.
#
#   images/load.sh [ferromesh] [ferromesh-proxy] [bookinfo] [samples]     (default: all)
#
# HUB, TAG, PROFILE, BIN_DIR, FERROMESH_CACHE and IMAGES_DIR are those of build.sh.
set -euo pipefail
shopt -s inherit_errexit

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/lib/output.sh
source "$here/lib/output.sh"
# shellcheck source=images/lib/settings.sh
source "$here/lib/settings.sh"

names=("$@")
if [[ $# -eq 0 ]]; then
    names=("${all_archives[@]}")
fi
"$here/build.sh" "${names[@]}"
files=("${names[@]/#/$out/}")
"$root/e2e/kubernetes/cluster.sh" load "${files[@]/%/.tar}"
