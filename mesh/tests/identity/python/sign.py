"""Signs requests with botocore.

Standard input has a list of {"service", "region", "host", "headers", "body", "time"?,
"access_key_id", "secret_access_key", "session_token"?}, with the time as seconds since 1970; without
it, now is meant. Each is a POST to /. Standard output gets a list of the headers to send.
"""

import datetime
import json
import sys

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def sign(asked):
    now = datetime.datetime.now(datetime.timezone.utc)
    if asked.get("time") is not None:
        now = datetime.datetime.fromtimestamp(asked["time"], datetime.timezone.utc)
    # The one place where this module learns the time.
    auth.get_current_datetime = lambda *_, **__: now
    names = ("access_key_id", "secret_access_key", "session_token")
    credentials = Credentials(*(asked.get(name) for name in names))
    url = f"https://{asked['host']}/"
    request = AWSRequest("POST", url, data=asked["body"].encode(), headers=asked["headers"])
    auth.SigV4Auth(credentials, asked["service"], asked["region"]).add_auth(request)
    return {"host": asked["host"], **{name.lower(): value for name, value in request.headers.items()}}


json.dump([sign(asked) for asked in json.load(sys.stdin)], sys.stdout)
