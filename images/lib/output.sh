# shellcheck shell=bash
# What the scripts of this folder say to people: progress and errors, both on standard error, so
# that standard output stays free for results.

say() {
    printf '%s\n' "$*" >&2
}

# fail MESSAGE...: says why, and ends the script.
fail() {
    say "error: $*"
    exit 1
}

# need TOOL HINT: ends the script with the hint where TOOL is not installed.
need() {
    command -v "$1" >/dev/null || fail "$1 is missing: $2"
}
