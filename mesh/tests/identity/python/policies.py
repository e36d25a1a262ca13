"""Checks IAM policies with parliament and against the actions that botocore knows.

policies.py FILE...: prints a line per finding; none means that they are fine.
"""

import json
import pathlib
import re
import sys

import botocore.session
from parliament import analyze_policy_string

SESSION = botocore.session.get_session()
# The ECS agent's own actions, of which SDKs know nothing; parliament does.
OF_AGENTS = {"ecs:Poll", "ecs:StartTelemetrySession"}
# Of these actions IAM knows no resources.
UNLIMITED = {"ecs:DiscoverPollEndpoint"}
MEMBERS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


def listed(value):
    return value if isinstance(value, list) else [value]


def is_known(action):
    service, name = action.split(":", 1)
    operations = SESSION.get_service_model(service).operation_names
    pattern = re.escape(name).replace(r"\*", ".*")
    return any(re.fullmatch(pattern, operation) for operation in operations)


def findings(text):
    policy = json.loads(text)
    if policy.get("Version") != "2012-10-17":
        yield "the version is not 2012-10-17"
    for statement in policy["Statement"]:
        for member in statement.keys() - MEMBERS:
            yield f"{member}: no such member"
        for action in listed(statement["Action"]):
            if action not in OF_AGENTS and not is_known(action):
                yield f"{action}: no such action"
        if "Principal" in statement:
            if "Resource" in statement:
                yield "a trust policy names no resources"
            # Nobody but a service of AWS, and under conditions.
            if set(statement["Principal"]) != {"Service"} or not statement.get("Condition"):
                yield "the trust policy trusts too many"
        elif "*" in listed(statement["Resource"]) and set(listed(statement["Action"])) - UNLIMITED:
            yield "it is not limited to resources"
    # parliament knows identity policies only.
    if not any("Principal" in statement for statement in policy["Statement"]):
        for finding in analyze_policy_string(text).findings:
            yield f"{finding.issue}: {finding.detail} {finding.location.get('string', '')}"


for name in sys.argv[1:]:
    for finding in findings(pathlib.Path(name).read_text()):
        print(f"{name}: {finding}")
