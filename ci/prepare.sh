#!/usr/bin/env bash
# Installs the Debian packages that tests, images and the local cluster need and this machine lacks.
#
# A tool that can't be installed (no root, no apt-get) is named, and what needs it says that it skips or why it fails.
set -euo pipefail

# program=package; a path stands for a program that has a fixed place.
wanted=(
  cc=gcc c++=g++ make=make git=git curl=curl jq=jq openssl=openssl strip=binutils tar=tar column=bsdextrautils
  ip=iproute2 nft=nftables iptables=iptables containerd=containerd runc=runc
  chromium=chromium
  java=default-jre-headless mvn=maven
)

PATH="$PATH:/usr/sbin:/sbin"
programs=() packages=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%=*}" >/dev/null || { programs+=("${pair%%=*}"); packages+=("${pair#*=}"); }
done
[ -e /usr/lib/cni/host-local ] || [ -e /opt/cni/bin/host-local ] || { programs+=(host-local); packages+=(containernetworking-plugins); }
[ -d /usr/share/ca-certificates/mozilla ] || { programs+=(ca-certificates); packages+=(ca-certificates); }
python3 -m pip --version >/dev/null 2>&1 || { programs+=(pip); packages+=(python3-pip); }
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "prepare: missing: ${programs[*]} (Debian packages: ${packages[*]}); what needs them will say so" >&2
  exit 0
fi
echo "prepare: installing ${packages[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -q && apt-get install -q -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 || {
  tail -20 "$log" >&2
  echo "prepare: apt-get could not install ${packages[*]}: its last lines are above" >&2
  exit 1
}
