#!/usr/bin/env bash
# What of the static programs CI builds and proves: the small agent for each target, with AWS and
# without, and the mesh for our own, which the agents are tried with.
#
# TOOLCHAIN_CACHE (target/toolchain) is worth keeping between runs; what is in it has in its name
# what it depends on:
#   zig-HASH      the C compiler, HASH of cross/zig.txt                 about 410 MB
#   zig-cache     what zig compiled of its C libraries                  about 110 MB
#   debian-HASH   standard libraries, HASH of Debian's compiler         about 110 MB for each target
#   bin           wrappers, written anew when they differ
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
    printf 'static programs: %s\n' "$*"
    exit 0
}

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

output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
targets=("$here")
for target in aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf; do
    if cross/build.sh --prepare "$target" 2>"$output/log"; then
        targets+=("$target")
    else
        echo "static programs: none for $target, because $(tail -n 2 "$output/log" | head -n 1 | sed 's/^cross.build.sh: //')"
    fi
done
cross/build.sh --prepare "$here" 2>"$output/log" ||
    skip "not built, because $(tail -n 2 "$output/log" | head -n 1 | sed 's/^cross.build.sh: //')"
rm "$output/log"
# From here on everything that is needed is there, so that what fails is wrong.
cross/build.sh --output "$output" --program mesh "$here"
cross/build.sh --output "$output" --program mesh-agent "${targets[@]}"
cross/build.sh --output "$output" --program mesh-agent --without-aws aarch64-unknown-linux-musl
cross/check.sh "$output"
