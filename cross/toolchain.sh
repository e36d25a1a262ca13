# shellcheck shell=bash
# What builds for other machines, put together in $cache: zig as a C compiler and linker, and a
# Rust with musl standard libraries out of Debian's packages. Sourced by build.sh.
: "${root:?}" "${cache:?}"

# Zig's name of a target, and a processor that every machine of it has. What rustc takes for granted
# is the measure: C code must not use more.
zig_target() {
    case $1 in
    x86_64-*) echo x86_64-linux-musl ;;
    aarch64-*) echo aarch64-linux-musl ;;
    armv7-*) echo arm-linux-musleabihf ;;
    esac
}
zig_cpu() {
    case $1 in
    x86_64-*) echo x86_64 ;;
    aarch64-*) echo generic ;;
    armv7-*) echo generic+v7a+vfp3-d32+thumb2-neon ;;
    esac
}

# An executable file with what comes in, left alone if it is that already.
put() {
    local file
    file=$(mktemp "$1.XXXXXX")
    cat >"$file"
    chmod 755 "$file"
    if cmp -s "$file" "$1"; then rm "$file"; else mv "$file" "$1"; fi
}

# Puts TARGET-cc and ar into $cache/bin.
zig_for() {
    local target=$1 folder zig
    folder=$cache/zig-$(sha256sum "$root/cross/zig.txt" | cut -c1-12)
    zig=$folder/ziglang/zig
    if [ ! -x "$zig" ]; then
        say 'zig: from PyPI'
        # Moved last: half of it must not look like all of it.
        rm -rf "$folder" "$folder.part"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
            --only-binary :all: --require-hashes -r "$root/cross/zig.txt" --target "$folder.part" >&2 ||
            { say 'zig cannot be had from PyPI' && return 1; }
        chmod +x "$folder.part/ziglang/zig" && mv "$folder.part" "$folder" || return 1
    fi
    export ZIG_GLOBAL_CACHE_DIR=$cache/zig-cache
    put "$cache/bin/ar" <<END
#!/bin/sh
exec '$zig' ar "\$@"
END
    # cc-rs names targets and processors as gcc or clang do, and zig its own way. Without
    # -no-sanitize zig brings checks of its own; -static-pie it ignores unless it is spelled so.
    put "$cache/bin/$target-cc" <<END
#!/usr/bin/env bash
words=()
for word in "\$@"; do
    case \$word in
    --target=* | -march=* | -mcpu=* | -mfpu=* | -mfloat-abi=*) ;;
    -static-pie) words+=(-static -pie) ;;
    *) words+=("\$word") ;;
    esac
done
exec '$zig' cc -target $(zig_target "$target") -mcpu=$(zig_cpu "$target") -fno-sanitize=all "\${words[@]}"
END
}

debian_packages=(rustc-web cargo-web rust-web-src gcc libc6-dev)
debian_cargo=/usr/bin/cargo
debian_rustc=/usr/bin/rustc

debian_install() {
    local package missing=()
    for package in "${debian_packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || { say "Debian's ${missing[*]}: missing, and only root can install" && return 1; }
    say "Debian's ${missing[*]}: installing"
    # Recommended packages would bring a whole LLVM.
    local install=(apt-get -qq -y -o DPkg::Lock::Timeout=600 install --no-install-recommends)
    DEBIAN_FRONTEND=noninteractive "${install[@]}" "${missing[@]}" >/dev/null 2>&1 ||
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive "${install[@]}" "${missing[@]}"; } >/dev/null 2>&1 ||
        { say "Debian's ${missing[*]}: apt-get cannot install" && return 1; }
}

# Debian's compiler, and the target's standard library made from the source beside it.
has_debian() {
    local target=$1 release source id sysroot library work
    command -v apt-get >/dev/null || { say "$target: this is no Debian" && return 1; }
    [ "$(uname -m)" = x86_64 ] || { say "$target: Debian's way is known for x86_64 only" && return 1; }
    debian_install && zig_for "$target" || return 1
    release=$("$debian_rustc" -vV | sed -n 's/^release: //p')
    source=/usr/src/rustc-$release/library
    [ -f "$source/Cargo.lock" ] || { say "rust-web-src does not match rustc $release" && return 1; }
    # A standard library fits exactly one compiler.
    id=$({ "$debian_rustc" -vV && dpkg-query -W rustc-web rust-web-src; } | sha256sum | cut -c1-12)
    sysroot=$cache/debian-$id
    library=$sysroot/lib/rustlib/$target
    mkdir -p "$sysroot/lib/rustlib"
    ln -sfn /usr/lib/rustlib/x86_64-unknown-linux-gnu "$sysroot/lib/rustlib/x86_64-unknown-linux-gnu"
    # Zig brings start files and the C library, and this Rust has none of its own.
    put "$cache/bin/rustc" <<END
#!/bin/sh
case "\$*" in *-linux-musl*) set -- -C link-self-contained=no "\$@" ;; esac
exec $debian_rustc --sysroot '$sysroot' "\$@"
END
    [ -d "$library" ] && return
    say "$target: building the standard library of Rust $release, once"
    work=$cache/work
    # As Rust's own build does it. With the profile `dist` bitcode comes along, which LTO needs, and
    # panic_abort is there beside unwinding. RUSTC_BOOTSTRAP is for these crates alone.
    # Fetched before, so that the folder of its crates is there to be remapped.
    RUSTC="$debian_rustc" RUSTC_BOOTSTRAP=1 "$debian_cargo" fetch --quiet --locked --target "$target" \
        --manifest-path "$source/sysroot/Cargo.toml" ||
        { say "$target: what its standard library depends on cannot be fetched" && return 1; }
    env -u RUSTFLAGS -u RUSTUP_TOOLCHAIN RUSTC="$debian_rustc" RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_DIR="$work" __CARGO_DEFAULT_LIB_METADATA=mesh \
        "CC_${target//-/_}=$cache/bin/$target-cc" "AR_${target//-/_}=$cache/bin/ar" \
        CARGO_ENCODED_RUSTFLAGS="$(remapped)"$'\x1f'"--remap-path-prefix=$source=/rustc/library"$'\x1f'-Zforce-unstable-if-unmarked \
        "$debian_cargo" build --quiet --locked --manifest-path "$source/sysroot/Cargo.toml" \
        --profile dist --config profile.dist.debug=0 --features backtrace,panic-unwind \
        --target "$target" || { say "$target: its standard library cannot be built" && return 1; }
    # Moved last: half of it must not look like all of it.
    rm -rf "$library.part"
    mkdir -p "$library.part/lib" && cp "$work/$target"/dist/deps/lib*.rlib "$library.part/lib/" &&
        mv "$library.part" "$library" && rm -rf "$work"
}

use_debian() {
    local target=$1
    unset RUSTUP_TOOLCHAIN
    # shellcheck disable=SC2034 # build.sh calls it.
    cargo=$debian_cargo
    # shellcheck disable=SC2034
    script_option=-Wl,-T,
    export RUSTC=$cache/bin/rustc
    export "CARGO_TARGET_$(in_capitals "$target")_LINKER=$cache/bin/$target-cc"
    export "CC_${target//-/_}=$cache/bin/$target-cc" "AR_${target//-/_}=$cache/bin/ar"
    say "$target: by Debian's $("$RUSTC" --version), and C by zig"
}
