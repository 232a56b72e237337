#!/usr/bin/env bash
# Gives the images to a cluster that is not the local one.
#
#   HUB=registry.example/team images/push.sh    pushes them to a registry, with skopeo
#   CONTEXT=kind-NAME images/push.sh            loads them into that kind cluster
#
# The archives are built first where they are missing or out of date. TAG, PROFILE, BIN_DIR and
# FERROMESH_CACHE are those of build.sh. SKOPEO_FLAGS goes to `skopeo copy`, as --dest-tls-verify=false.
set -euo pipefail
shopt -s inherit_errexit

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/lib/output.sh
source "$here/lib/output.sh"
# shellcheck source=images/lib/settings.sh
source "$here/lib/settings.sh"

push() {
    local name flags
    need skopeo "it pushes images (Debian: apt-get install skopeo)"
    read -ra flags <<<"${SKOPEO_FLAGS:-}"
    for name in "${product_archives[@]}"; do
        say "pushing $hub/$name:$tag"
        # Archives need no policy about who may sign them: they come from this machine.
        skopeo --insecure-policy copy --quiet "${flags[@]}" \
            "docker-archive:$out/$name.tar" "docker://$hub/$name:$tag" ||
            fail "could not push $hub/$name:$tag: skopeo's message is above (log in with: skopeo login)"
    done
}

load_into_kind() {
    local name
    need kind "it loads images into the context ${CONTEXT} (https://kind.sigs.k8s.io)"
    for name in "${product_archives[@]}"; do
        say "loading $hub/$name:$tag into kind's cluster $1"
        kind load image-archive --name "$1" "$out/$name.tar"
    done
}

if [[ -z "${HUB:-}" && "${CONTEXT:-}" != kind-* ]]; then
    fail "name the registry to push to: HUB=registry.example/team images/push.sh"
fi
"$here/build.sh" "${product_archives[@]}"
if [[ -n "${HUB:-}" ]]; then
    push
else
    load_into_kind "${CONTEXT#kind-}"
fi
