# shellcheck shell=bash
# A small test runner: each check prints a line, `summary` counts them and gives the exit status.

passed=0
failed=0
skipped=0

# check DESCRIPTION COMMAND...: passes when COMMAND succeeds.
check() {
    local output
    if output="$("${@:2}" 2>&1)"; then
        passed=$((passed + 1))
        say "ok      $1"
    else
        failed=$((failed + 1))
        say "FAILED  $1"
        [[ -z "$output" ]] || say "$(head -n 20 <<<"$output" | sed 's/^/        /')"
    fi
}

# skip DESCRIPTION REASON
skip() {
    skipped=$((skipped + 1))
    say "skipped $1: $2"
}

# check_in FOLDER USER DESCRIPTION COMMAND...: passes when COMMAND succeeds with FOLDER as its root.
check_in() {
    local enter=(chroot "--userspec=$2:$2" "$1")
    if [[ "$(id -u)" != 0 ]]; then
        if ! unshare --map-root-user true 2>/dev/null; then
            skip "$3" "only root can enter an image here"
            return
        fi
        enter=(unshare --map-root-user chroot "$1")
    fi
    check "$3" env -i PATH=/usr/sbin:/usr/local/bin:/usr/bin:/bin "${enter[@]}" "${@:4}"
}

explain() {
    printf '%s\n' "$*"
}

equal() {
    [[ "$1" == "$2" ]] || { explain "'$1' is not '$2'"; return 1; }
}

# has TEXT PART
has() {
    [[ "$1" == *"$2"* ]] || { explain "'$2' is not in: $1"; return 1; }
}

summary() {
    say "$passed passed, $failed failed, $skipped skipped"
    [[ "$failed" == 0 ]]
}
