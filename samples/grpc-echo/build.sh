#!/usr/bin/env bash
# Builds grpc-echo into $FERROMESH_CACHE (by default ~/.cache/ferromesh), and prints where it is. Go's own cache makes a second run short.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
folder="${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}/grpc-echo"
mkdir -p "$folder"
# Built by two at once, it would be replaced while it is started.
exec 9>"$folder/.lock"
flock 9
CGO_ENABLED=0 go -C "$here" build -trimpath -o "$folder/grpc-echo" . >&2
printf '%s\n' "$folder/grpc-echo"
