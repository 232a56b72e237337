# shellcheck shell=bash
# Waiting, with a line of progress each time that what is awaited changes.

# wait_for SECONDS WHAT COMMAND...: until COMMAND prints `done`; until then what it prints is shown when it changes.
wait_for() {
    local deadline=$((SECONDS + $1)) what="$2" last='' now
    shift 2
    while true; do
        now="$("$@" 2>/dev/null || true)"
        [[ "$now" != "done" ]] || return 0
        if [[ -n "$now" && "$now" != "$last" ]]; then
            say "waiting for $what: $now"
            last="$now"
        fi
        ((SECONDS < deadline)) || fail "$what: not within the time; last seen: ${last:-nothing}"
        read -rt 0.5 <> <(:) || true
    done
}

# mesh_state: `done` once the mesh is ready, else its own words.
mesh_state() {
    k get meshinstall mesh -o json | jq -r '
        (.status.conditions // [] | map(select(.type == "Ready")) | first) as $ready
        | if $ready.status == "True" and $ready.observedGeneration == .metadata.generation then "done"
          else ($ready.message // "not looked at yet") end'
}

# pods_state NAMESPACE: `done` once all pods are ready, else those that are not.
pods_state() {
    k get pods -n "$1" -o json | jq -r '
        [.items[] | select(.metadata.deletionTimestamp == null)] as $pods
        | [$pods[] | select([.status.conditions[]? | select(.type == "Ready" and .status == "True")] == []) | .metadata.labels.app] | sort | unique
        | if ($pods | length) > 0 and . == [] then "done" else join(" ") end'
}
