#!/usr/bin/env bash
# Checks the images that build.sh makes: names, users, contents, that every program finds its
# libraries in its image, and that the same inputs give the same bytes.
#
# The variables are those of build.sh. SAMPLES_DIR is a folder of Istio's samples (default: the one
# beside this repository); where it is absent, the check against it is skipped.
set -euo pipefail
shopt -s inherit_errexit

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=images/lib/output.sh
source "$here/lib/output.sh"
# shellcheck source=images/lib/settings.sh
source "$here/lib/settings.sh"
# shellcheck source=images/lib/reading.sh
source "$here/lib/reading.sh"
# shellcheck source=images/lib/checks.sh
source "$here/lib/checks.sh"

samples_dir="${SAMPLES_DIR:-$root/../shared/samples}"

# What the base layer holds, as an extended regular expression; libraries may be anywhere in lib.
base_content='etc/(passwd|group|nsswitch\.conf)|(usr/)?lib(64)?/(x86_64-linux-gnu/)?(ld-linux-x86-64\.so\.2|lib(c\.so\.6|m\.so\.6|gcc_s\.so\.1|rt\.so\.1|dl\.so\.2|pthread\.so\.0))|usr/share/doc/(ferromesh/LICENSE|libc6/copyright|libgcc-s1/copyright)'

# What the layer of iptables holds.
iptables_content='usr/bin/(xtables-legacy-multi|ip6?tables(-restore)?)|(usr/)?lib/x86_64-linux-gnu/(lib(xtables|ip[46]tc)\.so\.[0-9]+|xtables/libxt_[A-Za-z]+\.so)|usr/share/doc/iptables/copyright'

main() {
    local name
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    "$here/build.sh"
    product ferromesh 1337 ferromeshd istio-cni ferromesh
    product ferromesh-proxy 1337 ferromesh-agent ferromesh-supervisor envoy
    product bookinfo 1000 bookinfo
    for name in ferromesh ferromesh-proxy; do
        check_in "$work/$name" 0 "$name has iptables for kernels without nf_tables" iptables-restore --version
    done
    check "Envoy's licence is in ferromesh-proxy" test -s "$work/ferromesh-proxy/usr/share/doc/envoy/LICENSE"
    check "Envoy is the pinned binary, unchanged" same_digest "$work/ferromesh-proxy/usr/local/bin/envoy"
    check "the public authorities in ferromesh-proxy are those of Debian's package" public_authorities
    check "images share their base layer" same_base
    samples
    rebuilding
    check "Dockerfile names the users and programs that the images have" dockerfile_agrees
    check "the stand-ins' own tests pass" go -C "$here/standins" test ./...
    summary
}

# product NAME USER PROGRAM...: what holds for each image that a release ships.
product() {
    local name="$1" user="$2" file="$out/$1.tar" image folder="$work/$1" program
    image="$(full_name "$hub/$name:$tag")"
    say "$name: $(numfmt --to=si --suffix=B "$(stat -c %s "$file")")"
    check "$name holds one image, $image" equal "$(archive_manifest "$file" | cut -d' ' -f1)" "$image"
    check "$name runs as user $user" has "$(archive_config "$file" "$image")" "\"User\":\"$user:$user\""
    check "$name starts $3" has "$(archive_config "$file" "$image")" "\"Entrypoint\":[\"/usr/local/bin/$3\"]"
    unpack_image "$file" "$image" "$folder"
    check "$name has nothing that it does not need" only_expected "$folder" "${@:3}"
    check "$name carries the project's licence" cmp -s "$root/LICENSE" "$folder/usr/share/doc/ferromesh/LICENSE"
    for program in "${@:3}"; do
        check "$program has no symbols" no_symbols "$folder/usr/local/bin/$program"
        check_in "$folder" "$user" "$program starts in its image" "/usr/local/bin/$program" --help
    done
}

# only_expected FOLDER PROGRAM...: the folder holds the base, the programs, and nothing else.
only_expected() {
    local expected="$base_content" program unexpected
    for program in "${@:2}"; do
        expected+="|usr/local/bin/$program"
    done
    [[ "$*" != *ferromesh-agent* && "$*" != *ferromeshd* ]] || expected+="|$iptables_content"
    [[ "$*" != *envoy* ]] || expected+="|usr/share/doc/envoy/(LICENSE|NOTICE)|etc/ssl/certs/ca-certificates\.crt"
    unexpected="$(find "$1" ! -type d -printf '%P\n' | grep -Evx "$expected" || true)"
    [[ -z "$unexpected" ]] || { explain "unexpected: $unexpected"; return 1; }
}

no_symbols() {
    local sections
    sections="$(readelf --sections --wide "$1")" || return 1
    ! grep -E '\.(symtab|debug_(info|line|str))' <<<"$sections"
}

