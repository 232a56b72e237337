#!/usr/bin/env bash
# Unpacks an image that build.sh made, so that another builder can use its files (see Dockerfile).
#
#   images/rootfs.sh NAME FOLDER
#
# HUB, TAG, FERROMESH_CACHE and IMAGES_DIR are those of build.sh.
set -euo pipefail
shopt -s inherit_errexit
umask 022

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/lib/output.sh
source "$here/lib/output.sh"
# shellcheck source=images/lib/settings.sh
source "$here/lib/settings.sh"
# shellcheck source=images/lib/reading.sh
source "$here/lib/reading.sh"

[[ $# -eq 2 ]] || fail "usage: images/rootfs.sh NAME FOLDER"
[[ -f "$out/$1.tar" ]] || fail "$out/$1.tar does not exist: run images/build.sh $1 first"
unpack_image "$out/$1.tar" "$(full_name "$hub/$1:$tag")" "$2"
