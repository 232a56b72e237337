#!/usr/bin/env bash
# Builds the project's images as docker-archive files, without a container engine or a registry.
#
#   images/build.sh [ferromesh] [ferromesh-proxy] [bookinfo] [samples]     (default: all)
#
# `samples` is for tests: bookinfo, and small stand-ins, under the names that Istio's samples ask for.
# An archive whose inputs have not changed is left alone.
#
#   HUB               first part of the images' names (default ferromesh: docker.io/ferromesh/…)
#   TAG               their tag (default: the workspace's version)
#   PROFILE           cargo profile of the programs (default dev; release for what ships, with profile small for what runs in pods)
#   BIN_DIR           take the programs from this folder instead of building them
#   FERROMESH_CACHE   where archives and Envoy are kept (default ~/.cache/ferromesh)
#   IMAGES_DIR        where the archives go (default $FERROMESH_CACHE/images)
set -euo pipefail
shopt -s inherit_errexit
umask 022

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/lib/output.sh
source "$here/lib/output.sh"
# shellcheck source=images/lib/settings.sh
source "$here/lib/settings.sh"
# shellcheck source=images/lib/binaries.sh
source "$here/lib/binaries.sh"
# shellcheck source=images/lib/layers.sh
source "$here/lib/layers.sh"
# shellcheck source=images/lib/samples.sh
source "$here/lib/samples.sh"
# shellcheck source=images/lib/archive.sh
source "$here/lib/archive.sh"

# The mesh's own user: traffic of this user id is not redirected, so applications must not have it.
mesh_user=1337:1337
application_user=1000:1000

# inputs NAME: the files that decide what archive NAME holds, one a line.
inputs() {
    find "$here/build.sh" "$here/lib" "$here/files" "$root/LICENSE" -type f
    base_files
    case "$1" in
    ferromesh)
        binary ferromesh
        binary ferromeshd
        binary istio-cni
        iptables_files
        ;;
    ferromesh-proxy)
        printf '%s\n' "$here/envoy.lock" "$here/envoy.sha256" "$(binary ferromesh-agent)" "$(binary ferromesh-supervisor)"
        public_roots
        iptables_files
        ;;
    bookinfo) binary bookinfo ;;
    samples) samples_inputs ;;
    esac
}

# inputs_digest NAME: changes when the archive would.
inputs_digest() {
    local files file
    files="$(inputs "$1" | LC_ALL=C sort -u)"
    while read -r file; do
        [[ -f "$file" ]] || fail "$file does not exist, and the archive $1 needs it"
    done <<<"$files"
    {
        printf '%s\n' "$hub" "$tag"
        tr '\n' '\0' <<<"$files" | xargs -0 sha256sum
    } | sha256sum | cut -d' ' -f1
}

# stack FUNCTION [ARGUMENT]: has FUNCTION fill a folder, adds it to the archive, sets `added`.
stack() {
    local folder="$work/layer"
    mkdir "$folder"
    "$1" "$folder" "${@:2}"
    add_layer "$folder"
    rm -rf "$folder"
}

fill_ferromesh() {
    local base iptables command_line
    stack base_layer
    base="$added"
    stack iptables_layer
    iptables="$added"
    stack program_layer ferromesh
    # For `helm test`; apart, so that who changes only the other moves only that.
    command_line="$added"
    stack program_layer ferromeshd istio-cni
    add_image "$hub/ferromesh:$tag" "$mesh_user" /usr/local/bin/ferromeshd "" "$base" "$iptables" "$command_line" "$added"
}

# Envoy has a layer of its own: an upgrade of the agent then moves a few megabytes.
fill_ferromesh-proxy() {
    local base envoy iptables
    stack base_layer
    base="$added"
    stack iptables_layer
    iptables="$added"
    stack envoy_layer
    envoy="$added"
    stack program_layer ferromesh-agent ferromesh-supervisor
    add_image "$hub/ferromesh-proxy:$tag" "$mesh_user" /usr/local/bin/ferromesh-agent "" \
        "$base" "$iptables" "$envoy" "$added"
}

fill_bookinfo() {
    local base
    stack base_layer
    base="$added"
    stack program_layer bookinfo
    add_image "$hub/bookinfo:$tag" "$application_user" /usr/local/bin/bookinfo "" "$base" "$added"
}

# build NAME: makes the archive, unless the one that is there has the same inputs.
build() {
    local file="$out/$1.tar" digest
    digest="$(inputs_digest "$1")"
    if [[ -f "$file" && "$(cat "$file.inputs" 2>/dev/null)" == "$digest" ]]; then
        say "$file is up to date"
        return
    fi
    new_archive "$work/archive"
    "fill_$1"
    rm -f "$file.inputs"
    finish_archive "$file"
    printf '%s\n' "$digest" >"$file.inputs"
    say "$file: $(numfmt --to=si --suffix=B "$(stat -c %s "$file")")"
}

main() {
    local name
    [[ "$(uname -sm)" == "Linux x86_64" ]] ||
        fail "images are built for Linux on x86_64; this machine is $(uname -sm)"
    [[ -n "$tag" ]] || fail "Cargo.toml has no version in [workspace.package]; set TAG"
    need strip "install binutils (Debian: apt-get install binutils)"
    for name in "$@"; do
        [[ " ${all_archives[*]} " == *" $name "* ]] ||
            fail "there is no image '$name': there are ${all_archives[*]}"
    done
    mkdir -p "$out" || fail "can't write to $out: set FERROMESH_CACHE to another folder"
    work="$(mktemp -d "$out/.build.XXXXXX")"
    trap 'rm -rf "$work"' EXIT
    build_binaries
    for name in "$@"; do
        build "$name"
    done
}

if [[ $# -eq 0 ]]; then
    main "${all_archives[@]}"
else
    main "$@"
fi
