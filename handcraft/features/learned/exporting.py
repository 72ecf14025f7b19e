"""Keypoint networks as ONNX files, which run without PyTorch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
import warnings

from handcraft.errors import HandcraftError
from handcraft.features.learned.weights import missing
from handcraft.storage.atomic import atomic_path

NETWORKS = ("xfeat", "aliked")
OUTPUTS = ("keypoints", "scores", "descriptors")
OPSET = 17
_TRACED = (160, 192)  # height and width of the photo that the graph is recorded with; it takes others, too


def export_network(name: str, path: Path, keypoints: int = 2000) -> None:
    """Write a network with its published weights as an ONNX file, whole or not at all.

    Its input `image` is (1, 3, h, w) float32, RGB from 0 to 1, of any size from 32 pixels a side on; its
    outputs are `keypoints` (n, 2), x and y in pixels, `scores` (n,) and `descriptors` (n, d), all float32,
    strongest first and n at most `keypoints`.
    """
    network = load_network(name, keypoints)
    import torch

    with atomic_path(path) as temporary:
        torch.onnx.export(
            network,
            (torch.rand(1, 3, *_TRACED, generator=torch.Generator().manual_seed(0)),),
            str(temporary),
            input_names=["image"],
            output_names=list(OUTPUTS),
            dynamic_axes={"image": {2: "height", 3: "width"}, **{output: {0: "n"} for output in OUTPUTS}},
            opset_version=OPSET,
            dynamo=False,
        )


def load_network(name: str, keypoints: int = 2000):
    return import_module(f"handcraft.features.learned.{name}_network").load(keypoints)
