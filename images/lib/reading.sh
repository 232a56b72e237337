# shellcheck shell=bash
# Reads docker-archive files that archive.sh wrote. Their JSON has no spaces and no nested lists
# where these functions look, so that grep is enough to read it.

# archive_member FILE MEMBER: the content of one file of the archive.
archive_member() {
    tar --extract --to-stdout --file "$1" "$2"
}

# archive_manifest FILE: one line for each image: its name, its config's file, its layers' files.
archive_manifest() {
    archive_member "$1" manifest.json | sed 's/},{/}\n{/g; s/$/\n/' |
        sed -n 's/.*"Config":"\([^"]*\)","RepoTags":\["\([^"]*\)"\],"Layers":\[\([^]]*\)\].*/\2 \1 \3/p' |
        tr -d '"' | tr ',' ' '
}

# archive_config FILE IMAGE: the image's configuration.
archive_config() {
    local config
    config="$(archive_manifest "$1" | awk -v name="$2" '$1 == name { print $2 }')"
    [[ -n "$config" ]] || fail "$1 has no image $2"
    archive_member "$1" "$config"
}

# unpack_image FILE IMAGE FOLDER: puts the image's root file system into FOLDER.
unpack_image() {
    local layer layers
    layers="$(archive_manifest "$1" | awk -v name="$2" '$1 == name { $1 = $2 = ""; print }')"
    [[ -n "$layers" ]] || fail "$1 has no image $2"
    mkdir -p "$3"
    for layer in $layers; do
        archive_member "$1" "$layer" | tar --extract --preserve-permissions --directory "$3"
    done
}
