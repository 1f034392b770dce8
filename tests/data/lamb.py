"""Makes `lamb.json`, steps of timm's LAMB: `python -m tests.data.lamb`.

Written with timm 1.0.31 and torch 2.14.1.
"""

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".json")
RATE, DECAY = 0.25, 0.5


def main() -> None:
    """Writes gradients, some longer than 1 together, and variables after each step with them."""
    import torch
    from timm.optim import Lamb

    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).round(4).tolist() for shape in ((3, 4), (4,), (2, 2))]
    start[2] = [[0.0, 0.0], [0.0, 0.0]]  # without a length
    kernel, bias, zeros = (torch.nn.Parameter(torch.tensor(one)) for one in start)
    groups = [
        {"params": [kernel, zeros], "weight_decay": DECAY},
        {"params": [bias], "weight_decay": 0.0},
    ]
    optimizer = Lamb(groups, lr=RATE)
    steps = []
    for scale in (0.1, 2.0, 0.01, 1.0):
        gradients = [(scale * rng.normal(size=np.shape(one))).round(4).tolist() for one in start]
        for parameter, gradient in zip((kernel, bias, zeros), gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
        after = [parameter.detach().tolist() for parameter in (kernel, bias, zeros)]
        steps.append({"gradients": gradients, "after": after})
    FILE.write_text(json.dumps({"start": start, "steps": steps}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
