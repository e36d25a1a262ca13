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
  --with-cross    use cross, which needs a container engine, and nothing else;
                  cross adds or updates a toolchain of rustup on this machine
  --prepare       only get what is needed to build the targets
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
prepare=
while [ $# -gt 0 ]; do
    case $1 in
    --program | --output)
        [ $# -gt 1 ] || die "$1 needs a value"
        if [ "$1" = --output ]; then output=$2; else programs+=("$2"); fi
        shift
        ;;
    --without-aws) without_aws=1 ;;
    --with-cross) with_cross=1 ;;
    --prepare) prepare=1 ;;
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
    [ -z "$with_cross" ] || flags+=(--remap-path-prefix=/project=/mesh)
    for folder in "$cargo_home"/registry/src/*/; do
        flags+=("--remap-path-prefix=${folder%/}=/cargo")
        # Where cross mounts it.
        [ -z "$with_cross" ] || flags+=("--remap-path-prefix=/cargo/registry/src/$(basename "$folder")=/cargo")
    done
    local IFS=$'\x1f'
    printf '%s' "${flags[*]}"
}


# The small program is for small hosts, and is made small.
profile_of() { if [ "$1" = mesh-agent ]; then echo edge; else echo release; fi; }

build() {
    local target=$1 program=$2 profile options name=$2
    profile=$(profile_of "$program")
    options=(--locked --target "$target" --profile "$profile" -p "$program" --bin "$program")
    if [ -n "$without_aws" ] && [ "$program" != test-app ]; then
        options+=(--no-default-features)
        name=$program-without-aws
    fi
    "$cargo" build "${options[@]}"
    install -m 755 "$target_dir/$target/$profile/$program" "$output/$name-$version-$target"
}

# Each way has two functions: whether it can be had, which gets what is missing and says why not; and
# what cargo and cc-rs have to know to go it, with the linker's option for a script, if it is LLVM's.
has_rustup() {
    local target=$1
    command -v rustup >/dev/null || { say "$target: rustup is not installed" && return 1; }
    rustup target list --installed | grep -qx "$target" || rustup -q target add "$target" 2>/dev/null ||
        { say "$target: rustup cannot give its standard library" && return 1; }
    is_for_musl_gcc "$target" || zig_for "$target"
}

# Ours, with Debian's musl-tools: zig need not be fetched.
is_for_musl_gcc() {
    [ "$1" = "$(uname -m)-unknown-linux-musl" ] && command -v musl-gcc >/dev/null
}

use_rustup() {
    local target=$1 cc=musl-gcc
    if ! is_for_musl_gcc "$target"; then
        cc=$cache/bin/$target-cc
        export "AR_${target//-/_}=$cache/bin/ar"
    fi
    # rustup's targets bring the C library, and its toolchains a linker that knows them all.
    export "CARGO_TARGET_$(in_capitals "$target")_LINKER=rust-lld" "CC_${target//-/_}=$cc"
    script_option=-T
    cargo=cargo
    say "$target: by rustup's target, $(rustc --version), and C by $(basename "$cc")"
}

has_cross() {
    command -v cross >/dev/null || { say 'cross is not installed' && return 1; }
    command -v docker >/dev/null || command -v podman >/dev/null ||
        { say 'cross needs docker or podman, and neither is installed' && return 1; }
}

use_cross() {
    cargo=cross
    script_option=
    export CROSS_CONFIG=$root/cross/Cross.toml
    # Its images have no git.
    MESH_COMMIT=${MESH_COMMIT:-$(git rev-parse HEAD 2>/dev/null || :)}
    export MESH_COMMIT
    say "$1: by cross"
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || die 'Cargo.toml says no version'
ways=(rustup debian)
[ -z "$with_cross" ] || ways=(cross)
for target in "${targets[@]}"; do
    chosen=
    for way in "${ways[@]}"; do
        "has_$way" "$target" && chosen=$way && break
    done
    [ -n "$chosen" ] || die "$target cannot be built here"
    [ -z "$prepare" ] || continue
    # What one target sets must not reach the next.
    (
        "use_$chosen" "$target"
        "$cargo" fetch --quiet --locked --target "$target"
        export CARGO_TARGET_DIR=$target_dir
        CARGO_ENCODED_RUSTFLAGS=$(remapped)
        # Cargo links in the folder of the workspace.
        [ -z "$script_option" ] || CARGO_ENCODED_RUSTFLAGS+=$'\x1f'-Clink-arg=${script_option}cross/no-unwind.ld
        export CARGO_ENCODED_RUSTFLAGS
        for program in "${programs[@]}"; do build "$target" "$program"; done
    )
done
[ -z "$prepare" ] || exit 0
cd "$output"
sha256sum -- *-"$version"-*-linux-musl* >SHA256SUMS
cat SHA256SUMS
