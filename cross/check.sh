#!/usr/bin/env bash
# Proves that what cross/build.sh built is static, small, tells nothing of the machine that built it,
# and works: programs for other processors run under qemu-user.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
    cat <<'END'
Usage: cross/check.sh [folder]

Checks all programs in the folder (dist/) that cross/build.sh filled. For other processors it wants
qemu-user-static; it also needs file, readelf, strings, openssl, python3 and curl.
END
}

fail() {
    printf 'cross/check.sh: %s\n' "$*" >&2
    exit 1
}

case ${1:-} in
--help)
    usage
    exit
    ;;
-*) fail "$1 is not an option; see --help" ;;
esac
cd "${1:-$root/dist}"
for tool in file readelf strings openssl python3 curl; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done

# The most bytes that a program may have, without hurry to ever come near.
ceiling() {
    case $1 in
    mesh-agent-without-aws-*-aarch64-*) echo 1677721 ;;
    mesh-agent-without-aws-*-armv7-*) echo 1500000 ;;
    mesh-agent-without-aws-*-x86_64-*) echo 2100000 ;;
    mesh-agent-*-aarch64-*) echo 2621440 ;;
    mesh-agent-*-armv7-*) echo 2200000 ;;
    mesh-agent-*-x86_64-*) echo 2700000 ;;
    mesh-*-x86_64-*) echo 5000000 ;;
    mesh-*) echo 4500000 ;;
    *) echo 20000000 ;;
    esac
}

# What runs programs of this target; nothing for our own. Fails when they cannot be run here.
runner() {
    local target=$1 name
    case $target in "$(uname -m)"-*) return ;; esac
    name=qemu-${target%%-*}-static
    name=${name/armv7/arm}
    command -v "$name"
}

sha256sum --check --quiet SHA256SUMS || fail 'SHA256SUMS does not fit'
programs=()
while read -r _ program; do programs+=("$program"); done <SHA256SUMS
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")

# Where things are on this machine. The short ones may be part of something that everybody has.
private=(-e "$root" -e "${CARGO_HOME:-$HOME/.cargo}" -e /usr/src/rustc -e /registry/src/ -e .rustup/)
case ${HOME:-/} in / | /root) private+=(-e /root/) ;; *) private+=(-e "$HOME") ;; esac
[ -z "${CARGO_TARGET_DIR:-}" ] || private+=(-e "$CARGO_TARGET_DIR")
[ -z "${TOOLCHAIN_CACHE:-}" ] || private+=(-e "$TOOLCHAIN_CACHE")

printf '%-62s %9s %9s  %s\n' program bytes 'at most' 'what file says'
for program in "${programs[@]}"; do
    bytes=$(stat -c %s "$program")
    most=$(ceiling "$program")
    kind=$(file -b "$program")
    printf '%-62s %9s %9s  %s\n' "$program" "$bytes" "$most" "$(cut -d, -f2,4,5 <<<"$kind")"
    grep -qE 'statically linked|static-pie linked' <<<"$kind" || fail "$program: file does not say static"
    readelf -dW "$program" | grep NEEDED && fail "$program wants a library"
    readelf -lW "$program" | grep INTERP && fail "$program wants an interpreter"
    strings -n 6 "$program" | grep -F "${private[@]}" && fail "$program tells where it was built"
    [ "$bytes" -le "$most" ] || fail "$program is larger than $most bytes"
done

work=$(mktemp -d)
started=()
# Whatever happens, nothing that was started stays.
finish() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || :; done
    rm -rf "$work"
}
trap finish EXIT

# within SECONDS COMMAND...: repeats until it holds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# start NAME COMMAND...: in the background, with its output in files of that name.
start() {
    local name=$1
    shift
    "$@" >"$work/$name.out" 2>"$work/$name.log" &
    started+=($!)
}

# The port that a program says it got.
port() { sed -n "s/^listening $2 .*:\([0-9]*\)$/\1/p" "$work/$1.out"; }
has_ports() { [ "$(grep -c ^listening "$work/$1.out" 2>/dev/null)" = "$2" ]; }

# A service that gives a body and takes one, answering with its checksum.
service() {
    exec python3 - "$work/body" <<'END'
import hashlib, http.server, sys

body = open(sys.argv[1], "rb").read()

class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.answer(body if self.path == "/body" else b"well\n")

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.sha256(content).hexdigest().encode())

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
print(f"listening service 127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
END
}

