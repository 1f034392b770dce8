"""Numbers of timm 1.0.31 and torchvision 0.29.1, under weights made from the tensors' names.

`data/reference` has, for one network each, the state dict's names and shapes, and for some images
the first logits and eight values, the mean and the root mean square of each feature map, in the
order of channels last. They were computed in float64 (in float32 above 300 million parameters,
but for `resnetv2_152x4_bit`). `python -m tests.support.reference NAME…` makes those of timm again.
"""

import gzip
import json
import math
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "data" / "reference"
# By the name of the variant; the files of torchvision's video networks have "tv_" before it.
FILES = {
    path.name.removesuffix(".json.gz").removeprefix("tv_"): path
    for path in sorted(FOLDER.glob("*.json.gz"))
}


def load(name: str) -> dict[str, Any]:
    """What a file holds, the tensors as shapes by their names."""
    reference: dict[str, Any] = json.loads(gzip.decompress(FILES[name].read_bytes()))
    reference["tensors"] = {tensor: tuple(shape) for tensor, shape in reference["tensors"]}
    return reference


def torch_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values that the reference networks had in the tensor of this name."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.asarray(7)
    if leaf == "running_var":
        value = rng.uniform(0.5, 1.5, shape)
    elif leaf in ("running_mean", "bias"):
        value = 0.05 * rng.standard_normal(shape)
    elif len(shape) == 1:
        value = rng.uniform(0.5, 1.5, shape)
    else:
        value = 0.9 / math.sqrt(math.prod(shape[1:])) * rng.standard_normal(shape)
    return value.astype("float32")


def images(shape: tuple[int, ...]) -> np.ndarray:
    """The images that the reference networks saw."""
    rng = np.random.RandomState(0)
    tint = rng.uniform(-2, 2, (shape[0], *(1,) * (len(shape) - 2), shape[-1]))
    return (tint + rng.uniform(-1, 1, shape)).astype("float32")


def summary(feature: Any) -> dict[str, Any]:
    """What is kept of a feature map, channels last."""
    index = np.linspace(0, feature.size - 1, 8).astype(int).tolist()
    return {
        "shape": list(feature.shape),
        "mean": float(feature.mean()),
        "rms": float(np.sqrt(np.mean(np.square(feature, dtype="float64")))),
        "index": index,
        "value": feature.flatten()[index].tolist(),
    }


def make(name: str) -> dict[str, Any]:
    """The reference of a network of timm, which must be installed."""
    import timm
    import torch

    model = timm.create_model(name)
    parameters = sum(p.numel() for p in model.parameters())
    state = model.state_dict()
    for tensor, value in state.items():
        value.copy_(torch.from_numpy(torch_tensor(tensor, tuple(value.shape))))
    sizes: list[tuple[dict[str, int], tuple[int, ...]]] = [({}, (2, 64, 64, 3))]
    sizes += [({}, (1, 65, 97, 3))]
    if parameters < 55e6:
        sizes += [({"output_stride": stride}, (2, 64, 64, 3)) for stride in (16, 8)]
    cases = []
    for arguments, shape in sizes:
        model = timm.create_model(name, **arguments).eval()
        model.load_state_dict(state)
        x = torch.from_numpy(images(shape)).permute(0, 3, 1, 2).double()
        with torch.inference_mode():
            final, features = model.double().forward_intermediates(x)
            logits = model.forward_head(final).float().numpy()
        maps = [tensor.float().permute(0, 2, 3, 1).numpy() for tensor in features]
        case: dict[str, Any] = {"args": arguments} if arguments else {}
        rms = np.sqrt(np.mean(np.square(logits, dtype="float64"), axis=-1))
        case |= {"input": shape, "logits": logits[:, :24].tolist(), "logits_rms": rms.tolist()}
        cases.append({**case, "features": [summary(tensor) for tensor in maps]})
    tensors = [[tensor, list(value.shape)] for tensor, value in state.items()]
    return {"name": name, "params": parameters, "cases": cases, "tensors": tensors}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        text = json.dumps(make(name), separators=(",", ":"), allow_nan=False)
        compressed = gzip.compress(text.encode(), 9, mtime=0)
        FILES.get(name, FOLDER / f"{name}.json.gz").write_bytes(compressed)
