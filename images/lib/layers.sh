# shellcheck shell=bash
# What a layer holds. Each function fills a folder with one layer's files.

# The C library that images carry: Envoy's needs and the Rust programs' together, so that all
# images share one base layer. `check_libraries` refuses a program that needs more.
libraries=(libc.so.6 libm.so.6 libgcc_s.so.1 librt.so.1 libdl.so.2 libpthread.so.0)
interpreter=/lib64/ld-linux-x86-64.so.2

# library_path NAME: where this machine has it.
library_path() {
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p |
        awk -v name="$1" '$1 == name && /x86-64/ && !found++ { print $NF }'
}

# put MODE FILE PATH: copies FILE to PATH inside the layer folder `layer`; links are followed.
put() {
    install -D -m "$1" "$2" "$layer$3"
}

check_glibc() {
    local version
    version="$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)" || true
    [[ -n "$version" ]] || fail "images are built from this machine's glibc, and it has none"
    # Before 2.34, name resolution was in modules loaded by name, which ldd does not show; before 2.36, relocations could not be packed, and
    # would be half a megabyte of each agent.
    printf '%s\n' 2.36 "$version" | sort --version-sort --check=quiet ||
        fail "images need glibc 2.36 or newer; this machine has $version"
}

# library_paths NAME…: where this machine has them, one a line.
library_paths() {
    local name path
    for name in "$@"; do
        path="$(library_path "$name")"
        [[ -n "$path" ]] || fail "$name is not installed on this machine"
        printf '%s\n' "$path"
    done
}

# base_files: the host's files that the base layer copies, one a line.
base_files() {
    printf '%s\n' "$interpreter"
    library_paths "${libraries[@]}"
}

# base_layer FOLDER: users, name resolution, the C library.
base_layer() {
    local layer="$1" name file files
    check_glibc
    files="$(base_files)"
    for name in passwd group nsswitch.conf; do
        put 0644 "$here/files/$name" "/etc/$name"
    done
    mkdir -m 1777 "$layer/tmp"
    while read -r file; do
        put 0755 "$file" "$file"
    done <<<"$files"
    put 0644 "$root/LICENSE" /usr/share/doc/ferromesh/LICENSE
    for name in libc6 libgcc-s1; do
        # Debian's packages say here under which terms their files may be passed on.
        if [[ -f "/usr/share/doc/$name/copyright" ]]; then
            put 0644 "/usr/share/doc/$name/copyright" "/usr/share/doc/$name/copyright"
        fi
    done
}

# program_layer FOLDER NAME…: programs of ours, without their symbols.
program_layer() {
    local layer="$1" name file
    for name in "${@:2}"; do
        file="$(binary "$name")"
        check_libraries "$file"
        put 0755 "$file" "/usr/local/bin/$name"
        strip --strip-all "$layer/usr/local/bin/$name"
    done
}

# public_roots: the files of the public authorities that Debian's package lists, and none that somebody added to this machine.
public_roots() {
    local roots=(/usr/share/ca-certificates/mozilla/*.crt)
    [[ -f "${roots[0]}" ]] || fail "the public authorities' certificates are missing: install the package ca-certificates"
    printf '%s\n' "${roots[@]}"
}

# envoy_layer FOLDER: Envoy as its project built it (it has no symbols to strip), its licence, which the wheel lacks, and the public
# authorities for TLS to servers outside of the mesh: Envoy does not find a system's own.
envoy_layer() {
    local layer="$1" envoy
    envoy="$("$here/envoy.sh")"
    check_libraries "$envoy"
    put 0755 "$envoy" /usr/local/bin/envoy
    put 0644 "$root/LICENSE" /usr/share/doc/envoy/LICENSE
    put 0644 "$here/files/envoy.NOTICE" /usr/share/doc/envoy/NOTICE
    mkdir -p "$layer/etc/ssl/certs"
    public_roots | xargs -d '\n' cat >"$layer/etc/ssl/certs/ca-certificates.crt"
    chmod 0644 "$layer/etc/ssl/certs/ca-certificates.crt"
}

# What the redirect rules need of iptables, where a kernel has no nf_tables: the libraries of its one program, and the modules for the words
# of our rules (src/agent/redirect/iptables.rs).
iptables_libraries=(libxtables.so.12 libip4tc.so.2 libip6tc.so.2)
iptables_modules=(standard tcp udp owner conntrack connmark mark MARK CONNMARK CT REDIRECT TPROXY)

# iptables_files: the host's files that the layer copies, one a line.
iptables_files() {
    local path
    for path in /usr/sbin/xtables-legacy-multi "${iptables_modules[@]/#//usr/lib/x86_64-linux-gnu/xtables/libxt_}"; do
        [[ "$path" == /usr/sbin/* ]] || path+=.so
        [[ -f "$path" ]] || fail "$path is missing: install the package iptables"
        printf '%s\n' "$path"
    done
    library_paths "${iptables_libraries[@]}"
}

# iptables_layer FOLDER: one program under its four names, and no other way to write rules.
iptables_layer() {
    local layer="$1" file files name
    files="$(iptables_files)"
    while read -r file; do
        # Where the images' PATH leads.
        put 0755 "$file" "${file/#\/usr\/sbin\///usr/bin/}"
    done <<<"$files"
    for name in iptables iptables-restore ip6tables ip6tables-restore; do
        ln -s xtables-legacy-multi "$layer/usr/bin/$name"
    done
    put 0644 /usr/share/doc/iptables/copyright /usr/share/doc/iptables/copyright
}

# check_libraries FILE: refuses a program that needs a library which the base layer lacks.
check_libraries() {
    local needed
    for needed in $(objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }'); do
        [[ " ${libraries[*]} ${interpreter##*/} " == *" $needed "* ]] ||
            fail "$1 needs $needed, which is not in \`libraries\` of images/lib/layers.sh"
    done
}
