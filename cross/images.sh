#!/usr/bin/env bash
# Makes images of what cross/build.sh built, without a daemon, and proves that they do their work as
# containers.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
    cat <<'HELP'
Usage: cross/images.sh [folder]

Makes the images mesh, mesh-agent and test-app (cross/Dockerfile.dist) by podman of the programs in
the folder (dist/), for amd64 and, when the programs are there, for arm64. Those for amd64 then run:
an ingress, two agents and the sample service, without root, capabilities or anything to write to.
They have to serve, tell their health, survive the loss of an agent, and drain; once put together
here, and once by test-app/docker-compose.yml.

Fill the folder with:
  cross/build.sh --program mesh --program mesh-agent --program test-app \
      x86_64-unknown-linux-musl aarch64-unknown-linux-musl

It takes root, and Debian's podman, runc, netavark, aardvark-dns and iptables, which it installs. On
other machines it says what is missing, and ends with 0. Everything happens in namespaces and a
temporary folder of its own: no image, container, port or rule of a firewall is left or touched.
podman-compose comes from PyPI into target/, and without it that part is left out.
HELP
}

say() { printf 'images: %s\n' "$*"; }
skip() {
    say "$*"
    exit 0
}
fail() {
    printf 'cross/images.sh: %s\n' "$*" >&2
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
folder=$PWD
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")

# Whether all programs for this processor are in the folder.
has_programs() {
    local program
    for program in mesh mesh-agent test-app; do
        [ -f "$program-$version-$1-unknown-linux-musl" ] || return 1
    done
}
has_programs x86_64 || fail "$folder has not all of mesh, mesh-agent and test-app for x86_64; see --help"
# Set once this runs apart: to the Python that has podman-compose, or to nothing.
if [ -z "${IMAGES_APART+set}" ]; then
    [ "$(uname -m)" = x86_64 ] || skip "not made on $(uname -m), because the programs for x86_64 are to run"
    [ "$(id -u)" = 0 ] || skip 'not made, because only root can run containers apart from the rest of the machine'
    missing=()
    for tool in podman:podman runc:runc iptables:iptables /usr/lib/podman/netavark:netavark \
        /usr/lib/podman/aardvark-dns:aardvark-dns unshare:util-linux ip:iproute2 curl:curl \
        python3:python3 file:file; do
        command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null || skip "not made, because ${missing[*]} is missing and this is no Debian"
        export DEBIAN_FRONTEND=noninteractive
        install=(apt-get -qq -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "${missing[@]}")
        { "${install[@]}" || { apt-get -qq update && "${install[@]}"; }; } >/dev/null 2>&1 ||
            skip "not made, because ${missing[*]} cannot be installed"
    fi
    compose=$(python3 "$root/mesh/tests/identity/python/environment.py" "$root/target/tools" \
        "$root/cross/compose.txt" 2>&1) || {
        say "without compose, because $compose"
        compose=
    }
    # Ports, networks, mounts and processes of its own: whatever happens, all of it ends with this.
    apart=(unshare --mount --net --pid --fork --kill-child --mount-proc)
    "${apart[@]}" true 2>/dev/null || skip 'not made, because this machine gives no namespaces'
    IMAGES_APART=$compose exec "${apart[@]}" "$root/cross/images.sh" "$folder"
fi

work=$(mktemp -d)
finish() {
    podman rm --all --force --time 0 >/dev/null 2>&1 || :
    rm -rf "$work"
}
trap finish EXIT
ip link set lo up
mount -t tmpfs run /run

# Nobody here runs health checks by the clock but this script.
export DISABLE_HC_SYSTEMD=true
# Podman asks for more open files than a container may have when it runs inside of another.
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
cat >"$CONTAINERS_CONF" <<CONF
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=4096:4096"]
log_driver = "k8s-file"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
CONF
cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "vfs"
graphroot = "$work/images"
runroot = "$work/run"
CONF

# Whether this machine can run containers at all is found out without any image of ours.
mkdir "$work/probe"
cp "mesh-$version-x86_64-unknown-linux-musl" "$work/probe/mesh"
{ podman network create mesh && podman run --rm --network mesh --rootfs "$work/probe" /mesh --version; } \
    >/dev/null 2>"$work/log" ||
    skip "not made, because podman runs nothing here: $(tail -n 1 "$work/log")"

# within SECONDS COMMAND...: repeats until it holds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# What an image has besides what podman says about it: nothing but these programs, for its processor.
check_content() {
    local image=$1 platform=$2 expected=$3 mounted found kind
    mounted=$(podman image mount "$image")
    found=$(cd "$mounted" && find . -type f -printf '%P ' | tr ' ' '\n' | sort | xargs)
    [ "$found" = "$expected" ] || fail "$image contains: $found"
    for found in $expected; do
        kind=$(file -b "$mounted/$found")
        case $platform:$kind in
        amd64:*x86-64* | arm64:*aarch64*) ;;
        *) fail "$found in $image is for another processor: $kind" ;;
        esac
    done
    podman image unmount "$image" >/dev/null
}

