#!/usr/bin/env bash
# Deploys the stack with the CDK's own command, to moto in place of AWS: made, updated, destroyed, and
# made again with agents behind a Network Load Balancer. What was made is then looked at with boto3.
# What it needs: environment.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=infra/test/start-moto.sh
. test/start-moto.sh

export CI=1 NODE_NO_WARNINGS=1 CDK_DISABLE_CLI_TELEMETRY=true
cdk() { ./node_modules/.bin/cdk "$@" --no-notices --output "$work/cdk.out"; }
deploy() {
    cdk deploy -c "params=$work/params.json" --require-approval never --progress events "$@" \
        >"$work/deploy.log" 2>&1 || { cat "$work/deploy.log" >&2; exit 1; }
    grep -E '✅|Deployment time' "$work/deploy.log"
}
destroy() {
    cdk destroy -c "params=$work/params.json" --force >"$work/destroy.log" 2>&1 ||
        { tail -n 20 "$work/destroy.log" >&2; exit 1; }
    grep -E '✅' "$work/destroy.log"
    "$python" test/moto.py gone
}

step 'what the stack is given: zone, certificate, VPC'
"$python" test/moto.py prepare "$work/params.json"

step 'bootstrap'
cdk bootstrap aws://123456789012/eu-central-1 2>&1 | tail -n 1

step 'deploy'
deploy

step 'what came out'
"$python" test/moto.py check "$work/cdk.out" alb
"$python" test/moto.py count 2

step 'deploy again, with three tasks'
"$python" test/moto.py change "$work/params.json" desiredCount 3
# moto loses change sets of stacks that are there already.
deploy --method direct
"$python" test/moto.py count 3

step 'destroy'
destroy

step 'deploy with agents behind a Network Load Balancer'
"$python" test/moto.py change "$work/params.json" agentLoadBalancer '"nlb"'
# What moto kept of the first stack is not mistaken for what is made now.
"$python" test/moto.py forget
deploy
"$python" test/moto.py check "$work/cdk.out" nlb
destroy

step 'done'
