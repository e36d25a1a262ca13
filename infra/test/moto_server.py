"""Starts moto's server, and mends what keeps it from taking the stack."""

import sys

from moto.elbv2 import models
from moto.server import main


def make(_, name, template, account, region, **_ignored):
    """moto makes every load balancer of a template one of applications, whatever its Type."""
    properties = template["Properties"]
    return models.elbv2_backends[account][region].create_load_balancer(
        name,
        properties.get("SecurityGroups"),
        properties.get("Subnets"),
        scheme=properties.get("Scheme", "internet-facing"),
        loadbalancer_type=properties.get("Type"),
    )


models.FakeLoadBalancer.create_from_cloudformation_json = classmethod(make)
main(sys.argv[1:])
