#!/bin/sh
# Builds the programs of the local cluster into $FERROMESH_CACHE/bin (by default ~/.cache/ferromesh/bin): every component of
# Kubernetes and kubectl as one program with links, helm, CoreDNS and pause. Each has a stamp with a hash of what it was made
# of, so that a run with nothing new costs milliseconds. From nothing it takes some minutes.
set -eu

kubernetes=v1.34.4
helm=v4.3.1

here=$(cd "$(dirname "$0")" && pwd)
bin=${FERROMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferromesh}/bin
mkdir -p "$bin"
# Absolute, because the builds run in other folders.
bin=$(cd "$bin" && pwd)

# Built by two at once, a program would be replaced while it is being linked.
exec 9>"$bin/.lock"
flock 9

say() { echo "cluster: $*" >&2; }

# A program's hash covers its sources, the versions in go.mod and go.sum, and this script, but no tests.
hash_of() {
    (
        cd "$here"
        echo "$1"
        find build.sh "$@" -type f ! -name '*_test.go' \( -name '*.go' -o -name 'go.*' -o -path '*/templates/*' -o -name build.sh \) |
            LC_ALL=C sort | xargs sha256sum
    ) | sha256sum | cut -d' ' -f1
}

# current PROGRAM HASH: whether the program is there and was made of what has that hash.
current() { [ -x "$bin/$1" ] && [ "$(cat "$bin/.$1.stamp" 2>/dev/null)" = "$2" ]; }

need_go() {
    command -v go >/dev/null || {
        say "error: the programs of the local cluster are built with Go, and there is no go in PATH"
        exit 1
    }
}

# build PROGRAM FOLDER FLAGS, SOURCE...: builds the package of a folder unless it is current.
build() {
    program=$1 folder=$2 flags=$3
    shift 3
    hash=$(hash_of "$@")
    current "$program" "$hash" && return
    need_go
    say "building $program (some minutes if it is the first time)"
    started=$(date +%s)
    (cd "$here/$folder" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w $flags" -o "$bin/.$program.new" .)
    finish "$program" "$hash"
}

# finish PROGRAM HASH: puts a program in its place. It may be running: renaming leaves the running one its file.
finish() {
    mv "$bin/.$1.new" "$bin/$1"
    echo "$2" >"$bin/.$1.stamp"
    say "built $1 in $(($(date +%s) - started)) s"
}

version=k8s.io/component-base/version
build ferromesh-kubernetes . \
    "-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=34" \
    main.go components.go doc.go cluster go.mod go.sum
for component in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    [ -L "$bin/$component" ] || ln -sf ferromesh-kubernetes "$bin/$component"
done
build pause pause "" pause
build coredns coredns "" coredns

if ! current helm "$helm"; then
    need_go
    say "building helm"
    started=$(date +%s)
    staging=$(mktemp -d "$bin/.helm.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    (cd / && GOBIN=$staging CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "helm.sh/helm/v4/cmd/helm@$helm")
    mv "$staging/helm" "$bin/.helm.new"
    finish helm "$helm"
fi
