# shellcheck shell=bash
# What the demo says: steps and explanations on standard output, problems on standard error.

if [[ -t 1 && -z "${NO_COLOR:-}" && "${TERM:-dumb}" != dumb ]]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
    bold='' dim='' plain=''
fi

step_number=0

# step TITLE: begins a step.
step() {
    step_number=$((step_number + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$step_number" "$*" "$plain"
}

# say TEXT: an explanation.
say() {
    printf '   %s\n' "$*"
}

# show COMMAND...: prints a command as a user would type it, and runs it.
show() {
    local typed="$*"
    # `k` is kubectl with the cluster's context.
    printf '   %s$ %s%s\n' "$dim" "${typed/#k /kubectl }" "$plain"
    "$@" 2>&1 | sed 's/^/   /'
    return "${PIPESTATUS[0]}"
}

# fail MESSAGE: says why, and ends the script.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
