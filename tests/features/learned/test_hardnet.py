"""Patches described by a network, alone and in a collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import network, options_of, saved, tiny
from numpy.typing import NDArray
from photographs import QUERY_SCALE, QUERY_TURN, VIEWED

import handcraft
from handcraft.errors import HandcraftError, ModelError, PhotoError
from handcraft.features.extraction import extract_photo
from handcraft.features.learned.hardnet import HardNet
from handcraft.features.plugins import DESCRIPTORS, make, with_all_settings
from handcraft.features.registry import fingerprint_of
from handcraft.options import FeatureOptions, VocabularyOptions

SIDE = 32


@pytest.fixture
def model(tmp_path: Path) -> str:
    return tiny("hardnet", tmp_path)


def descriptor_of(model: str, **settings: object) -> HardNet:
    options = with_all_settings(options_of("sift", model, descriptor="hardnet", **settings))
    made = make(DESCRIPTORS, "hardnet", options)
    assert isinstance(made, HardNet)
    return made


def patches(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(0, 255, (count, SIDE, SIDE)).astype(np.float32)


def of_patches(
    folder: Path, nodes: list[tuple[object, ...]], outputs: list[str], shape: list[int | str] | None = None
) -> str:
    """A network of patches."""
    inputs = {"patches": shape or ["n", 1, SIDE, SIDE]}
    return saved(network(nodes, outputs, inputs=inputs), folder / "patches.onnx")


def test_every_setting_is_known() -> None:
    """model, weights and runtime: test_onnx_files; batch: below."""
    assert set(HardNet.settings) == {"model", "weights", "runtime", "batch"}


def test_patches_are_grey_from_0_to_1(tmp_path: Path) -> None:
    model = of_patches(tmp_path, [("Flatten", "patches", "rows")], ["rows"])
    described = descriptor_of(model).describe(patches(3))
    np.testing.assert_allclose(described, patches(3).reshape(3, -1) / 255, rtol=1e-6)
    assert described.dtype == np.float32


@pytest.mark.parametrize("runtime", ["onnxruntime", "opencv"])
def test_batches_of_any_size_give_the_same_descriptors(runtime: str, model: str) -> None:
    whole = descriptor_of(model, batch=100, runtime=runtime).describe(patches(23))
    assert whole.shape == (23, 128)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    for batch in (1, 2, 7, 22, 23, 24):
        described = descriptor_of(model, batch=batch, runtime=runtime).describe(patches(23))
        np.testing.assert_allclose(described, whole, atol=1e-6)


def test_no_patches_have_no_descriptors(model: str) -> None:
    described = descriptor_of(model).describe(patches(0))
    assert described.shape == (0, 128)
    assert described.dtype == np.float32


def test_a_batch_has_a_patch_at_least(model: str) -> None:
    with pytest.raises(HandcraftError) as caught:
        descriptor_of(model, batch=0)
    assert str(caught.value) == "batch=0 of the descriptor hardnet is too small; give 1 or more."


def test_it_says_what_it_gives(model: str) -> None:
    hardnet = descriptor_of(model, batch=64)
    assert (hardnet.side, hardnet.dimension, hardnet.dtype) == (32, 128, "float32")
    assert hardnet.name == f"hardnet-{hardnet.parameters['weights']}"
    assert hardnet.parameters == {
        "model": model,
        "weights": hardnet.name.removeprefix("hardnet-"),
        "runtime": "onnxruntime",
        "batch": 64,
    }


def test_spaces_are_of_the_extractor_and_the_network(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    models = tiny("hardnet", tmp_path), tiny("hardnet", tmp_path / "other", seed=1)
    spaces = {
        fingerprint_of(options_of(extractor, model, descriptor="hardnet")).descriptor
        for extractor in ("sift", "hessian-affine")
        for model in models
    }
    assert len(spaces) == 4
    assert all(space.startswith(("sift-hardnet-", "hessian-affine-hardnet-")) for space in spaces)


SHAPES: dict[str, tuple[list[tuple[object, ...]], list[str], str]] = {
    "maps": ([("Abs", "patches", "rows")], ["rows"], "2 x 1 x 32 x 32"),
    "a number": ([("ReduceMean", "patches", "rows", {"keepdims": 0})], ["rows"], " "),
    "one row for all": ([("Flatten", "patches", "rows", {"axis": 0})], ["rows"], "1 x 2048"),
    "a number for each": (
        [("ReduceMean", "patches", "rows", {"axes": [1, 2, 3], "keepdims": 0})],
        ["rows"],
        "2",
    ),
    "two outputs": (
        [("Flatten", "patches", "rows"), ("Abs", "rows", "others")],
        ["rows", "others"],
        "2 x 1024 and 2 x 1024",
    ),
}


@pytest.mark.parametrize("fault", SHAPES)
def test_other_shapes_than_rows_are_refused(fault: str, tmp_path: Path) -> None:
    nodes, outputs, given = SHAPES[fault]
    with pytest.raises(ModelError) as caught:
        descriptor_of(of_patches(tmp_path, nodes, outputs))
    sentence = str(caught.value)
    assert sentence.startswith("The network of the descriptor hardnet gives ")
    assert given in sentence
    assert sentence.endswith(" for 2 patches; it must have one output, a row for each patch.")


def test_a_network_of_one_patch_is_refused(tmp_path: Path) -> None:
    model = of_patches(tmp_path, [("Flatten", "patches", "rows")], ["rows"], shape=[1, 1, SIDE, SIDE])
    with pytest.raises(ModelError, match="The network of the descriptor hardnet cannot be run: "):
        descriptor_of(model)


def test_what_is_no_number_is_told_with_the_photo(tmp_path: Path, collection: Path) -> None:
    nodes: list[tuple[object, ...]] = [
        ("Flatten", "patches", "rows"),
        ("Sub", "rows rows", "zeros"),
        ("Div", "zeros zeros", "nan"),
    ]
    options = options_of("sift", of_patches(tmp_path, nodes, ["nan"]), descriptor="hardnet")
    with pytest.raises(PhotoError) as caught:
        extract_photo(collection / "query.jpg", options)
    assert str(caught.value).endswith("the extractor sift gives descriptors with NaN or infinity.")


@pytest.mark.parametrize("upright", [False, True])
def test_a_collection_is_searched_by_what_a_network_says_of_patches(
    upright: bool, collection: Path, tmp_path: Path, model: str
) -> None:
    """The query is a part of a photo, turned and enlarged."""
    features = FeatureOptions(
        descriptor="hardnet", settings={"model": model}, upright=upright, max_features=500
    )
    photos = collection / "photos"
    store = handcraft.open(tmp_path / "store", features=features)
    store.build_vocabulary(photos, VocabularyOptions(words=200, depth=2))
    store.add(photos)
    assert store.check().problems == ()
    again = handcraft.open(tmp_path / "store")  # the store remembers its network
    hits = again.query(collection / "query.jpg", verify=True).hits
    assert {Path(hit.name).name for hit in hits[:3]} == {f"scene-{VIEWED}.jpg", "near.jpg", "turned.jpg"}
    (best,) = (hit for hit in hits[:3] if hit.name.endswith(f"scene-{VIEWED}.jpg"))
    assert best.match is not None
    assert best.match.scale == pytest.approx(QUERY_SCALE, abs=0.02)
    assert best.match.rotation == pytest.approx(QUERY_TURN, abs=2)
