#!/usr/bin/env bash
# What of the static programs CI builds and proves: the small agent for each target, with AWS and
# without, the mesh for our own, which the agents are tried with, and what images are made of.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'HELP'
Usage: cross/ci.sh [folder]

Builds static programs into the folder in place of those that are there, and tries them out; without
a folder they are gone at the end. What is missing on Debian is installed, which takes root. On other
machines it says what is missing, builds nothing, and ends with 0.

TOOLCHAIN_CACHE (target/toolchain) is worth keeping between runs; what is in it has in its name
what it depends on:
  zig-HASH      the C compiler, HASH of cross/zig.txt                 about 410 MB
  zig-cache     what zig compiled of its C libraries                  about 110 MB
  debian-HASH   standard libraries, HASH of Debian's compiler         about 110 MB for each target
  bin           wrappers, written anew when they differ
HELP
}

skip() {
    printf 'static programs: %s\n' "$*"
    exit 0
}

case ${1:-} in
--help)
    usage
    exit
    ;;
-*)
    echo "cross/ci.sh: $1 is not an option; see --help" >&2
    exit 1
    ;;
esac
if [ $# -gt 0 ]; then
    output=$1
    mkdir -p "$output"
    rm -f "$output"/*-linux-musl "$output/SHA256SUMS"
else
    output=$(mktemp -d)
    trap 'rm -rf "$output"' EXIT
fi
export CARGO_TERM_COLOR=never
here=$(uname -m)-unknown-linux-musl
[ "$here" = x86_64-unknown-linux-musl ] || skip "not built on $(uname -m), because CI knows the way on x86_64 only"
missing=()
for tool in musl-gcc:musl-tools qemu-arm-static:qemu-user-static file:file readelf:binutils \
    openssl:openssl curl:curl; do
    command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        skip "not built, because ${missing[*]} is missing and only root of a Debian can install it"
    fi
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get -qq -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "${missing[@]}")
    { "${install[@]}" || { apt-get -qq update && "${install[@]}"; }; } >/dev/null 2>&1 ||
        skip "not built, because ${missing[*]} cannot be installed"
fi

# begins TARGET: whether all that building it takes is there; prints why not.
begins() {
    local why
    if why=$(cross/build.sh --prepare "$1" 2>&1 | tee >(cat >&2)); then return; fi
    # The last line only says that it cannot be built, and the ones before say why.
    printf 'static programs: none for %s, because %s\n' "$1" \
        "$(tail -n 2 <<<"$why" | head -n 1 | sed 's/^cross.build.sh: //')"
    return 1
}
begins "$here" || exit 0
targets=("$here")
arm64=aarch64-unknown-linux-musl
for target in "$arm64" armv7-unknown-linux-musleabihf; do
    ! begins "$target" || targets+=("$target")
done
# From here on everything that is needed is there, so that what fails is wrong.
cross/build.sh --output "$output" --program mesh-agent "${targets[@]}"
images=("$here")
if [[ " ${targets[*]} " == *" $arm64 "* ]]; then
    images+=("$arm64")
    cross/build.sh --output "$output" --program mesh-agent --without-aws "$arm64"
fi
cross/build.sh --output "$output" --program mesh --program test-app "${images[@]}"
cross/check.sh "$output"
