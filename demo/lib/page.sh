# shellcheck shell=bash disable=SC2154
# Reading bookinfo's page as a visitor.

# page [CURL OPTION...]: the page.
page() {
    curl --noproxy '*' --silent --show-error --max-time 10 "$@" "$url/productpage"
}

# version_shown: reads a page and prints which version of reviews it shows.
version_shown() {
    grep -o 'data-reviews-version="[^"]*"' | head -n 1 | cut -d'"' -f2
}

# versions COUNT [CURL OPTION...]: how often each version of reviews was shown in COUNT visits.
versions() {
    local count="$1" visit
    shift
    for ((visit = 0; visit < count; visit++)); do
        page "$@" | version_shown
    done | sort | uniq -c | awk '{ printf "%s%s ×%d", sep, $2, $1; sep = ", " } END { print "" }'
}

# sign_in NAME FILE: leaves the cookies of the user in FILE.
sign_in() {
    curl --noproxy '*' --silent --show-error --max-time 10 --output /dev/null --cookie-jar "$2" --data "username=$1" "$url/login"
}

# routed VERSION [CURL OPTION...]: `done` once visits show that version.
routed() {
    local wanted="$1" shown
    shift
    shown="$(page "$@" | version_shown)"
    [[ "$shown" == "$wanted" ]] && printf 'done' || printf 'reviews %s' "${shown:-unavailable}"
}
