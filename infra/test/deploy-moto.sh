#!/usr/bin/env bash
# Deploys the stack with the CDK's own command, to moto in place of AWS: made, updated, destroyed.
# What was made is then looked at with boto3. What it needs: environment.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

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
"$python" -m moto.server -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
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
    AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 AWS_EC2_METADATA_DISABLED=true \
    HOME="$work" CI=1 NODE_NO_WARNINGS=1 CDK_DISABLE_CLI_TELEMETRY=true
cdk() { ./node_modules/.bin/cdk "$@" --no-notices --output "$work/cdk.out"; }

step 'what the stack is given: zone, certificate, VPC'
"$python" test/moto.py prepare "$work/params.json"

step 'bootstrap'
cdk bootstrap aws://123456789012/eu-central-1 2>&1 | tail -n 1

step 'deploy'
cdk deploy -c "params=$work/params.json" --require-approval never --progress events \
    >"$work/deploy.log" 2>&1 || { cat "$work/deploy.log" >&2; exit 1; }
grep -E '✅|Deployment time' "$work/deploy.log"

step 'what came out'
"$python" test/moto.py check "$work/cdk.out"
"$python" test/moto.py count 2

step 'deploy again, with three tasks'
"$python" test/moto.py change "$work/params.json" desiredCount 3
# moto loses change sets of stacks that are there already.
cdk deploy -c "params=$work/params.json" --require-approval never --progress events --method direct \
    >"$work/update.log" 2>&1 || { cat "$work/update.log" >&2; exit 1; }
grep -E '✅|Deployment time' "$work/update.log"
"$python" test/moto.py count 3

step 'destroy'
cdk destroy -c "params=$work/params.json" --force >"$work/destroy.log" 2>&1 ||
    { tail -n 20 "$work/destroy.log" >&2; exit 1; }
grep -E '✅' "$work/destroy.log"
"$python" test/moto.py gone

step 'done'
