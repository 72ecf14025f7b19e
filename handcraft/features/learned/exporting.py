"""Keypoint networks as ONNX files, which run without PyTorch."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from handcraft.errors import HandcraftError
from handcraft.features.learned.weights import missing
from handcraft.storage.atomic import atomic_path

INPUT = "image"
OUTPUTS = ("keypoints", "scores", "descriptors")
KEYPOINTS = 2000  # at most, of a photo

_NETWORKS = {
    "xfeat": "handcraft.features.learned.xfeat_network",
    "aliked": "handcraft.features.learned.aliked_network",
}
_OPSET = 17  # 16 is the first with GridSample
_RECORDED_SIZE = (160, 192)  # height and width of the photo that the graph is recorded with


def export_network(name: str, path: Path, keypoints: int = KEYPOINTS) -> None:
    """Write a network with its published weights as an ONNX file, whole or not at all.

    Its input `image` is (1, 3, h, w) float32, RGB from 0 to 1, each side 32 pixels or more. Its outputs are
    float32, the strongest first, n at most `keypoints`: `keypoints` (n, 2), x and y in pixels of that photo,
    the origin at the centre of the top-left one; `scores` (n,); `descriptors` (n, d) of unit length. Raises
    HandcraftError for an unknown name, DependencyError where PyTorch, ONNX or the weights are missing,
    StoreError where the file cannot be written.
    """
    network = load_network(name, keypoints)
    if find_spec("onnx") is None:
        raise missing(name, "ONNX")
    import torch

    noise = torch.rand(1, 3, *_RECORDED_SIZE, generator=torch.Generator().manual_seed(0))
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # PyTorch calls this exporter old; the new one needs onnxscript as well.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (noise,),
            str(temporary),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={INPUT: {2: "height", 3: "width"}, **{output: {0: "n"} for output in OUTPUTS}},
            opset_version=_OPSET,
            dynamo=False,
        )


def load_network(name: str, keypoints: int = KEYPOINTS) -> Any:
    """A network with its published weights, a torch.nn.Module, from an image to the outputs of its ONNX file.

    Raises HandcraftError for an unknown name, DependencyError where PyTorch or the weights are missing.
    """
    return network_module(name).load(keypoints)


def network_module(name: str) -> Any:
    """The module of a network, which has its class, its weights and what loads them; raises as
    load_network."""
    if name not in _NETWORKS:
        raise HandcraftError(f"There is no network {name!r}; the networks are {', '.join(_NETWORKS)}.")
    return import_module(_NETWORKS[name])
