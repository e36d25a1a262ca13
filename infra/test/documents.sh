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

# The blocks of a document for bash, the N-th alone if that is given.
commands_in() {
    awk -v wanted="${2:-0}" '/^```bash$/ { on = ++n == wanted || !wanted; next } /^```$/ { on = 0 } on' "$1"
}

step 'docs/getting-started-ecs-anywhere.md'
commands=$(grep '^aws ' ../docs/getting-started-ecs-anywhere.md | grep -v 'create-activation\|EXTERNAL')
try .. <<<"$commands"
expect "$(aws ecs list-task-definitions --family-prefix shop --query 'length(taskDefinitionArns)')" 1

step 'infra/README.md'
commands=$(grep '^aws ' README.md | grep -v create-activation)
try . <<<"$commands"
expect "$(aws iam list-attached-role-policies --role-name mesh-anywhere-host \
    --query 'length(AttachedPolicies)')" 1
expect "$(aws iam list-role-policies --role-name mesh-anywhere-host --query PolicyNames \
    --output text)" one-cluster

step 'docs/load-balancer.md'
zone=$(aws route53 create-hosted-zone --name mesh.example.com --caller-reference here \
    --query HostedZone.Id --output text)
vpc=$(aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text)
subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" \
    --query "join(' ', Subnets[].SubnetId)" --output text)
export zone vpc subnets
commands=$(commands_in ../docs/load-balancer.md)
try .. <<<"$commands"
balancer=$(aws elbv2 describe-load-balancers --names mesh --query 'LoadBalancers[0].LoadBalancerArn' --output text)
expect "$(aws elbv2 describe-listeners --load-balancer-arn "$balancer" --output text \
    --query 'sort_by(Listeners, &Port)[].[Port, Protocol, DefaultActions[0].Type]')" \
    $'80\tHTTP\tredirect\n443\tHTTPS\tforward\n8082\tHTTPS\tforward'
listener=$(aws elbv2 describe-listeners --load-balancer-arn "$balancer" --output text \
    --query "Listeners[?Port==\`443\`].ListenerArn")
expect "$(aws elbv2 describe-rules --listener-arn "$listener" --output text \
    --query 'Rules[].[Priority, Conditions[0].Values[0], Actions[0].Type]')" \
    $'1\tagents.mesh.example.com\tforward\ndefault\tNone\tforward'
expect "$(aws elbv2 describe-target-groups --output text --query \
    'sort_by(TargetGroups, &Port)[].[Port, Protocol, TargetType, HealthCheckPort, HealthCheckPath]')" \
    $'8080\tHTTP\tip\t8081\t/ready\n8082\tHTTP\tip\t8081\t/health'
expect "$(aws route53 list-resource-record-sets --hosted-zone-id "$zone" \
    --query "length(ResourceRecordSets[?Type=='A'])")" 2
described() {
    aws ecs describe-services --cluster production --services mesh-ingress --query "services[0].$1" --output text
}
expect "$(described 'loadBalancers[].[containerName, containerPort]')" $'ingress\t8080\ningress\t8082'
expect "$(described '[desiredCount, launchType]')" $'2\tFARGATE'

step 'docs/service-connect.md'
group() {
    aws ec2 describe-security-groups --filters "Name=group-name,Values=$1" "Name=vpc-id,Values=$vpc" \
        --query 'SecurityGroups[0].GroupId' --output text
}
region=$AWS_REGION tasks=$(group mesh-ingress) callers=$(group default)
export region tasks callers
folder=$work/service-connect
mkdir "$folder"
awk '/^```json$/ { on = 1; next } on && /^```$/ { exit } on' ../docs/service-connect.md >"$folder/service-connect.json"
# ECS takes exactly one name for each port; moto and the model of the API take any number.
aliases='import json, sys
for service in json.load(sys.stdin)["serviceConnectConfiguration"]["services"]:
    print(len(service["clientAliases"]))'
expect "$("$python" -c "$aliases" <"$folder/service-connect.json" | sort -u)" 1
commands=$(commands_in ../docs/service-connect.md 1)
try "$folder" <<<"$commands"
# The other way instead of it: namespace and rule are there already.
aws servicediscovery delete-namespace --id "$(aws servicediscovery list-namespaces --query 'Namespaces[0].Id' \
    --output text)" >/dev/null
aws ec2 revoke-security-group-ingress --group-id "$tasks" --protocol tcp --port 8080 \
    --source-group "$callers" >/dev/null
commands=$(commands_in ../docs/service-connect.md 2)
try "$folder" <<<"$commands"
registry=$(aws servicediscovery list-services --query "Services[?Name=='mesh-ingress'].Arn" --output text)
expect "$(described 'serviceRegistries[].registryArn')" "$registry"
private=$(aws route53 list-hosted-zones-by-name --dns-name mesh.internal --query 'HostedZones[0].Id' --output text)
expect "$(aws route53 list-resource-record-sets --hosted-zone-id "$private" --output text --query \
    "ResourceRecordSets[?Type=='CNAME'].[ResourceRecords[0].Value]")" mesh-ingress.internal

step 'done'