# Docker has TARGETARCH in front of FROM unless a file names it there, which makes it blank. Debian's
# podman has it only where it is named.
{ echo 'ARG TARGETARCH' && cat "$root/cross/Dockerfile.dist"; } >"$work/Dockerfile"

# image TARGET NAME PROGRAMS: for each platform, and that of this machine by its plain name.
image() {
    local target=$1 name=$2 expected=$3 platform says
    for platform in "${platforms[@]}"; do
        # Docker's format: that of OCI has no health checks.
        podman build --quiet --isolation chroot --format docker --platform "linux/$platform" \
            -f "$work/Dockerfile" --target "$target" -t "$name:$platform" . >/dev/null 2>"$work/log" ||
            fail "$name for $platform cannot be made: $(tail -n 5 "$work/log")"
        says=$(podman image inspect "$name:$platform" \
            --format '{{.Os}}/{{.Architecture}}, user {{.Config.User}}, starts {{.Config.Entrypoint}} {{.Config.Cmd}}')
        case $says in
        "linux/$platform, user 65532:65532, "*) ;;
        *) fail "$name for $platform says of itself: $says" ;;
        esac
        check_content "$name:$platform" "$platform" "$expected"
        say "$name:$platform: $says, $(podman image inspect "$name:$platform" --format '{{.Size}}') bytes"
    done
    podman tag "$name:amd64" "$name"
}

platforms=(amd64)
if has_programs aarch64; then
    platforms+=(arm64)
else
    say "none for arm64, because $folder has not all programs for aarch64"
fi
image ingress mesh mesh
image agent mesh-agent mesh-agent
image test-app test-app 'mesh test-app'

token_a=0b6f1c64a51c4b0e9d1b7c55d0f6e3a1
token_b=7f3e2a90c8d14d5fb2e6409a1c75d8e4
start() {
    local name=$1
    shift
    podman run -d --name "$name" --network mesh --read-only --cap-drop ALL --security-opt no-new-privileges \
        "$@" >/dev/null 2>"$work/log" || fail "$name does not start: $(tail -n 1 "$work/log")"
}
start_ingress() {
    start ingress -p 127.0.0.1:8080:8080 -p 127.0.0.1:8081:8081 -e MESH_SERVER_ID=ingress -e MESH_DRAIN_TIMEOUT=5 \
        -e "MESH_TOKENS=agent-a $token_a demo.local; agent-b $token_b demo.local" mesh
}
start_agent() {
    start "$1" -e "MESH_TOKEN=$2" mesh-agent --ingress-endpoint=ws://ingress:8082 \
        --local-endpoint=http://test-app:3000 --health-check-path=/api/health --host=demo.local --service-name="$1"
}

ask() { curl -sS --fail --max-time 20 -H 'Host: demo.local' "http://127.0.0.1:8080$1"; }
# Names of the agents that the ingress would send requests to.
agents() {
    curl -sS --fail --max-time 5 http://127.0.0.1:8081/debug/services 2>/dev/null | python3 -c '
import json, sys
services = json.load(sys.stdin)["services"]
names = [each["principal"].split()[-1] for each in services if each["healthy"] and not each["draining"]]
print(*sorted(names))' 2>/dev/null || :
}
has_agents() { [ "$(agents)" = "$*" ]; }
is_busy() {
    curl -sS --max-time 5 http://127.0.0.1:8081/debug/services | grep -q '"in_flight": *[1-9]'
}
# Everybody comes to the service: the answers are its own.
serves() {
    ask /api/health >"$work/answer" 2>"$work/log" && grep -q '"service":"test-app"' "$work/answer"
}
health_of() { podman inspect "$1" --format '{{.State.Health.Status}}'; }
# Runs the check of the image, as an engine does by the clock, and wants to see it written down.
is_healthy() { podman healthcheck run "$1" >/dev/null 2>&1 && [ "$(health_of "$1")" = healthy ]; }

complete() {
    within 30 has_agents "$@" || fail "these agents are there instead of $*: $(agents); $(podman logs "$1" 2>&1 | tail -n 3)"
}

# What the kernel says of a container: nobody's user, no capability, no way to get one, nothing to write to.
check_confined() {
    local process
    process=$(podman inspect "$1" --format '{{.State.Pid}}')
    [ "$(awk '/^(Uid|Gid|CapEff|CapPrm|CapBnd|NoNewPrivs):/ { printf "%s ", $2 }' "/proc/$process/status")" = \
        '65532 65532 0000000000000000 0000000000000000 0000000000000000 1 ' ] || fail "$1 is not confined"
    grep -qE '^[0-9]+ [0-9]+ [^ ]+ [^ ]+ / ro[, ]' "/proc/$process/mountinfo" || fail "the root of $1 can be written to"
}

