# shellcheck shell=bash
# What the scripts of this folder take from their surroundings, with defaults. Their names, for
# people, are in build.sh's head.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cache="${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}"
out="${IMAGES_DIR:-$cache/images}"

workspace_version() {
    sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml"
}

hub="${HUB:-ferromesh}"
tag="${TAG:-$(workspace_version)}"

# Every archive that build.sh can make; the first three are what a release ships.
product_archives=(ferromesh ferromesh-proxy bookinfo)
all_archives=("${product_archives[@]}" samples)

# full_name NAME: the name with its registry, as containerd and the kubelet complete it. Archives
# carry this form, so that a pod that asks for the short one finds the image without pulling.
full_name() {
    case "${1%%/*}" in
    *.* | *:* | localhost) printf '%s' "$1" ;;
    *) printf 'docker.io/%s' "$1" ;;
    esac
}
