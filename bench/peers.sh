#!/usr/bin/env bash
# Installs the tunnels that bench/run.py compares with into target/peers, at fixed versions.
#
#   bench/peers.sh [rathole|bore|frp|chisel|wstunnel|piko]...     all of them, unless some are named
#
# nginx, haproxy, wrk and strace are Debian's packages of these names. What cannot be had here is
# skipped with a sentence, and bench/run.py leaves it out.
set -euo pipefail
cd "$(dirname "$0")/.."

peers=$PWD/target/peers
mkdir -p "$peers/bin"

# The crate, and what else cargo has to know.
cargo_peer() {
    local name=$1
    shift
    if ! command -v cargo >/dev/null; then
        echo "$name is skipped: cargo is missing"
    elif ! cargo install --quiet --root "$peers" --target-dir "$peers/build" "$@"; then
        echo "$name is skipped: cargo could not install $*"
    fi
}

# In a module of its own: `go install` asks for the list of all versions too, which a proxy that
# serves a choice of them does not have.
go_peer() {
    local name=$1 module=$2 version=$3 package folder
    shift 3
    if ! command -v go >/dev/null; then
        echo "$name is skipped: go is missing"
        return
    fi
    folder=$peers/build/$name
    rm -rf "$folder"
    mkdir -p "$folder"
    printf 'module peer\n\nrequire %s %s\n' "$module" "$version" >"$folder/go.mod"
    for package in "$@"; do
        if ! (cd "$folder" && GOFLAGS=-mod=mod go build -o "$peers/bin/" "$package"); then
            echo "$name is skipped: go could not build $package $version"
            return
        fi
    done
}

[ $# -gt 0 ] || set -- rathole bore frp chisel wstunnel piko
for peer in "$@"; do
    case $peer in
        # Its plain transport alone; TLS would need the headers of OpenSSL.
        rathole) cargo_peer rathole rathole@0.5.0 --no-default-features --features server,client ;;
        bore) cargo_peer bore bore-cli@0.6.0 ;;
        frp)
            go_peer frp github.com/fatedier/frp v0.61.1 \
                github.com/fatedier/frp/cmd/frps github.com/fatedier/frp/cmd/frpc
            ;;
        chisel) go_peer chisel github.com/jpillora/chisel v1.10.1 github.com/jpillora/chisel ;;
        # No registry has it. With ring it needs no cmake.
        wstunnel)
            cargo_peer wstunnel wstunnel-cli --git https://github.com/erebe/wstunnel --tag v10.6.2 \
                --no-default-features --features ring
            ;;
        piko)
            go_peer piko github.com/andydunstall/piko v0.7.0 github.com/andydunstall/piko
            ;;
        *)
            echo "$peer is no peer; there are rathole, bore, frp, chisel, wstunnel and piko" >&2
            exit 2
            ;;
    esac
done
