"""Makes one call with boto3 and prints the answer as JSON.

call.py ENDPOINT, and on standard input {"service", "operation", "parameters", "region",
"access_key_id", "secret_access_key", "session_token"?}. What AWS refuses is printed as {"refused":
CODE}.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

asked = json.load(sys.stdin)
client = boto3.client(
    asked["service"],
    endpoint_url=sys.argv[1],
    region_name=asked["region"],
    aws_access_key_id=asked["access_key_id"],
    aws_secret_access_key=asked["secret_access_key"],
    aws_session_token=asked.get("session_token"),
    config=Config(retries={"total_max_attempts": 1}),
)
try:
    answer = getattr(client, asked["operation"])(**asked["parameters"])
except ClientError as error:
    answer = {"refused": error.response["Error"]["Code"]}
answer.pop("ResponseMetadata", None)
json.dump(answer, sys.stdout, default=str)
