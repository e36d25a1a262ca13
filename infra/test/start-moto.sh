#!/usr/bin/env bash
# Starts moto in place of AWS, until the script ends that takes this in (from infra/): $work is a
# folder for it, $python what environment.sh found, and AWS's variables lead to moto.
set -euo pipefail

work=$(mktemp -d)
moto_pid=
finish() {
    local status=$?
    if [ -n "$moto_pid" ]; then
        kill "$moto_pid" 2>/dev/null || true
        wait "$moto_pid" 2>/dev/null || true
    fi
    # What moto cannot do, it tells here alone.
    [ "$status" = 0 ] || tail -n 30 "$work/moto.log" >&2
    rm -rf "$work"
}
trap finish EXIT

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

step 'moto'
# shellcheck source=infra/test/environment.sh
. test/environment.sh
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Isolated, since moto.py beside it would be taken for moto.
"$python" -I test/moto_server.py -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
moto_pid=$!
for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    kill -0 "$moto_pid" || { cat "$work/moto.log" >&2; exit 1; }
    sleep 0.2
done

# Nothing of the caller's AWS may leak in: this must never reach a real account. The name localhost,
# because moto takes an address for the name of a bucket.
for variable in $(compgen -e | grep '^AWS_'); do unset "$variable"; done
export AWS_ENDPOINT_URL="http://localhost:$port" AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
    AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_EC2_METADATA_DISABLED=true HOME="$work"
