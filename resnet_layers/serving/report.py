"""`Report`: what came of an export, to read and to print."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What `export` has measured; `print` shows it.

    Args:
        path: The artifact.
        format: As of `export`.
        precision: As of `export`.
        input_shape: Sizes in pixels, or `None` for any, and channels.
        size: Of all files, in bytes.
        relative_difference: The largest difference from the model in float32 over the largest
            output, among all seeded inputs; for int8, among the calibration images.
        inputs: Shapes of the seeded inputs.
        latency: Seconds for one image in the artifact, the median of a few runs.
        model_latency: The same for `model.predict_on_batch`, in turn with the artifact.
        latency_shape: The shape of that image.
        folded: How many normalizations are inside a convolution now.
        left: How many normalizations there still are, by class.
        images: Number of calibration images, 0 for none.
        agreement: Share of these with the same most probable class in both, or `None`.
        accuracy: Share of these whose most probable class is their label, or `None`.
        model_accuracy: The same for the model in float32.
    """

    path: Path
    format: str
    precision: str
    input_shape: tuple[int | None, ...]
    size: int
    relative_difference: float
    inputs: tuple[tuple[int, ...], ...]
    latency: float
    model_latency: float
    latency_shape: tuple[int, ...]
    folded: int
    left: dict[str, int]
    images: int = 0
    agreement: float | None = None
    accuracy: float | None = None
    model_accuracy: float | None = None

    def __str__(self) -> str:
        sizes = " × ".join("any" if size is None else str(size) for size in self.input_shape)
        compared = ", ".join(" × ".join(map(str, shape)) for shape in self.inputs)
        if self.precision == "int8":
            compared = f"{self.images} calibration images"
        left = "".join(f", {count} {name} left" for name, count in self.left.items())
        speed = self.model_latency / self.latency
        rows = {
            "input": f"any number of images, {sizes}",
            "size on disk": f"{self.size / 1e6:.1f} MB",
            "difference": f"{self.relative_difference:.1e} of the largest output, over {compared}",
            "latency": f"{1e3 * self.latency:.2f} ms for {' × '.join(map(str, self.latency_shape))}"
            f", model {1e3 * self.model_latency:.2f} ms, {speed:.2f} times as fast",
            "normalizations": f"{self.folded} folded{left}",
        }
        if self.agreement is not None:
            rows["top-1 agreement"] = f"{self.agreement:.2%} of {self.images} images"
        if self.accuracy is not None:
            rows["accuracy"] = f"{self.accuracy:.2%}, model {self.model_accuracy:.2%}"
        width = max(map(len, rows))
        lines = [f"  {name:{width}}  {text}" for name, text in rows.items()]
        return "\n".join([f"{self.path}: {self.format}, {self.precision}", *lines])
