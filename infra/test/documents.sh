#!/usr/bin/env bash
# Runs the commands of the documents that ask AWS, word for word, with moto in place of AWS. Left out
# is what moto does not know: activations of Systems Manager, services of launch type EXTERNAL.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! aws --version >/dev/null 2>&1; then
    echo 'the aws command is missing, so the commands of the documents are not run here'
    exit 0
fi
# Certificates are valid at once, and the policies of AWS are there.
export MOTO_ACM_VALIDATION_WAIT=0 MOTO_IAM_LOAD_MANAGED_POLICIES=true
# shellcheck source=infra/test/start-moto.sh
. test/start-moto.sh
export AWS_PAGER=

# Runs the lines of standard input in this folder, and shows what they say if they fail.
try() {
    (cd "$1" && bash -euo pipefail) >"$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
}

# Compares what there is now with what ought to be.
expect() {
    [ "$1" = "$2" ] || { printf 'there is:\n%s\nand not:\n%s\n' "$1" "$2" >&2; exit 1; }
}

step 'docs/getting-started-ecs-anywhere.md'
commands=$(grep '^aws ' ../docs/getting-started-ecs-anywhere.md | grep -v 'create-activation\|EXTERNAL')
try .. <<<"$commands"
expect "$(aws ecs list-task-definitions --family-prefix shop --query 'length(taskDefinitionArns)')" 1

step 'infra/README.md'
commands=$(grep '^aws ' README.md | grep -v create-activation)
try . <<<"$commands"
expect "$(aws iam list-attached-role-policies --role-name mesh-anywhere-host \
    --query 'length(AttachedPolicies)')" 2

step 'docs/load-balancer.md'
zone=$(aws route53 create-hosted-zone --name mesh.example.com --caller-reference here \
    --query HostedZone.Id --output text)
vpc=$(aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text)
subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" \
    --query 'Subnets[].SubnetId' --output text)
export zone vpc subnets
commands=$(awk '/^```bash$/ { on = 1; next } /^```$/ { on = 0 } on' ../docs/load-balancer.md)
try . <<<"$commands"
balancer=$(aws elbv2 describe-load-balancers --names mesh --query 'LoadBalancers[0].LoadBalancerArn' --output text)
expect "$(aws elbv2 describe-listeners --load-balancer-arn "$balancer" --output text \
    --query 'sort_by(Listeners, &Port)[].[Port, Protocol, DefaultActions[0].Type]')" \
    $'80\tHTTP\tredirect\n443\tHTTPS\tforward\n8082\tHTTPS\tforward'
expect "$(aws elbv2 describe-target-groups --output text --query \
    'sort_by(TargetGroups, &Port)[].[Port, Protocol, TargetType, HealthCheckPort, HealthCheckPath]')" \
    $'8080\tHTTP\tip\t8081\t/ready\n8082\tHTTP\tip\t8081\t/health'
expect "$(aws route53 list-resource-record-sets --hosted-zone-id "$zone" \
    --query "length(ResourceRecordSets[?Type=='A'])")" 2

step 'done'
