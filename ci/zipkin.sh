#!/usr/bin/env bash
# Prints the path of the Zipkin server VERSION, by which tests check what the mesh tells the add-on for traces. Maven fetches it into the cache.
#
#   FERROMESH_CACHE   where it is kept (default ~/.cache/ferromesh)
set -euo pipefail

version="${1:?usage: ci/zipkin.sh VERSION}"
cache="${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}"
kept="$cache/zipkin"
name="zipkin-server-$version-exec.jar"

for program in java mvn; do
  command -v "$program" >/dev/null || { echo "zipkin: there is no $program on this machine: make prepare installs it" >&2; exit 69; }
done
if [ ! -e "$kept/$name" ]; then
  mkdir -p "$kept"
  scratch="$(mktemp -d "$kept/.fetching.XXXXXX")"
  trap 'rm -rf "$scratch"' EXIT
  (cd "$scratch" && mvn -q -B dependency:copy "-Dartifact=io.zipkin:zipkin-server:$version:jar:exec" "-DoutputDirectory=$scratch") >"$scratch/log" 2>&1 || {
    tail -5 "$scratch/log" >&2
    echo "zipkin: Maven could not fetch zipkin-server $version: its last lines are above" >&2
    exit 1
  }
  # Whoever was quicker has the same file.
  mv "$scratch/$name" "$kept/$name"
fi
echo "$kept/$name"