# leaves NAME...: they get SIGTERM, and end with 0.
leaves() {
    local name status
    podman stop --time 30 "$@" >/dev/null 2>"$work/log" || fail "$* do not stop: $(tail -n 1 "$work/log")"
    for name in "$@"; do
        status=$(podman inspect "$name" --format '{{.State.ExitCode}}')
        [ "$status" = 0 ] || fail "$name ends with $status when it is asked to leave"
    done
}

# drains NAME...: a request that is under way gets its answer although they are asked to leave.
drains() {
    ask /api/stress/2 >"$work/slow" 2>"$work/slow.log" &
    local request=$!
    within 10 is_busy || fail 'a slow request does not get under way'
    leaves "$@"
    wait "$request" || fail "a request is lost while $* leave: $(cat "$work/slow.log")"
    grep -q '"held_seconds":' "$work/slow" || fail "a slow request is answered with $(cat "$work/slow")"
}

start test-app test-app
start_ingress
start_agent agent-a "$token_a"
start_agent agent-b "$token_b"
complete agent-a agent-b
serves || fail "through the published port comes: $(cat "$work/log" "$work/answer")"
for name in test-app ingress agent-a agent-b; do check_confined "$name"; done
say "serve through a published port: $(cat "$work/answer")"

for name in test-app ingress; do
    within 20 is_healthy "$name" || fail "$name is $(health_of "$name"), and not healthy"
done
podman exec ingress /mesh health >/dev/null || fail 'mesh health does not work inside of the ingress'
# Told directly, and for less time than agents take to believe it.
service=$(podman inspect test-app --format '{{.NetworkSettings.Networks.mesh.IPAddress}}'):3000
turn() { curl -sS --fail --max-time 5 -X PUT "http://$service/api/health/$1" >/dev/null; }
turn down
! is_healthy test-app || fail 'test-app is healthy although it was told not to be'
turn up
is_healthy test-app || fail 'test-app is not healthy again'
complete agent-a agent-b
say 'tell their health, good and bad'

# Requests without end, of which none may be lost.
ask_on() {
    rm -f "$work/enough"
    for _ in $(seq 5000); do
        [ ! -e "$work/enough" ] || return 0
        ask /api/health && echo
    done >"$work/many" 2>&1
}
for pair in "agent-a $token_a agent-b" "agent-b $token_b agent-a"; do
    read -r lost token left <<<"$pair"
    ask_on &
    many=$!
    within 10 test -s "$work/many" || fail 'no request of many gets its answer'
    podman kill --signal KILL "$lost" >/dev/null
    complete "$left"
    touch "$work/enough"
    wait "$many" || :
    ! grep -v '"service":"test-app"' "$work/many" | grep . ||
        fail "this came instead of answers while $lost was killed"
    podman rm --force "$lost" >/dev/null
    start_agent "$lost" "$token"
    complete agent-a agent-b
done
say 'lose no request when one of two agents is killed, whichever it is'

drains agent-a agent-b
podman start agent-a agent-b >/dev/null
complete agent-a agent-b
drains ingress
leaves agent-a agent-b test-app
say 'drain on SIGTERM, and end with 0'
podman rm --all --force --time 0 >/dev/null


[ -n "$IMAGES_APART" ] || exit 0
podman network rm mesh >/dev/null
# One service of the file, by the name of its container.
container() { podman ps --all --filter "label=com.docker.compose.service=$1" --format '{{.Names}}'; }
compose() { "$IMAGES_APART" -m podman_compose -f "$root/test-app/docker-compose.yml" "$@"; }
# A podman that waits for health waits for the checks.
{ while :; do for name in ingress test-app agent-a agent-b; do is_healthy "$(container "$name")" || sleep 1; done; done; } \
    >/dev/null 2>&1 &
clock=$!
compose up -d --no-build >"$work/log" 2>&1 || fail "compose does not start: $(tail -n 5 "$work/log")"
complete agent-a agent-b
serves || fail "through the port of compose comes: $(cat "$work/log" "$work/answer")"
kill "$clock"
wait "$clock" 2>/dev/null || :
for name in ingress test-app agent-a agent-b; do
    within 20 is_healthy "$(container "$name")" || fail "$name of compose is not healthy"
done
for name in ingress test-app agent-a agent-b; do check_confined "$(container "$name")"; done
compose stop >"$work/log" 2>&1 || fail "compose does not stop: $(tail -n 5 "$work/log")"
for name in ingress test-app agent-a agent-b; do
    status=$(podman inspect "$(container "$name")" --format '{{.State.ExitCode}}')
    [ "$status" = 0 ] || fail "$name of compose ends with $status"
done
say 'work by compose, are healthy, and end with 0'
