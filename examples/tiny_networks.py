"""Writes small networks of random weights, with the inputs and outputs that handcraft's extractors ask for.

    python examples/tiny_networks.py FOLDER

They show the shapes that a network must have, and test the road that features of networks take: random
filters tell textures apart well enough to find a photo again, and nothing more. The seed is fixed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
CELL = 8  # pixels between keypoints

Shapes = dict[str, list[int | str]]


def delf(channels: int = 64, seed: int = 0) -> onnx.ModelProto:
    """From an image (1, 3, h, w) to features (1, channels, i, j) and attention (1, 1, i, j), a cell for every
    32 pixels."""
    random = np.random.default_rng(seed)
    weights = {
        "fine": _filters(random, 16, 3, 7),
        "coarse": _filters(random, channels, 16, 5),
        "worth": np.full((1, channels, 1, 1), 4 / channels, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "fine"], ["edges"], strides=[8, 8], pads=[3] * 4),
        helper.make_node("Relu", ["edges"], ["strong"]),
        helper.make_node("Conv", ["strong", "coarse"], ["features"], strides=[4, 4], pads=[2] * 4),
        helper.make_node("Abs", ["features"], ["size"]),
        helper.make_node("Conv", ["size", "worth"], ["attention"]),
    ]
    outputs: Shapes = {"features": [1, channels, "i", "j"], "attention": [1, 1, "i", "j"]}
    return _model("delf", nodes, weights, {"image": [1, 3, "h", "w"]}, outputs)


def keypoints(dimension: int = 48, seed: int = 0) -> onnx.ModelProto:
    """From an image (1, 3, h, w) to keypoints (n, 2), their scores (n,) and descriptors (n, dimension)."""
    random = np.random.default_rng(seed)
    weights = {
        "filters": _filters(random, dimension, 3, 2 * CELL),
        "mean": np.full((1, dimension, 1, 1), 1 / dimension, np.float32),
        "least": np.float32(0.02),
        "middle": np.float32((CELL - 1) / 2),
        "cell": np.float32(CELL),
        "x_and_y": np.array([3, 2]),
        "but_channel": np.array([0, 2, 3]),
    }
    nodes = [
        helper.make_node("Conv", ["image", "filters"], ["map"], strides=[CELL] * 2, pads=[CELL // 2] * 4),
        helper.make_node("Abs", ["map"], ["size"]),
        helper.make_node("Conv", ["size", "mean"], ["score"]),
        helper.make_node("Greater", ["score", "least"], ["kept"]),
        helper.make_node("NonZero", ["kept"], ["numbers"]),
        helper.make_node("Transpose", ["numbers"], ["cells"], perm=[1, 0]),
        helper.make_node("Gather", ["cells", "x_and_y"], ["columns"], axis=1),
        helper.make_node("Cast", ["columns"], ["across"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["across", "cell"], ["corners"]),
        helper.make_node("Add", ["corners", "middle"], ["keypoints"]),
        helper.make_node("GatherND", ["score", "cells"], ["scores"]),
        helper.make_node("Transpose", ["map"], ["rows"], perm=[0, 2, 3, 1]),
        helper.make_node("Gather", ["cells", "but_channel"], ["places"], axis=1),
        helper.make_node("GatherND", ["rows", "places"], ["described"]),
        helper.make_node("LpNormalization", ["described"], ["descriptors"], axis=1, p=2),
    ]
    outputs: Shapes = {"keypoints": ["n", 2], "scores": ["n"], "descriptors": ["n", dimension]}
    return _model("keypoints", nodes, weights, {"image": [1, 3, "h", "w"]}, outputs)


def hardnet(seed: int = 0) -> onnx.ModelProto:
    """From patches (n, 1, 32, 32) to descriptors (n, 128)."""
    weights = {"filters": _filters(np.random.default_rng(seed), 8, 1, 8)}
    nodes = [
        helper.make_node("Conv", ["patches", "filters"], ["cells"], strides=[8, 8]),
        helper.make_node("Flatten", ["cells"], ["rows"]),
        helper.make_node("LpNormalization", ["rows"], ["descriptors"], axis=1, p=2),
    ]
    return _model("hardnet", nodes, weights, {"patches": ["n", 1, 32, 32]}, {"descriptors": ["n", 128]})


NETWORKS = {"delf": delf, "keypoints": keypoints, "hardnet": hardnet}


def write(folder: Path) -> None:
    """Write all of them into a folder."""
    for name, make in NETWORKS.items():
        onnx.save(make(), folder / f"tiny-{name}.onnx")


def _filters(random: np.random.Generator, count: int, channels: int, side: int) -> NDArray[np.float32]:
    """Random filters (count, channels, side, side) of mean 0, which see no brightness."""
    filters = random.standard_normal((count, channels, side, side))
    filters -= filters.mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray(filters / np.sqrt(channels * side * side), np.float32)


def _model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, NDArray[np.generic]],
    inputs: Shapes,
    outputs: Shapes,
) -> onnx.ModelProto:
    def described(shapes: Shapes) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in shapes.items()]

    constants = [numpy_helper.from_array(np.asarray(array), key) for key, array in weights.items()]
    graph = helper.make_graph(list(nodes), name, described(inputs), described(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
