"""Fills a moto server with an AWS account for agents and an ingress, switches the verification of
signatures and policies on, and prints who and what there is as JSON.

seed.py ENDPOINT POLICIES, where POLICIES is the folder of the documentation's IAM policies: what
actions they do not allow the ingress and the agent, these cannot do here either.

As ECS does, each task has a session of its task role that is called like the task. moto's services
start no tasks, and none of type EXTERNAL exist there; so the tasks are started one by one, with
`startedBy` and `group` as ECS sets them for the tasks of a service.
"""

import json
import pathlib
import sys
import urllib.request

import boto3
from botocore.config import Config

ENDPOINT, POLICIES = sys.argv[1], pathlib.Path(sys.argv[2])
REGION = "eu-central-1"
FOREIGN_ACCOUNT = "210987654321"


def tell(path, body, kind="text/plain"):
    url, headers = ENDPOINT + "/moto-api/" + path, {"content-type": kind}
    request = urllib.request.Request(url, body.encode(), headers, method="POST")
    urllib.request.urlopen(request, timeout=10).read()


def client(service, keys=("bootstrap", "bootstrap", None)):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        aws_session_token=keys[2],
        config=Config(retries={"total_max_attempts": 1}),
    )


tell("reset", "")
iam, sts, ecs = client("iam"), client("sts"), client("ecs")
ACCOUNT = sts.get_caller_identity()["Account"]


def documented(name):
    """For all resources: moto does not see which one a request is about, and takes it for `*`."""
    document = json.loads((POLICIES / name).read_text())
    for statement in document["Statement"]:
        statement["Resource"] = "*"
    return json.dumps(document)


def policy(*actions, effect="Allow"):
    statement = {"Effect": effect, "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def user(name, document, path="/"):
    arn = iam.create_user(UserName=name, Path=path)["User"]["Arn"]
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "arn": arn,
        "access_key_id": key["AccessKeyId"],
        "secret_access_key": key["SecretAccessKey"],
    }


def role(name, document=None, path="/", trust="task-role-trust.json"):
    trust = (POLICIES / trust).read_text()
    made = iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trust)["Role"]
    if document:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
    return made["Arn"]


def session(role_arn, name):
    made = sts.assume_role(RoleArn=role_arn, RoleSessionName=name)
    keys = made["Credentials"]
    return {
        "arn": made["AssumedRoleUser"]["Arn"],
        "access_key_id": keys["AccessKeyId"],
        "secret_access_key": keys["SecretAccessKey"],
        "session_token": keys["SessionToken"],
    }


def container_instance(cluster):
    """An EC2 instance: moto knows no managed ones (mi-)."""
    started = client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    document = json.dumps({"instanceId": started["Instances"][0]["InstanceId"]})
    made = ecs.register_container_instance(cluster=cluster, instanceIdentityDocument=document)
    return made["containerInstance"]["containerInstanceArn"]


def service(cluster, name, launch_type):
    made = ecs.create_service(
        cluster=cluster,
        serviceName=name,
        taskDefinition="agent",
        desiredCount=1,
        launchType=launch_type,
    )["service"]
    return made["deployments"][0]["id"]


def task(role_arn, cluster, launch_type, started_by, group):
    made = ecs.run_task(
        cluster=cluster,
        taskDefinition="agent",
        launchType=launch_type,
        startedBy=started_by,
        group=group,
    )["tasks"][0]
    return {
        "arn": made["taskArn"],
        "cluster": made["clusterArn"],
        "launch_type": launch_type,
        "started_by": started_by,
        "group": group,
        "container_instance": made.get("containerInstanceArn", ""),
        "identity": session(role_arn, made["taskArn"].rsplit("/", 1)[1]),
    }


ingress_policy = documented("ingress.json")
agent_policy = documented("agent-self-check.json")
users = {
    "admin": user("admin", policy("*")),
    "ingress": user("ingress", ingress_policy),
    "agent": user("agent", agent_policy),
    "pathed": user("pathed", agent_policy, path="/edge/berlin/"),
    "powerless": user("powerless", policy("*", effect="Deny")),
}

roles = {
    "agent": role("mesh-agent", agent_policy),
    "pathed": role("mesh-agent-pathed", path="/edge/berlin/"),
    "other": role("batch"),
    "host": role("mesh-anywhere-host", trust="anywhere-host-trust.json"),
    "ingress": role("mesh-ingress", ingress_policy),
    "foreign": f"arn:aws:iam::{FOREIGN_ACCOUNT}:role/mesh-agent",
}
sessions = {
    "operator": session(roles["agent"], "operator"),
    # Called like a task, and there is none.
    "stray": session(roles["agent"], "5" * 32),
    "pathed": session(roles["pathed"], "operator"),
    "other": session(roles["other"], "operator"),
    "host": session(roles["host"], "mi-0123456789abcdef0"),
    "ingress": session(roles["ingress"], "0123456789abcdef0123456789abcdef"),
    "foreign": session(roles["foreign"], "operator"),
}

clusters = {
    name: ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"]
    for name in ("production", "staging")
}
container_instances = {name: container_instance(name) for name in clusters}
# Without requiresCompatibilities: moto would force EXTERNAL tasks into awsvpc.
ecs.register_task_definition(
    family="agent",
    networkMode="bridge",
    taskRoleArn=roles["agent"],
    containerDefinitions=[{"name": "agent", "image": "mesh-agent", "memory": 64}],
)
deployments = {
    "orders": service("production", "orders", "EC2"),
    "shop": service("production", "shop", "FARGATE"),
    "reports": service("production", "reports", "EC2"),
    "orders-staging": service("staging", "orders", "EC2"),
}
mine = roles["agent"]
tasks = {
    # Of a service, each of another launch type.
    "orders": task(mine, "production", "EXTERNAL", deployments["orders"], "service:orders"),
    "shop": task(mine, "production", "FARGATE", deployments["shop"], "service:shop"),
    "reports": task(mine, "production", "EC2", deployments["reports"], "service:reports"),
    # The service of the same name in another cluster.
    "staging": task(mine, "staging", "EXTERNAL", deployments["orders-staging"], "service:orders"),
    # Of no service, and one that pretends.
    "loose": task(mine, "production", "EXTERNAL", "operator", "family:agent"),
    "pretender": task(mine, "production", "EXTERNAL", "operator", "service:orders"),
    # In the right place with another role.
    "batch": task(roles["other"], "production", "EXTERNAL", deployments["orders"], "service:orders"),
}

# Otherwise whoever describes a task moves it on towards its end.
frozen = {"progression": "manual", "times": 1_000_000_000}
tell(
    "state-manager/set-transition",
    json.dumps({"model_name": "ecs::task", "transition": frozen}),
    "application/json",
)
tell("reset-auth", "0")
json.dump(
    {
        "region": REGION,
        "account": ACCOUNT,
        "foreign_account": FOREIGN_ACCOUNT,
        "users": users,
        "roles": roles,
        "sessions": sessions,
        "clusters": clusters,
        "container_instances": container_instances,
        "deployments": deployments,
        "tasks": tasks,
    },
    sys.stdout,
)