same_digest() {
    equal "$(sha256sum "$1" | cut -d' ' -f1)" "$(cut -d' ' -f1 "$here/envoy.sha256")"
}

# public_authorities: as many certificates as the package has, and no one else's.
public_authorities() {
    local packaged bundled
    packaged="$(cat /usr/share/ca-certificates/mozilla/*.crt | grep -c 'BEGIN CERTIFICATE')"
    bundled="$(grep -c 'BEGIN CERTIFICATE' "$work/ferromesh-proxy/etc/ssl/certs/ca-certificates.crt")"
    [[ "$packaged" -gt 50 ]] && equal "$bundled" "$packaged"
}

same_base() {
    local name bases=""
    for name in "${product_archives[@]}"; do
        bases+="$(archive_manifest "$out/$name.tar" | cut -d' ' -f3)"$'\n'
    done
    equal "$(printf '%s' "$bases" | sort -u | wc -l)" 1
}

# samples: the images for tests.
samples() {
    local file="$out/samples.tar" sleep="$work/sleep" image
    image="$(full_name governmentpaas/curl-ssl:latest)"
    unpack_image "$file" "$image" "$sleep"
    check_in "$sleep" 0 "the sleep sample has curl" curl --version
    check_in "$sleep" 0 "the sleep sample has a shell and its tools" \
        sh -c 'date && sleep 0 && seq 2 | head -n1 | sed s/1/x/ | grep x | wc -l && env cat /etc/passwd'
    check "bookinfo's reviews v3 is told what it is" reviews_v3_is_told "$file"
    if [[ -d "$samples_dir" ]]; then
        check "every image that Istio's samples ask for is there" samples_are_complete "$file"
    else
        skip "every image that Istio's samples ask for is there" "there is no folder $samples_dir (SAMPLES_DIR)"
    fi
}

reviews_v3_is_told() {
    local config
    config="$(archive_config "$1" "$(full_name istio/examples-bookinfo-reviews-v3:1.15.0)")" || {
        explain "$config"
        return 1
    }
    has "$config" '"BOOKINFO_SERVICE=reviews","BOOKINFO_VERSION=v3"'
}

# samples_are_complete FILE: the archive has every image of the samples, under the name that the
# kubelet makes of the one in the YAML.
samples_are_complete() {
    local asked names name missing=0
    names="$(archive_manifest "$1" | cut -d' ' -f1)"
    asked="$(sed -n 's/^[ -]*image: *\([^ #]*\).*/\1/p' "$samples_dir"/{httpbin,sleep,helloworld,tcp-echo-services}.yaml \
        "$samples_dir"/bookinfo-1.4/platform/*.yaml | sort -u)"
    for name in $asked; do
        [[ "${name##*/}" == *:* ]] || name+=":latest"
        if ! grep -qxF "$(full_name "$name")" <<<"$names"; then
            explain "no image $(full_name "$name")"
            missing=1
        fi
    done
    [[ -n "$asked" && "$missing" == 0 ]]
}

# rebuilding: same inputs, same bytes; and no work where nothing changed.
rebuilding() {
    local name before
    before="$(stat -c %Y.%i "$out"/*.tar)"
    "$here/build.sh" 2>/dev/null
    check "archives are left alone when nothing changed" equal "$before" "$(stat -c %Y.%i "$out"/*.tar)"
    IMAGES_DIR="$work/again" "$here/build.sh" 2>/dev/null
    for name in "${all_archives[@]}"; do
        check "$name is the same when it is built again" cmp "$out/$name.tar" "$work/again/$name.tar"
        check "$name has no times and no owners" no_times_no_owners "$out/$name.tar"
    done
}

# no_times_no_owners FILE: nothing in the archive or its layers says when and by whom it was made.
no_times_no_owners() {
    local layer listing
    listing="$(tar --list --verbose --numeric-owner --utc --file "$1")"
    for layer in $(tar --list --file "$1" | grep '\.tar$'); do
        listing+=$'\n'"$(archive_member "$1" "$layer" | tar --list --verbose --numeric-owner --utc)"
    done
    ! grep -vE '^\S+ 0/0 +[0-9]+ 1970-01-01 00:00 ' <<<"$listing"
}

# dockerfile_agrees: each target of the Dockerfile has the user and entry point of its image.
dockerfile_agrees() {
    local name config target
    for name in "${product_archives[@]}"; do
        config="$(archive_config "$out/$name.tar" "$(full_name "$hub/$name:$tag")")"
        target="$(sed -n "/^FROM scratch AS $name\$/,/^\$/p" "$here/Dockerfile")"
        has "$config" "\"User\":\"$(sed -n 's/^USER //p' <<<"$target")\"" || return 1
        has "$config" "\"Entrypoint\":$(sed -n 's/^ENTRYPOINT //p' <<<"$target")" || return 1
    done
}

main
