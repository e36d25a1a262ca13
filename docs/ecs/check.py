#!/usr/bin/env python3
"""Looks whether ECS could take the task definitions in this folder: names and types of all members
and the words of enumerations, by the model of the API that botocore brings along. Nobody is asked
over the network. Without botocore it says so, and only the tests in mesh/tests/tidy remain."""

import json
import pathlib
import sys

try:
    import botocore.session
    from botocore.validate import ParamValidator
except ImportError:
    print("the task definitions are not checked: there is no botocore (pip install botocore)")
    sys.exit(0)


def words(value, shape, path):
    """What is not one of the words that an enumeration has."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from words(member, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            yield from words(member, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for name, member in value.items():
            yield from words(member, shape.value, f"{path}.{name}")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{path}: {value!r} is none of {', '.join(shape.enum)}"


def complaints(definition, shape):
    """What botocore would refuse, and unknown words."""
    report = ParamValidator().validate(definition, shape)
    if report.has_errors():
        return [report.generate_report()]
    return list(words(definition, shape, ""))


def main():
    session = botocore.session.get_session()
    model = session.get_service_model("ecs").operation_model("RegisterTaskDefinition")
    # That the check finds anything at all.
    assert complaints({"family": "x", "containerDefinitions": [{"nome": "x"}]}, model.input_shape)
    assert complaints(
        {"family": "x", "networkMode": "bridged", "containerDefinitions": []}, model.input_shape
    )
    failed = False
    for path in sorted(pathlib.Path(__file__).parent.glob("*.json")):
        found = complaints(json.loads(path.read_text()), model.input_shape)
        failed |= bool(found)
        print(f"{path.name}: {'; '.join(found) or 'ECS could take it'}")
    sys.exit(failed)


main()
