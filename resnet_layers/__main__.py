"""`python -m resnet_layers`, also installed as `resnet-layers`."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the package has taken care of signals before it imported Keras."""
    from resnet_layers.shell import app

    return app.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
