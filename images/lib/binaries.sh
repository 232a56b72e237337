# shellcheck shell=bash
# Where the Rust programs that go into images come from.

# build_binaries: builds them and sets bin_dir to their folder; with BIN_DIR set, takes them
# from there and builds nothing.
build_binaries() {
    local profile="${PROFILE:-dev}" target
    if [[ -n "${BIN_DIR:-}" ]]; then
        bin_dir="$BIN_DIR"
        return
    fi
    need cargo "install Rust (https://rustup.rs)"
    say "building the programs (profile $profile)"
    (cd "$root" && cargo build --locked --quiet --profile "$profile" -p ferromesh -p bookinfo --bins) >&2 ||
        fail "cargo build failed: its message is above"
    # It runs on nodes, whose C library may be older than the image's or another: it brings its own.
    (cd "$root" && cargo rustc --locked --quiet --profile "$profile" -p ferromesh-cni --bin istio-cni -- -C target-feature=+crt-static) >&2 ||
        fail "cargo build of the network plugin failed: its message is above"
    target="$(cd "$root" && cargo metadata --locked --no-deps --format-version 1 |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
    bin_dir="$target/$profile"
    if [[ "$profile" == dev ]]; then
        # Cargo keeps this profile's programs in a folder of another name.
        bin_dir="$target/debug"
    fi
}

# binary NAME: the path of a program that was built.
binary() {
    printf '%s\n' "$bin_dir/$1"
}