# An authority of our own, and a certificate of it for localhost.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=check' \
        -keyout "$work/ca.key" -out "$work/ca.pem"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=localhost' \
        -keyout "$work/key.pem" -out "$work/request.pem"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$work/extensions"
    openssl x509 -req -in "$work/request.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
        -days 2 -extfile "$work/extensions" -out "$work/cert.pem"
}

ask() { curl -sS --fail --max-time 60 --cacert "$work/ca.pem" -H "Host: $host" "$@"; }
serves() { ask -o "$work/answer" "$url/" 2>/dev/null; }

# serve_through SERVER AGENT COMMAND...: the agent registers, and real requests go through it.
serve_through() {
    local server=$1 program=$2 scheme=ws agent status
    shift 2
    url=http://localhost:$(port "$server" traffic)
    host=$program.check
    if [ "$server" = tls ]; then
        scheme=wss url=https${url#http} host=tls.$host
        set -- "$@" --ca-file "$work/ca.pem"
    fi
    start "$host" "$@" --ingress-endpoint "$scheme://localhost:$(port "$server" tunnels)" --host "$host" \
        --local-endpoint "http://127.0.0.1:$(port service service)" --skip-iam-validation
    agent=$!
    within 30 serves || fail "$program serves nothing over $scheme: $(tail -n 3 "$work/$host.log")"
    for _ in 1 2 3 4 5 6 7 8 9 10; do ask -o "$work/answer" "$url/"; done
    ask -o "$work/answer" "$url/body"
    cmp "$work/body" "$work/answer" || fail "$program over $scheme: a download of 10 MiB is damaged"
    ask -o "$work/answer" --data-binary "@$work/body" "$url/"
    [ "$(cat "$work/answer")" = "$sum" ] || fail "$program over $scheme: an upload of 10 MiB is damaged"
    kill -TERM "$agent"
    status=0
    wait "$agent" || status=$?
    [ "$status" = 0 ] || fail "$program ends with $status when it is asked to leave"
}

# knows_version NAME COMMAND...: says it, with or without the commit.
knows_version() {
    local name=$1
    shift
    case $("$@" --version) in
    "$name $version" | "$name $version ("*")") ;;
    *) return 1 ;;
    esac
}

head -c 10485760 /dev/urandom >"$work/body"
sum=$(sha256sum <"$work/body" | cut -d' ' -f1)
certificate 2>"$work/openssl.log" || fail "openssl: $(cat "$work/openssl.log")"
start service service
within 20 has_ports service 1 || fail 'the sample service does not start'
mesh=$PWD/mesh-$version-$(uname -m)-unknown-linux-musl
if [ -x "$mesh" ]; then
    ports=(--bind 127.0.0.1 --alb-port 0 --websocket-port 0 --health-port 0)
    start plain "$mesh" server "${ports[@]}"
    start tls "$mesh" server "${ports[@]}" --tls-cert "$work/cert.pem" --tls-key "$work/key.pem"
    within 20 has_ports plain 3 || fail "mesh server does not start: $(tail -n 3 "$work/plain.log")"
    within 20 has_ports tls 3 || fail "mesh server with TLS does not start: $(tail -n 3 "$work/tls.log")"
    "$mesh" health --url "http://127.0.0.1:$(port plain health)/health" >"$work/answer"
fi
skipped=
for program in "${programs[@]}"; do
    case $program in *"-$version-"*) ;; *) fail "$program is not of version $version" ;; esac
    target=${program##*"-$version-"}
    if ! run=$(runner "$target"); then
        skipped="$skipped $program"
        continue
    fi
    command=("$PWD/$program")
    [ -z "$run" ] || command=("$run" "${command[@]}")
    case $program in
    mesh-agent-*)
        knows_version mesh-agent "${command[@]}" || fail "$program does not know its version"
        if [ ! -x "$mesh" ]; then
            echo "$program: runs; there is no mesh for this machine to serve through"
            continue
        fi
        serve_through plain "$program" "${command[@]}"
        serve_through tls "$program" "${command[@]}"
        echo "$program: runs, and serves over ws and wss${run:+ (${run##*/})}"
        ;;
    mesh-*)
        knows_version mesh "${command[@]}" || fail "$program does not know its version"
        "${command[@]}" demo --once >"$work/demo.out" || fail "$program demo does not work"
        grep -q '^    < HTTP/1.1 200 OK' "$work/demo.out" || fail "$program demo shows no answer"
        echo "$program: runs, with its demo${run:+ (${run##*/})}"
        ;;
    esac
done
[ -z "$skipped" ] || echo "qemu-user-static is not installed, so these were not run:$skipped"
