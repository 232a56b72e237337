#!/usr/bin/env bash
# Keeps the few inputs of a target that together reach most; run.sh calls it. Files with names that people gave stay as they are.
#
# Usage: fuzz/keep.sh FUZZER TARGET COUNT KNOWN COMMITTED
set -euo pipefail
fuzzer=$1 target=$2 count=$3 known=$4 committed=$5
largest=8192

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/all" "$work/kept"
# Whole objects only: what is no JSON reaches nothing but the parser of JSON.
for folder in "$committed" "$known"; do
  # grep fails where it finds none.
  { find "$folder" -type f -size -"$((largest + 1))"c -exec grep -lZ '^{' {} + || true; } | xargs -0 -r cp -t "$work/all" --
done
FUZZ_TARGET=$target "$fuzzer" -set_cover_merge=1 -merge_control_file="$work/control" "$work/kept" "$work/all" >"$work/log" 2>&1 || {
  tail -20 "$work/log" >&2
  exit 1
}
find "$committed" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
# The control file lists the files, then for each by its number what it reaches. Always the one that adds most is next.
awk -v count="$count" '
  NR == 1 { files = $1; next }
  NR == 2 { next }
  NR <= files + 2 { name[NR - 3] = $0; next }
  $1 == "FT" { reached[$2] = $0 }
  END {
    for (; count > 0; count--) {
      best = -1; most = 0
      for (file in reached) {
        n = split(reached[file], features, " "); gain = 0
        for (i = 3; i <= n; i++) if (!(features[i] in seen)) gain++
        if (gain > most) { most = gain; best = file }
      }
      if (best < 0) break
      n = split(reached[best], features, " ")
      for (i = 3; i <= n; i++) seen[features[i]] = 1
      print name[best]
    }
  }' "$work/control" | while read -r file; do
  cp "$file" "$committed/$(sha1sum "$file" | cut -d' ' -f1)"
done
