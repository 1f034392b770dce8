"""The networks of torchvision and timm, as their users run them; for a process of its own."""

import time
from typing import Any

import safetensors.torch
import torch

from benchmarks.harness.child import Task
from benchmarks.harness.execution import LEARNING_RATE, MOMENTUM, Execution


def execution(task: Task, x: Any, y: Any) -> Execution:
    """Channels last, compiled if the mode says so, and run twice."""
    device = torch.device(task.device.replace("gpu", "cuda"))
    network = _network(task)
    network = network.to(device, memory_format=torch.channels_last)
    images = torch.from_numpy(x).to(device).permute(0, 3, 1, 2)  # channels last in memory
    labels = torch.from_numpy(y).to(device)
    lower = task.precision == "bfloat16"
    make = _inference if task.work == "forward" else _training
    call = make(network, images, labels, lower, task.mode == "torch.compile")

    def run() -> Any:
        result = call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return result.float().cpu().numpy()

    start = time.perf_counter()
    result = run()
    first = time.perf_counter()
    run()
    second = time.perf_counter()
    return Execution(
        run=run,
        first=result,
        trace_seconds=0.0,
        compile_seconds=max(0.0, (first - start) - (second - first)),
        traces=lambda: 1,
    )


def _network(task: Task) -> Any:
    weights = safetensors.torch.load_file(task.weights)
    classes = weights["fc.weight"].shape[0]
    if task.framework == "timm":
        import timm

        network = timm.create_model(task.name, num_classes=classes)
    else:
        import torchvision

        network = getattr(torchvision.models, task.name)(weights=None, num_classes=classes)
    network.load_state_dict(weights)
    return network


def _inference(network: Any, images: Any, labels: Any, lower: bool, compiles: bool) -> Any:
    network = network.eval()
    if lower:  # faster than autocast, which converts kernels in every call
        network, images = network.bfloat16(), images.bfloat16()
    forward = torch.compile(network, dynamic=False) if compiles else network

    def call() -> Any:
        with torch.inference_mode():
            return forward(images)

    return call


def _training(network: Any, images: Any, labels: Any, lower: bool, compiles: bool) -> Any:
    network = network.train()
    forward = torch.compile(network, dynamic=False) if compiles else network
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=MOMENTUM)

    def call() -> Any:
        optimizer.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=lower):
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call
