"""The public names and their signatures, and how to write the listing again.

Names are what others' code is written against. If a change is meant, say so in CHANGELOG.md and
write the listing again:

    python -m tests.golden.signatures
"""

import inspect
import json
from pathlib import Path
from typing import Any

import resnet_layers as rl
from resnet_layers import tuning

FILE = Path(__file__).parent / "signatures.json"
METHODS = {
    "ResNet": ("from_variant", "from_pretrained", "features", "replace"),
    "BlockStyle": ("replace", "child"),
    "HyperResNet": ("build", "fit", "make_model", "compile_model", "declare_hyperparameters"),
}


def listing() -> dict[str, list[str]]:
    """Each public callable by its name, with its parameters and their defaults."""
    found = {}
    for module, names in ((rl, rl.__all__), (tuning, tuning.__all__)):
        for name in names:
            thing = getattr(module, name)
            found[name] = _parameters(thing)
            for method in METHODS.get(name, ()):
                if hasattr(thing, method):
                    found[f"{name}.{method}"] = _parameters(getattr(thing, method))
    return found


def _parameters(thing: Any) -> list[str]:
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return []
    parameters = inspect.signature(thing).parameters.values()
    return [f"{p.kind.name} {p.replace(annotation=p.empty)}" for p in parameters]


if __name__ == "__main__":
    FILE.write_text(json.dumps(listing(), indent=1) + "\n", encoding="utf-8")
