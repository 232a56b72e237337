#!/usr/bin/env bash
# Prints the folder with the programs prometheus and promtool, by which tests check what the mesh tells Prometheus.
#
# They are those of the machine, or Debian's, which are unpacked into the cache rather than installed: the package would start a service.
#
#   FERROMESH_CACHE   where they are kept (default ~/.cache/ferromesh)
set -euo pipefail

cache="${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}"
kept="$cache/prometheus"

if installed="$(command -v promtool)" && command -v prometheus >/dev/null; then
  dirname "$installed"
  exit
fi
if [ ! -x "$kept/usr/bin/promtool" ]; then
  command -v apt-get >/dev/null || {
    echo "prometheus: there is no promtool, and no apt-get to get it with: install Prometheus" >&2
    exit 1
  }
  mkdir -p "$cache"
  scratch="$(mktemp -d "$cache/.prometheus.XXXXXX")"
  trap 'rm -rf "$scratch"' EXIT
  # apt's own user must be able to write there.
  chmod 0755 "$scratch"
  (cd "$scratch" && { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; }) >"$scratch/log" 2>&1 || {
    tail -5 "$scratch/log" >&2
    echo "prometheus: apt-get could not download the package: its last lines are above" >&2
    exit 1
  }
  dpkg-deb --extract "$scratch"/prometheus_*.deb "$scratch/files"
  # Whoever was quicker has the same files.
  mv -T "$scratch/files" "$kept" 2>/dev/null || [ -x "$kept/usr/bin/promtool" ]
fi
echo "$kept/usr/bin"
