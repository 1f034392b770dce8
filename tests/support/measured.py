"""`MACHINE`: what a machine can do, without measuring it."""

from resnet_layers.analysis.latency.machine import Machine, Speed, processor

MACHINE = Machine(
    processor=processor(),
    threads=7,
    bandwidths={"float32": 1e10},
    runtimes={
        "onnx": Speed(version="1.23", products={"float32": 9e10}, call=4e-5, step=4e-6),
        "tf_saved_model": Speed(version="2.20", products={"float32": 1e11}, call=6e-4, step=15e-6),
    },
)
