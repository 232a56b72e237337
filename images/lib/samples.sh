# shellcheck shell=bash
# Images for tests alone, under the names that Istio's samples ask for, so that their YAML runs as
# it is where nothing can be pulled.

# bookinfo's images: what follows examples-bookinfo-, the service, its version. Those pods give no
# command and no arguments: the image's environment tells the program which service it is.
bookinfo_tag=1.15.0
bookinfo_services=(
    "productpage-v1 productpage v1"
    "details-v1 details v1"
    "ratings-v1 ratings v1"
    "ratings-v2 ratings v2"
    "reviews-v1 reviews v1"
    "reviews-v2 reviews v2"
    "reviews-v3 reviews v3"
)

# What the sleep pod offers to `kubectl exec`, from this machine's own packages.
tools=(/bin/sh /bin/sleep /bin/cat /bin/date /bin/sed /bin/grep /usr/bin/curl /usr/bin/env
    /usr/bin/head /usr/bin/seq /usr/bin/wc)

samples_inputs() {
    need curl "the sleep sample is made of it (Debian: apt-get install curl)"
    binary bookinfo
    find "$here/standins" -type f
    printf '%s\n' "${tools[@]}"
}

# standin_layer FOLDER: the static program that stands in for httpbin, helloworld and tcp-echo.
standin_layer() {
    need go "the stand-ins for Istio's samples are built with it (https://go.dev/dl)"
    (cd "$here/standins" && CGO_ENABLED=0 go build -trimpath -buildvcs=false \
        -ldflags "-s -w -buildid=" -o "$1/usr/local/bin/standin" .) >&2 ||
        fail "could not build images/standins: Go's message is above"
}

# tools_layer FOLDER: the tools and the libraries that the base layer does not have.
tools_layer() {
    local layer="$1" tool library found
    for tool in "${tools[@]}"; do
        put 0755 "$tool" "$tool"
        found="$(ldd "$tool" | awk '$2 == "=>" { print $3 }')"
        for library in $found; do
            if [[ " ${libraries[*]} " != *" ${library##*/} "* ]]; then
                put 0755 "$library" "$library"
            fi
        done
    done
    mkdir -p "$layer/usr/bin"
    ln -s /usr/local/bin/standin "$layer/usr/bin/nc"
}

fill_samples() {
    local base program standin line name service version
    stack base_layer
    base="$added"
    stack program_layer bookinfo
    program="$added"
    stack standin_layer
    standin="$added"
    stack tools_layer
    for line in "${bookinfo_services[@]}"; do
        read -r name service version <<<"$line"
        add_image "istio/examples-bookinfo-$name:$bookinfo_tag" "$application_user" /usr/local/bin/bookinfo \
            "BOOKINFO_SERVICE=$service BOOKINFO_VERSION=$version" "$base" "$program"
    done
    for version in v1 v2; do
        add_image "istio/examples-helloworld-$version:latest" "$application_user" \
            "/usr/local/bin/standin helloworld" "SERVICE_VERSION=$version" "$standin"
    done
    add_image istio/tcp-echo-server:1.1 "$application_user" "/usr/local/bin/standin tcp-echo" "" "$standin"
    # These two run as root, as the images that they stand in for: httpbin listens on port 80.
    add_image kennethreitz/httpbin:latest 0:0 "/usr/local/bin/standin httpbin" "" "$standin"
    add_image governmentpaas/curl-ssl:latest 0:0 /bin/sh "" "$base" "$standin" "$added"
}
