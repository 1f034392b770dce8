"""`python -m tests.support.convolution_fuzz SEED COUNT`: random convolutions, with oneDNN.

Each one's output and gradients are compared with NumPy's in float64. Prints the ones that differ.
"""

import itertools
import os
import sys
from typing import Any

if __name__ == "__main__":  # before TensorFlow is imported
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"

import keras
import numpy as np
import tensorflow as tf

import resnet_layers as rl


def drawn(rng: np.random.Generator) -> dict[str, Any]:
    """A convolution and its input; three of five have kernels of one pixel."""
    rank, groups = int(rng.choice([1, 2, 2, 2, 2, 3])), int(rng.choice([1, 1, 1, 2, 4]))
    kernel = [1] * rank if rng.random() < 0.6 else rng.choice([1, 2, 3, 3, 5, 7], rank).tolist()
    alike = [int(rng.choice([1, 2, 2, 2, 3]))] * rank
    strides = rng.choice([1, 2, 2, 3], rank).tolist() if rng.random() < 0.5 else alike
    dilation = int(rng.choice([1, 1, 2, 3])) if max(strides) == 1 else 1
    sizes = [1, 2, 4, 7, 8, 9, 14, 16] + [32, 56] * (rank < 3)
    return {
        "groups": groups,
        "channels": groups * int(rng.choice([1, 3, 4, 8, 16, 32])),
        "filters": groups * int(rng.choice([1, 2, 4, 8, 16, 32])),
        "kernel_size": kernel,
        "strides": strides,
        "dilation_rate": [dilation] * rank,
        "pixels": rng.choice(sizes, rank).tolist(),
        "images": int(rng.choice([0, 1, 1, 1, 2, 3, 8])),
        "graph": bool(rng.random() < 0.5),
    }


def expected(case: dict[str, Any], x: np.ndarray, kernel: np.ndarray) -> list[np.ndarray]:
    """The output y, and the gradients of the sum of its squares for the input and the kernel."""
    sizes = zip(case["kernel_size"], case["strides"], case["dilation_rate"], strict=True)
    pads, cuts = [], []
    for n, (k, s, d) in zip(case["pixels"], sizes, strict=True):
        out = -(-n // s)
        missing = max((out - 1) * s + (k - 1) * d + 1 - n, 0)
        pads.append((missing // 2, missing - missing // 2))
        cuts.append([slice(j * d, j * d + (out - 1) * s + 1, s) for j in range(k)])
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    groups, filters = case["groups"], kernel.shape[-1] // case["groups"]
    channels = kernel.shape[-2]
    y: Any = 0
    places = list(itertools.product(*(range(k) for k in case["kernel_size"])))

    def reads(place: tuple[int, ...]) -> list[Any]:
        pixels = (slice(None), *(cut[j] for cut, j in zip(cuts, place, strict=True)))
        return [(*pixels, slice(g * channels, (g + 1) * channels)) for g in range(groups)]

    def columns(g: int) -> slice:
        return slice(g * filters, (g + 1) * filters)

    for place in places:
        met = [padded[read] for read in reads(place)]
        made = [m @ kernel[place][:, columns(g)] for g, m in enumerate(met)]
        y = y + np.concatenate(made, -1)
    of_padded, of_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for place in places:
        for g, read in enumerate(reads(place)):
            back = 2 * y[..., columns(g)]
            of_padded[read] += back @ kernel[place][:, columns(g)].T
            pixels = padded[read].reshape(-1, channels)
            of_kernel[place][:, columns(g)] = pixels.T @ back.reshape(-1, filters)
    whole = [slice(before, before + n) for (before, _), n in zip(pads, case["pixels"], strict=True)]
    return [y, of_padded[(slice(None), *whole)], of_kernel]


def computed(case: dict[str, Any], x: np.ndarray, kernel: np.ndarray) -> list[Any]:
    """The same by a `ConvNorm` that only convolves."""
    style = rl.BlockStyle(normalization=None, padding="same", rank=x.ndim - 2)
    given = {k: case[k] for k in ("filters", "strides", "dilation_rate", "groups")}
    layer = rl.ConvNorm(kernel_size=case["kernel_size"], activation=None, style=style, **given)
    layer.build((None, *case["pixels"], case["channels"]))
    layer.convolution.kernel.assign(kernel)

    def step(x: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            total = tf.reduce_sum(tf.square(y))
        return [y, *tape.gradient(total, [x, layer.convolution.kernel.value])]

    unknown = [tf.TensorSpec((None, *x.shape[1:]))]
    call = tf.function(step, input_signature=unknown) if case["graph"] else step
    return [keras.ops.convert_to_numpy(y) for y in call(tf.constant(x))]


def main(seed: int, count: int) -> None:
    """Says which convolution is tried, for the case that it ends the process."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        case = drawn(rng)
        sys.stderr.write(f"{case}\n")
        x = rng.standard_normal((case["images"], *case["pixels"], case["channels"]), "float32")
        shape = (*case["kernel_size"], case["channels"] // case["groups"], case["filters"])
        kernel = rng.standard_normal(shape, "float32")
        right = expected(case, x.astype("float64"), kernel.astype("float64"))
        for name, a, b in zip(("y", "dx", "dk"), computed(case, x, kernel), right, strict=True):
            if a.shape != b.shape:
                sys.stdout.write(f"{name} {a.shape} {b.shape} {case}\n")
            elif b.size and not np.abs(a - b).max() <= 1e-4 * np.abs(b).max():
                sys.stdout.write(f"{name} {np.abs(a - b).max() / np.abs(b).max()} {case}\n")
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
