# shellcheck shell=bash
# Writes docker-archive files, which containerd, skopeo, kind and docker read. Equal files give an
# equal archive: names are sorted, times are zero, owners are numbers.

# pack FOLDER FILE: one reproducible tar.
pack() {
    (cd "$1" && find . -mindepth 1 -printf '%P\0' | LC_ALL=C sort -z) |
        tar --create --file "$2" --directory "$1" --format=gnu --no-recursion --null --files-from=- \
            --mtime=@0 --owner=0 --group=0 --numeric-owner
}

file_digest() {
    sha256sum "$1" | cut -d' ' -f1
}

# new_archive FOLDER: starts an archive that grows in FOLDER.
new_archive() {
    archive="$1"
    mkdir "$archive"
    manifest=()
}

# add_layer FOLDER: packs FOLDER as a layer of the archive and sets `added` to its digest.
add_layer() {
    pack "$1" "$archive/layer"
    added="$(file_digest "$archive/layer")"
    mv "$archive/layer" "$archive/$added.tar"
}

# quoted WORD...: the words as members of a JSON array.
quoted() {
    local words
    words="$(printf '"%s",' "$@")"
    printf '%s' "${words%,}"
}

# add_image NAME USER ENTRYPOINT ENVIRONMENT LAYER...: adds an image of these layers. ENTRYPOINT
# and ENVIRONMENT are words parted by spaces.
add_image() {
    local name="$1" user="$2" entrypoint environment config digest
    read -ra entrypoint <<<"$3"
    read -ra environment <<<"PATH=/usr/local/bin:/usr/bin:/bin $4"
    shift 4
    config="$(printf '{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{"User":"%s","Env":[%s],"Entrypoint":[%s],"WorkingDir":"/","Labels":{"org.opencontainers.image.version":"%s","org.opencontainers.image.licenses":"Apache-2.0"}},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
        "$user" "$(quoted "${environment[@]}")" "$(quoted "${entrypoint[@]}")" "$tag" \
        "$(quoted "${@/#/sha256:}")")"
    digest="$(printf '%s' "$config" | sha256sum | cut -d' ' -f1)"
    printf '%s' "$config" >"$archive/$digest.json"
    manifest+=("$(printf '{"Config":"%s.json","RepoTags":["%s"],"Layers":[%s]}' \
        "$digest" "$(full_name "$name")" "$(quoted "${@/%/.tar}")")")
}

# finish_archive FILE: writes the archive; FILE is never seen half written.
finish_archive() {
    local IFS=,
    printf '[%s]' "${manifest[*]}" >"$archive/manifest.json"
    pack "$archive" "$1.part"
    mv "$1.part" "$1"
    rm -rf "$archive"
}
