#!/usr/bin/env bash
# Prints the path of the program promtool, by which tests check what the mesh tells Prometheus.
#
# It is the machine's, or Debian's, which is unpacked into the cache rather than installed: the package would start a service.
#
#   FERROMESH_CACHE   where it is kept (default ~/.cache/ferromesh)
set -euo pipefail

cache="${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}"
kept="$cache/prometheus"
promtool="$kept/usr/bin/promtool"

if command -v promtool; then
  exit
fi
if [ ! -x "$promtool" ]; then
  command -v apt-get >/dev/null || {
    echo "promtool: there is none on this machine, and no apt-get to get it with: install Prometheus" >&2
    exit 1
  }
  mkdir -p "$cache"
  scratch="$(mktemp -d "$cache/.prometheus.XXXXXX")"
  trap 'rm -rf "$scratch"' EXIT
  # apt's own user must be able to write there.
  chmod 0755 "$scratch"
  (cd "$scratch" && { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; }) >"$scratch/log" 2>&1 || {
    tail -5 "$scratch/log" >&2
    echo "promtool: apt-get could not download the package: its last lines are above" >&2
    exit 1
  }
  dpkg-deb --extract "$scratch"/prometheus_*.deb "$scratch/files"
  # Whoever was quicker has the same files.
  mv -T "$scratch/files" "$kept" 2>/dev/null || [ -x "$promtool" ]
fi
echo "$promtool"
