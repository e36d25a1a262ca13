#!/usr/bin/env bash
# Builds static programs for small and large hosts, without a container engine.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

usage() {
    cat <<'END'
Usage: cross/build.sh [options] [target...]

Builds static mesh and mesh-agent into dist/, as NAME-VERSION-TARGET, with their SHA256SUMS.
Without targets: x86_64-unknown-linux-musl aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf

  --program NAME  build only this one: mesh, mesh-agent or test-app; can be repeated
  --without-aws   leave out proofs of identity by AWS; the names then say so
  --output DIR    write here instead of dist/
  --with-cross    use cross, which needs a container engine, and nothing else
  --help          print this, and exit

Of each target these are tried, and the first that can be had is used:
  rustup   rustup's target; C code by musl-gcc or by zig, which comes from PyPI
  debian   Debian's rustc-web, with a standard library built from Debian's rust-web-src, and zig;
           what is missing is installed, which takes root
What is downloaded or built for that is kept in TOOLCHAIN_CACHE (target/toolchain).
END
}

say() { printf 'cross/build.sh: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

programs=()
targets=()
output=dist
with_cross=
without_aws=
while [ $# -gt 0 ]; do
    case $1 in
    --program | --output)
        [ $# -gt 1 ] || die "$1 needs a value"
        if [ "$1" = --output ]; then output=$2; else programs+=("$2"); fi
        shift
        ;;
    --without-aws) without_aws=1 ;;
    --with-cross) with_cross=1 ;;
    --help)
        usage
        exit
        ;;
    -*) die "$1 is not an option; see --help" ;;
    x86_64-unknown-linux-musl | aarch64-unknown-linux-musl | armv7-unknown-linux-musleabihf)
        targets+=("$1")
        ;;
    *) die "$1 is not a target; see --help" ;;
    esac
    shift
done
[ ${#programs[@]} -gt 0 ] || programs=(mesh mesh-agent)
[ ${#targets[@]} -gt 0 ] ||
    targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf)

target_dir=${CARGO_TARGET_DIR:-$root/target}
case $target_dir in /*) ;; *) target_dir=$root/$target_dir ;; esac
cache=${TOOLCHAIN_CACHE:-$target_dir/toolchain}
case $cache in /*) ;; *) cache=$root/$cache ;; esac
mkdir -p "$cache/bin" "$output"
# Two builds at once would install the same things into the same folders.
exec 9>"$cache/.lock"
flock 9

# shellcheck source=cross/toolchain.sh
. cross/toolchain.sh

# Cargo's words for an option of one target: its name in capitals, with underscores.
in_capitals() { tr 'a-z-' 'A-Z_' <<<"$1"; }

# No path of this machine goes into a program. Of several prefixes that match, the last one counts.
# The folder of a registry has its name from the registry's address.
remapped() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} folder
    local flags=("--remap-path-prefix=$root=/mesh" "--remap-path-prefix=$cargo_home=/cargo")
    for folder in "$cargo_home"/registry/src/*/; do
        flags+=("--remap-path-prefix=${folder%/}=/cargo")
    done
    local IFS=$'\x1f'
    printf '%s' "${flags[*]}"
}


# The small program is for small hosts, and is made small.
profile_of() { if [ "$1" = mesh-agent ]; then echo edge; else echo release; fi; }

# build TARGET WORDS...: every program with `WORDS build`, in the environment that is set.
build() {
    local target=$1 program options profile name
    shift
    for program in "${programs[@]}"; do
        profile=$(profile_of "$program")
        options=(--locked --target "$target" --profile "$profile" -p "$program" --bin "$program")
        name=$program
        if [ -n "$without_aws" ] && [ "$program" != test-app ]; then
            options+=(--no-default-features)
            name=$program-without-aws
        fi
        "$@" build "${options[@]}" || return 1
        install -m 755 "$target_dir/$target/$profile/$program" "$output/$name-$version-$target"
    done
}

build_by_cross() {
    command -v cross >/dev/null || die 'cross is not installed; see https://github.com/cross-rs/cross'
    command -v docker >/dev/null || command -v podman >/dev/null ||
        die 'cross needs docker or podman, and neither is installed'
    say "$1: by cross"
    # In its container the sources are in these two folders.
    CROSS_CONFIG=cross/Cross.toml CARGO_TARGET_DIR=$target_dir build "$1" cross
}

build_by_rustup() {
    local target=$1 capitals cc
    command -v rustup >/dev/null || { say "$target: rustup is not installed" && return 1; }
    rustup target list --installed | grep -qx "$target" || rustup -q target add "$target" 2>/dev/null ||
        { say "$target: rustup cannot give its standard library" && return 1; }
    capitals=$(in_capitals "$target")
    if [ "$target" = "$(uname -m)-unknown-linux-musl" ] && command -v musl-gcc >/dev/null; then
        cc=musl-gcc
    else
        zig_for "$target" || return 1
        cc=$cache/bin/$target-cc
        # rustup's targets bring the C library, and its toolchains a linker that knows them all.
        export "CARGO_TARGET_${capitals}_LINKER=rust-lld" "AR_${target//-/_}=$cache/bin/ar"
    fi
    export "CC_${target//-/_}=$cc"
    say "$target: by rustup's target, $(rustc --version), and C by $(basename "$cc")"
    cargo fetch --quiet --locked --target "$target"
    CARGO_ENCODED_RUSTFLAGS=$(remapped) CARGO_TARGET_DIR=$target_dir build "$target" cargo
}

build_by_debian() {
    local target=$1
    debian_for "$target" || return 1
    say "$target: by Debian's $("$cache/bin/rustc" --version), and C by zig"
    "$debian_cargo" fetch --quiet --locked --target "$target"
    env_for_debian "$target"
    CARGO_ENCODED_RUSTFLAGS=$(remapped) CARGO_TARGET_DIR=$target_dir build "$target" "$debian_cargo"
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || die 'Cargo.toml says no version'
for target in "${targets[@]}"; do
    # What one way sets must not reach the next target.
    if [ -n "$with_cross" ]; then
        (build_by_cross "$target")
    else
        (build_by_rustup "$target") || (build_by_debian "$target") || die "$target cannot be built here"
    fi
done
(cd "$output" && sha256sum -- *-"$version"-*-linux-musl* >SHA256SUMS && cat SHA256SUMS)
