"""What deploy-moto.sh does to moto besides the CDK: gives it what the stack needs, and looks."""

import glob
import json
import sys

import boto3

STACK = "mesh"
# Kinds that this version of moto does not know and leaves out without a word.
UNKNOWN_TO_MOTO = {
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::Logs::MetricFilter",
}


def prepare(path):
    zone = boto3.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")
    certificate = boto3.client("acm").request_certificate(DomainName="mesh.example.com")
    subnets = boto3.client("ec2").describe_subnets()["Subnets"]
    ids = [subnet["SubnetId"] for subnet in subnets]
    registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    params = {
        "domainName": "mesh.example.com",
        "hostedZoneId": zone["HostedZone"]["Id"].rsplit("/", 1)[1],
        "hostedZoneName": "example.com",
        "certificateArn": certificate["CertificateArn"],
        "vpcId": subnets[0]["VpcId"],
        "loadBalancerSubnetIds": ids,
        "taskSubnetIds": ids,
        "ingressImage": f"{registry}/mesh:0.1.0",
        "testWorkload": {"image": f"{registry}/test-app:0.1.0"},
        "deletionProtection": False,
    }
    write(path, params)


def change(path, name, value):
    with open(path, encoding="utf-8") as file:
        params = json.load(file)
    params[name] = json.loads(value)
    write(path, params)


def write(path, params):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(params, file)


def check(folder, agents):
    """Every resource of the template is there, and the ones that matter look as they should.

    `agents` is where agents connect: alb or nlb.
    """
    with open(glob.glob(f"{folder}/*.template.json")[0], encoding="utf-8") as file:
        wanted = json.load(file)["Resources"]
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources")
    made = {
        resource["LogicalResourceId"]: resource
        for page in pages.paginate(StackName=STACK)
        for resource in page["StackResourceSummaries"]
        # moto lists what it left out under an empty name.
        if resource["LogicalResourceId"]
    }
    missing = sorted({wanted[name]["Type"] for name in wanted.keys() - made.keys()})
    print(f"{len(made)} of {len(wanted)} resources; moto knows no {', '.join(missing)}")
    assert missing == sorted(UNKNOWN_TO_MOTO), missing

    balancer = boto3.client("elbv2")
    listeners = [
        listener
        for arn in ids(made, "AWS::ElasticLoadBalancingV2::LoadBalancer")
        for listener in balancer.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    ]
    shown = sorted((one["Port"], one["Protocol"], one["SslPolicy"]) for one in listeners)
    print("listeners", shown)
    policy = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
    protocol = {"alb": "HTTPS", "nlb": "TLS"}[agents]
    assert shown == [(443, "HTTPS", policy), (8082, protocol, policy)]
    targets = balancer.describe_target_groups()["TargetGroups"]
    checks = sorted((one["Port"], one["HealthCheckPath"], one["HealthCheckPort"]) for one in targets)
    print("health checks", checks)
    assert checks == [(8080, "/ready", "8081"), (8082, "/health", "8081")]

    (zone,) = boto3.client("route53").list_hosted_zones()["HostedZones"]
    records = boto3.client("route53").list_resource_record_sets(HostedZoneId=zone["Id"])
    names = sorted(
        record["Name"].replace("\\052", "*")
        for record in records["ResourceRecordSets"]
        if "AliasTarget" in record
    )
    print("names", names)
    own = {"alb": [], "nlb": ["agents.mesh.example.com."]}[agents]
    assert names == ["*.mesh.example.com.", *own, "mesh.example.com."]

    ecs = boto3.client("ecs")
    services = ecs.list_services(cluster=STACK)["serviceArns"]
    print("services", [arn.rsplit("/", 1)[1] for arn in services])
    assert len(services) == 2
    for name in ["mesh-ingress", "mesh-test-app"]:
        task = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
        for container in task["containerDefinitions"]:
            assert container["readonlyRootFilesystem"], container["name"]
            print("container", name, container["name"], container.get("command"))

    iam = boto3.client("iam")
    for role in ids(made, "AWS::IAM::Role"):
        trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        assert [one["Principal"] for one in trust] == [{"Service": "ecs-tasks.amazonaws.com"}], role
        assert all(one["Condition"]["StringEquals"] for one in trust), role
    print("roles", len(ids(made, "AWS::IAM::Role")), "trusted to ECS alone")


def ids(made, kind):
    return [one["PhysicalResourceId"] for one in made.values() if one["ResourceType"] == kind]


def count(expected):
    ecs = boto3.client("ecs")
    (service,) = ecs.describe_services(cluster=STACK, services=["mesh-ingress"])["services"]
    print("wanted tasks", service["desiredCount"])
    assert service["desiredCount"] == int(expected)


def gone():
    stacks = boto3.client("cloudformation").list_stacks()["StackSummaries"]
    left = [one for one in stacks if one["StackName"] == STACK]
    assert all(one["StackStatus"] == "DELETE_COMPLETE" for one in left), left
    assert not boto3.client("elbv2").describe_load_balancers()["LoadBalancers"]
    # moto deletes a stack without all that is in it; that is its own affair.
    left = {
        "services": boto3.client("ecs").list_services(cluster=STACK)["serviceArns"],
        "target groups": boto3.client("elbv2").describe_target_groups()["TargetGroups"],
        "clusters": boto3.client("ecs").list_clusters()["clusterArns"],
        "log groups": boto3.client("logs").describe_log_groups()["logGroups"],
    }
    print("the stack is gone; moto keeps", {kind: len(found) for kind, found in left.items()})


def forget():
    """Deletes what moto keeps of a stack that is gone."""
    ecs = boto3.client("ecs")
    for service in ecs.list_services(cluster=STACK)["serviceArns"]:
        ecs.delete_service(cluster=STACK, service=service, force=True)
    ecs.delete_cluster(cluster=STACK)
    balancer = boto3.client("elbv2")
    for group in balancer.describe_target_groups()["TargetGroups"]:
        balancer.delete_target_group(TargetGroupArn=group["TargetGroupArn"])


if __name__ == "__main__":
    commands = [prepare, change, check, count, gone, forget]
    {command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:])
