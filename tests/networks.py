"""Networks and photos for the tests of learned features: networks small enough to be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from photographs import scene

from handcraft.features.images import DecodedPhoto
from handcraft.features.registry import extract
from handcraft.options import FeatureOptions
from handcraft.types import Features, Photo

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

OPSET = 17
IMAGE = {"image": [1, 3, "h", "w"]}


def tiny(name: str, folder: Path, **options: int) -> str:
    """The file of one of the networks of examples/tiny_networks.py."""
    from examples.tiny_networks import NETWORKS

    return saved(NETWORKS[name](**options), folder / f"tiny-{name}.onnx")


def saved(model: Any, path: Path) -> str:
    onnx.save(model, path)
    return str(path)


def network(
    nodes: Sequence[tuple[Any, ...]],
    outputs: Sequence[str],
    weights: dict[str, ArrayLike] | None = None,
    inputs: dict[str, list[int | str]] = IMAGE,
    kind: int = 1,
) -> Any:
    """A network of (operator, inputs, output, attributes); a `domain` among the attributes is the
    operator's. kind: of its inputs, 1 for float32."""
    from onnx import helper, numpy_helper

    made = [
        helper.make_node(operator, given.split(), made.split(), **(rest[0] if rest else {}))
        for operator, given, made, *rest in nodes
    ]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(
        made,
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("elsewhere", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def cells(stride: int = 32, attention: ArrayLike = (1, 0, 0), features: ArrayLike | None = None) -> Any:
    """A network of DELF's outputs that sees the first pixel of each cell. attention: of what each colour is
    worth; features: (c, 3) in the same way, the colours themselves without it."""
    colours = np.eye(3) if features is None else np.asarray(features)
    weights = {
        "worth": np.asarray(attention, np.float32).reshape(1, 3, 1, 1),
        "colours": colours.astype(np.float32)[:, :, None, None],
    }
    step = {"strides": [stride, stride]}
    nodes = [
        ("Conv", "image colours", "features", step),
        ("Conv", "image worth", "attention", step),
    ]
    return network(nodes, ["features", "attention"], weights)


def constant_keypoints(
    keypoints: ArrayLike, scores: ArrayLike, descriptors: ArrayLike, radii: ArrayLike | None = None
) -> Any:
    """A network that gives these for any photo."""
    weights = {"k": keypoints, "s": scores, "d": descriptors, **({} if radii is None else {"r": radii})}
    names = {"k": "keypoints", "s": "scores", "d": "descriptors", "r": "radii"}
    nodes: list[tuple[Any, ...]] = [
        ("ReduceMean", "image", "mean", {"keepdims": 0}),
        ("Mul", "mean zero", "nothing"),
    ]
    nodes += [("Add", f"{letter} nothing", names[letter]) for letter in weights]
    arrays = {letter: np.asarray(array, np.float32) for letter, array in weights.items()}
    return network(nodes, [names[letter] for letter in weights], {**arrays, "zero": np.float32(0)})


def photo_of(pixels: NDArray[np.uint8], width: int = 0, height: int = 0, name: str = "a.png") -> DecodedPhoto:
    """The photo of (h, w, 3) pixels, which may be reduced from another width and height."""
    size = width or pixels.shape[1], height or pixels.shape[0]
    return DecodedPhoto(np.ascontiguousarray(pixels), Photo(name, b"", 0, 0, *size))


def scenery(seed: int = 0, width: int = 320, height: int = 240) -> DecodedPhoto:
    return photo_of(np.asarray(scene(seed, width, height)))


def options_of(extractor: str, model: str, **settings: Any) -> FeatureOptions:
    """Options of an extractor's settings, and of those of all extractors by their names."""
    named = {key: settings.pop(key) for key in list(settings) if key in FeatureOptions.__dataclass_fields__}
    return FeatureOptions(extractor=extractor, settings={"model": model, **settings}, **named)


def features_by(extractor: str, model: str, photo: DecodedPhoto, **settings: Any) -> Features:
    return extract(photo, options_of(extractor, model, **settings))


def content(features: Features) -> bytes:
    return features.frames.tobytes() + features.descriptors.tobytes()
