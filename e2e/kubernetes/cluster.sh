#!/bin/sh
# The local cluster: `cluster.sh up|down|status|load FILE.tar…`. Builds what it runs first, if need be.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}/bin/ferromesh-kubernetes
if [ "${1:-}" = up ]; then
    # Said before a build of minutes rather than after it.
    if [ "$(id -u)" != 0 ]; then
        echo "cluster: error: a cluster on this machine needs root, for namespaces, cgroups and mounts:" \
            "run this as root, or use a cluster that you have (CONTEXT=its-kubectl-context)" >&2
        exit 1
    fi
    "$here/build.sh"
elif [ ! -x "$program" ]; then
    # What was never built does not run.
    echo "cluster: there is no cluster; \`make cluster-up\` starts one" >&2
    [ "${1:-}" = down ]
    exit
fi
exec "$program" cluster "$@"
