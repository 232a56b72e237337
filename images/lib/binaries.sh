# shellcheck shell=bash
# Where the Rust programs that go into images come from.

# What runs in every pod, and so is built to be small where it ships.
pod_programs=(ferromesh-agent ferromesh-supervisor)

# build_binaries: builds them and sets bin_dir to their folder, and pod_bin_dir to that of pod_programs; with BIN_DIR set, takes them
# from there and builds nothing.
build_binaries() {
    local profile="${PROFILE:-dev}" programs=(ferromesh ferromeshd bookinfo)
    if [[ -n "${BIN_DIR:-}" ]]; then
        bin_dir="$BIN_DIR" pod_bin_dir="$BIN_DIR"
        return
    fi
    need cargo "install Rust (https://rustup.rs)"
    [[ "$profile" == release ]] || programs+=("${pod_programs[@]}")
    say "building the programs (profile $profile)"
    build_with "$profile" build -p ferromesh -p bookinfo "${programs[@]/#/--bin=}"
    # It runs on nodes, whose C library may be older than the image's or another: it brings its own.
    build_with "$profile" rustc -p ferromesh-cni --bin istio-cni -- -C target-feature=+crt-static
    bin_dir="$(programs_of "$profile")" pod_bin_dir="$(programs_of "$profile")"
    [[ "$profile" != release ]] || build_small
}

# build_small: builds pod_programs as they ship, and sets pod_bin_dir.
build_small() {
    say "building what runs in pods (profile small)"
    # Relocations that are not packed would be half a megabyte of each agent; check_glibc sees to a loader that knows packed ones.
    build_with small rustc -p ferromesh --bin ferromesh-agent -- \
        -C "link-arg=-Wl,-z,pack-relative-relocs,-T,$root/images/lib/agent.ld"
    # It needs little of the C library, and would have all of its own pages beside those of a shared one.
    build_with small rustc -p ferromesh --bin ferromesh-supervisor -- -C target-feature=+crt-static
    pod_bin_dir="$(programs_of small)"
}

# build_with PROFILE VERB ARGUMENTS…
build_with() {
    (cd "$root" && cargo "$2" --locked --quiet --profile "$1" "${@:3}") >&2 || fail "cargo $2 failed: its message is above"
}

# programs_of PROFILE: where cargo puts them.
programs_of() {
    local target
    target="$(cd "$root" && cargo metadata --locked --no-deps --format-version 1 |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
    # That of profile dev has another name.
    printf '%s\n' "$target/${1/#dev/debug}"
}

# binary NAME: the path of a program that was built.
binary() {
    if [[ " ${pod_programs[*]} " == *" $1 "* ]]; then
        printf '%s\n' "$pod_bin_dir/$1"
    else
        printf '%s\n' "$bin_dir/$1"
    fi
}
