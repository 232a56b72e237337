#!/usr/bin/env bash
# Upgrades a mesh from the build of an older commit to this one by a revision, under load, on the local cluster.
#
#   FROM=COMMIT e2e/upgrade-from.sh
#
# The older commit is built in a checkout and a folder of its own, below target/upgrade-from; that takes as long as a first build. What was
# built there for the same commit before is taken again.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -n "${FROM:-}" ] || { echo "upgrade-from: name the older commit: FROM=COMMIT" >&2; exit 64; }
commit=$(git rev-parse --verify --short "$FROM^{commit}")
target="${CARGO_TARGET_DIR:-$PWD/target}"
work="$target/upgrade-from/$commit"
checkout="$work/checkout"
mkdir -p "$work"
[ -e "$checkout" ] || git worktree add --detach "$checkout" "$commit"

CARGO_TARGET_DIR="$work/target" IMAGES_DIR="$work/images" TAG="from-$commit" "$checkout/images/load.sh" ferromesh ferromesh-proxy
images/load.sh
make --no-print-directory cli
FERROMESH_FROM="$checkout" FERROMESH_FROM_TAG="from-$commit" \
    cargo test --locked -p ferromesh-e2e -- --test-threads=1 --nocapture --ignored older_build::
