#!/usr/bin/env python3
"""Signs two fixed requests with botocore and prints NAME SIGNATURE, one per line.

They are the requests in src/sts/proof/tests.rs and src/ecs/tests.rs, whose expected signatures are
from here. Needs botocore: `pip install botocore`. Nothing is sent.
"""

import datetime

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
botocore.auth.get_current_datetime = lambda *args, **kwargs: NOW

REGION = "eu-central-1"
KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "tok/en+1==")


def signature(service, body, headers):
    """The hexadecimal digits at the end of the authorization header."""
    url = f"https://{service}.{REGION}.amazonaws.com/"
    request = AWSRequest("POST", url, data=body, headers=headers)
    botocore.auth.SigV4Auth(KEYS, service, REGION).add_auth(request)
    return request.headers["Authorization"].rsplit("Signature=", 1)[1]


PROOF = signature(
    "sts",
    b"Action=GetCallerIdentity&Version=2011-06-15",
    {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-mesh-hello": "ab" * 32,
        "x-mesh-nonce": "bm9uY2U",
        "x-mesh-server-id": "ingress.example.com",
    },
)
TASKS = signature(
    "ecs",
    b'{"cluster":"shop","tasks":["0123456789abcdef0123456789abcdef"]}',
    {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "AmazonEC2ContainerServiceV20141113.DescribeTasks",
    },
)

if __name__ == "__main__":
    print("sts-proof", PROOF)
    print("ecs-describe-tasks", TASKS)
