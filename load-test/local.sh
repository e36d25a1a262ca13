#!/usr/bin/env bash
# Runs every script for a short time against an ingress, an agent and the sample service on this
# machine. It shows that the scripts and the mesh work together, and nothing about how fast: all of
# them share the processors with the load.
#
#   MESH=target/release/mesh TEST_APP=target/release/test-app load-test/local.sh [SCRIPT...]
set -euo pipefail

mesh=${MESH:-mesh}
test_app=${TEST_APP:-test-app}
k6=${K6:-k6}
for program in "$mesh" "$test_app" "$k6"; do
    command -v "$program" >/dev/null || { echo "$program: not found" >&2; exit 2; }
done
mesh=$(realpath "$(command -v "$mesh")")
test_app=$(realpath "$(command -v "$test_app")")
cd "$(dirname "$0")"

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap finish EXIT

# Waits for a line of a log that matches, and prints its last word.
announced() {
    for _ in $(seq 100); do
        if grep -m1 -E "$2" "$1" >/dev/null 2>&1; then
            grep -m1 -E "$2" "$1" | awk '{ print $NF }'
            return
        fi
        sleep 0.1
    done
    echo "there is no line like $2 in $1:" >&2
    cat "$1" >&2
    return 1
}

PORT=0 BIND=127.0.0.1 "$test_app" >"$work/service" 2>&1 &
pids+=($!)
service=$(announced "$work/service" '^listening on http')
"$mesh" server --bind 127.0.0.1 --alb-port 0 --websocket-port 0 --health-port 0 --drain-timeout 1 \
    >"$work/ports" 2>"$work/ingress" &
pids+=($!)
traffic=$(announced "$work/ports" '^listening traffic')
tunnels=$(announced "$work/ports" '^listening tunnels')
health=$(announced "$work/ports" '^listening health')
"$mesh" client --ingress-endpoint "ws://$tunnels" --local-endpoint "$service" --host demo.local \
    --health-check-path /api/health --skip-iam-validation >"$work/agent" 2>&1 &
pids+=($!)
announced "$work/agent" 'registered demo.local' >/dev/null

export TARGET_URL="http://$traffic" TARGET_HOST=demo.local REGISTRATION_URL="ws://$tunnels" \
    HEALTH_URL="http://$health"
export RATE=${RATE:-20} SPIKE_FACTOR=${SPIKE_FACTOR:-5} DURATION=${DURATION:-10s} \
    SOAK_DURATION=${SOAK_DURATION:-20s} SOCKETS=${SOCKETS:-5} STREAMS=${STREAMS:-5}
failed=()
scripts=("$@")
[ ${#scripts[@]} -gt 0 ] ||
    scripts=(http-smoke.js http-baseline.js http-spike.js http-soak.js ws-connect.js sse.js)
for script in "${scripts[@]}"; do
    printf '\n== %s\n' "$script"
    "$k6" run --quiet --no-usage-report "$script" || failed+=("$script")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    tail -n 5 "$work/ingress" "$work/agent" >&2
    exit 1
fi
