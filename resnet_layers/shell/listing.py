# ruff: noqa: T201 (printing is what commands are for)
"""`list`: the networks by their names."""

import json

from resnet_layers.networks import variants
from resnet_layers.shell.errors import InputError
from resnet_layers.weights import tags


def run(pattern: str, as_json: bool) -> int:
    """Prints names, parameters and published weights of the networks."""
    names = variants.list_variants(pattern)
    if not names:
        raise InputError(f"There is no variant that matches '{pattern}'")
    width = max(map(len, names))
    for name in names:
        trainings = [tag.partition(".")[2] for tag in tags.list_pretrained(f"{name}.*")]
        parameters = variants.VARIANTS[name].parameters
        if as_json:
            print(json.dumps({"name": name, "parameters": parameters, "trainings": trainings}))
        else:
            print(f"{name:<{width}}  {parameters:>11,}  {', '.join(trainings)}".rstrip())
    return 0
