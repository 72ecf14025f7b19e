"""Networks that give keypoints, and how an extractor makes features of what they give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import (
    constant_keypoints,
    content,
    features_by,
    network,
    options_of,
    photo_of,
    saved,
    scenery,
    tiny,
)
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from handcraft.errors import ExtractorError, HandcraftError, PhotoError
from handcraft.features import plugins
from handcraft.features.extraction import extract_photos
from handcraft.features.learned.keypoint_networks import Detect, KeypointNetwork, OnnxKeypoints
from handcraft.features.registry import are_points, extract, extractor_of, fingerprint_of
from handcraft.options import FeatureOptions, Setting

POINTS = np.array([[10, 20], [30.25, 5.5], [63, 63]])
SCORES = np.array([0.2, 0.9, 0.5])
DESCRIPTORS = np.array([[1, 0], [0.6, 0.8], [0, 1]])
ORDER = [1, 2, 0]
BLANK = photo_of(np.full((64, 64, 3), 99, np.uint8))


@pytest.fixture
def model(tmp_path: Path) -> str:
    return tiny("keypoints", tmp_path)


def constant(
    folder: Path,
    keypoints: ArrayLike = POINTS,
    scores: ArrayLike = SCORES,
    descriptors: ArrayLike = DESCRIPTORS,
    radii: ArrayLike | None = None,
) -> str:
    return saved(constant_keypoints(keypoints, scores, descriptors, radii), folder / "constant.onnx")


# --- what features are made ---


def test_keypoints_become_features_the_strongest_first(tmp_path: Path) -> None:
    features = features_by("onnx", constant(tmp_path), BLANK)
    np.testing.assert_array_equal(features.centres, POINTS[ORDER].astype(np.float32))
    np.testing.assert_array_equal(features.descriptors, DESCRIPTORS[ORDER].astype(np.float32))
    assert features.frames.dtype == features.descriptors.dtype == np.float32
    assert features.descriptors.flags.c_contiguous
    assert (features.width, features.height) == (64, 64)


def test_equal_scores_stay_in_their_order(tmp_path: Path) -> None:
    features = features_by("onnx", constant(tmp_path, scores=[0.5, 0.5, 0.7]), BLANK)
    np.testing.assert_array_equal(features.centres, POINTS[[2, 0, 1]].astype(np.float32))


def test_points_have_upright_circles_of_one_size(tmp_path: Path) -> None:
    model = constant(tmp_path)
    frames = features_by("onnx", model, BLANK).frames
    np.testing.assert_array_equal(frames[:, :, :2], np.broadcast_to(8 * np.eye(2), (3, 2, 2)))
    fingerprint = fingerprint_of(options_of("onnx", model))
    assert are_points(fingerprint)
    assert extractor_of(options_of("onnx", model)).directions == 4


def test_radii_make_frames_of_sizes(tmp_path: Path) -> None:
    model = constant(tmp_path, radii=[3, 4.5, 12])
    frames = features_by("onnx", model, BLANK).frames
    np.testing.assert_array_equal(frames[:, 0, 0], [4.5, 12, 3])
    np.testing.assert_array_equal(frames[:, 1, 1], [4.5, 12, 3])
    np.testing.assert_array_equal(frames[:, [0, 1], [1, 0]], np.zeros((3, 2)))
    assert not are_points(fingerprint_of(options_of("onnx", model)))


def test_features_are_in_pixels_of_the_original(tmp_path: Path) -> None:
    photo = photo_of(BLANK.pixels, width=128, height=192)
    frames = features_by("onnx", constant(tmp_path, radii=[3, 4, 5]), photo).frames
    np.testing.assert_allclose(frames[0], [[8, 0, 61], [0, 12, 17.5]])  # (30.25, 5.5), of radius 4


@pytest.mark.parametrize("limit", [1, 2])
def test_the_strongest_are_kept(limit: int, tmp_path: Path) -> None:
    features = features_by("onnx", constant(tmp_path), BLANK, max_features=limit)
    np.testing.assert_array_equal(features.centres, POINTS[ORDER][:limit].astype(np.float32))


def test_the_network_sees_colours_from_0_to_1(tmp_path: Path) -> None:
    """A keypoint whose x is the mean of the image times 50."""
    nodes = [
        ("ReduceMean", "image", "mean", {"keepdims": 0}),
        ("Mul", "mean place", "keypoints"),
        ("Mul", "mean zero", "scores"),
        ("GlobalAveragePool", "image", "pooled"),
        ("Flatten", "pooled", "descriptors"),
    ]
    weights = {"place": np.float32([[50, 0]]), "zero": np.float32([0])}
    model = saved(
        network(nodes, ["keypoints", "scores", "descriptors"], weights),
        tmp_path / "mean.onnx",
    )
    pixels = np.empty((40, 50, 3), np.uint8)
    pixels[:] = (255, 51, 102)
    features = features_by("onnx", model, photo_of(pixels))
    np.testing.assert_allclose(features.centres, [[50 * 1.6 / 3, 0]], rtol=1e-5)
    np.testing.assert_allclose(features.descriptors, [[1, 0.2, 0.4]], rtol=1e-5)


def test_a_photo_of_a_texture_has_features(model: str) -> None:
    features = features_by("onnx", model, scenery())
    assert 200 < len(features) <= 2000
    assert features.descriptors.shape[1] == 48
    np.testing.assert_allclose((features.centres - 3.5) % 8, 0, atol=1e-4)
    assert len(np.unique(features.centres, axis=0)) == len(features)


@pytest.mark.parametrize("size", [(1, 1), (31, 31), (31, 400), (400, 31)])
def test_tiny_photos_have_no_features(size: tuple[int, int], model: str) -> None:
    features = features_by("onnx", model, photo_of(scenery(0, *size).pixels))
    assert features.frames.shape == (0, 2, 3)
    assert features.descriptors.shape == (0, 48)
    assert features.descriptors.dtype == np.float32
    assert (features.width, features.height) == size


def test_photos_of_32_pixels_have_features(model: str) -> None:
    assert len(features_by("onnx", model, scenery(0, 32, 32))) > 0


def test_a_blank_photo_has_no_features(model: str) -> None:
    features = features_by("onnx", model, photo_of(np.zeros((64, 96, 3), np.uint8)))
    assert features.frames.shape == (0, 2, 3)
    assert features.descriptors.shape == (0, 48)


def test_every_run_on_any_thread_gives_the_same_bytes(model: str, tmp_path: Path) -> None:
    photos = []
    for seed in range(5):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(scenery(seed, 160 + 10 * seed, 120).pixels).save(path)
        photos.append((path, path.name))
    options = options_of("onnx", model, max_features=200)
    runs = []
    for threads in (1, 2, 4):
        extractions = list(extract_photos(photos, options, threads))
        runs.append([content(one.features) for one in extractions if one.features is not None])
    assert len(set(runs[0])) == len(photos)
    assert runs[0] == runs[1] == runs[2]


# --- settings and options ---


def test_every_setting_is_known() -> None:
    """model, weights and runtime: test_onnx_files; name: below."""
    assert set(OnnxKeypoints.settings) == {"model", "weights", "runtime", "name"}


def test_two_networks_never_share_a_space(tmp_path: Path) -> None:
    first = fingerprint_of(
        options_of("onnx", saved(constant_keypoints(POINTS, SCORES, DESCRIPTORS), tmp_path / "a"))
    )
    second = fingerprint_of(
        options_of("onnx", saved(constant_keypoints(POINTS, SCORES, 2 * DESCRIPTORS), tmp_path / "b"))
    )
    assert not first.same_space(second)
    assert first.descriptor == f"onnx-{first.parameters['weights']}"


def test_copies_of_a_network_share_a_space(tmp_path: Path) -> None:
    network = constant_keypoints(POINTS, SCORES, DESCRIPTORS)
    spaces = [fingerprint_of(options_of("onnx", saved(network, tmp_path / name))) for name in ("a", "b")]
    assert spaces[0].same_space(spaces[1])


def test_a_name_names_the_space(model: str) -> None:
    fingerprint = fingerprint_of(options_of("onnx", model, name="superpoint"))
    assert fingerprint.descriptor == "superpoint"
    assert not fingerprint.same_space(fingerprint_of(options_of("onnx", model)))
    assert (
        fingerprint.parameters["weights"] == fingerprint_of(options_of("onnx", model)).parameters["weights"]
    )


@pytest.mark.parametrize(
    ("option", "value"), [("upright", False), ("spread", True), ("doubled", True), ("descriptor", "hardnet")]
)
def test_options_of_regions_are_errors(option: str, value: object, model: str) -> None:
    with pytest.raises(HandcraftError) as caught:
        fingerprint_of(options_of("onnx", model, **{option: value}))
    assert str(caught.value) == (
        f"The extractor onnx runs a network, for which {option}={value} means nothing; leave that option out."
    )


# --- what networks must give ---

MISFITS: dict[str, tuple[dict[str, ArrayLike], str]] = {
    "fewer scores": ({"scores": SCORES[:2]}, "keypoints of 3 x 2, scores of 2, descriptors of 3 x 2"),
    "more descriptors": (
        {"descriptors": np.ones((4, 2))},
        "keypoints of 3 x 2, scores of 3, descriptors of 4 x 2",
    ),
    "a batch of one": (
        {"keypoints": POINTS[None], "scores": SCORES[None], "descriptors": DESCRIPTORS[None]},
        "keypoints of 1 x 3 x 2, scores of 1 x 3, descriptors of 1 x 3 x 2",
    ),
    "points in space": (
        {"keypoints": np.ones((3, 3))},
        "keypoints of 3 x 3, scores of 3, descriptors of 3 x 2",
    ),
    "scores in a column": ({"scores": SCORES[:, None]}, "keypoints of 3 x 2, scores of 3 x 1, "),
    "one score": ({"scores": 0.5}, "keypoints of 3 x 2, scores of , descriptors of 3 x 2"),
    "one descriptor": ({"descriptors": np.ones(3)}, "keypoints of 3 x 2, scores of 3, descriptors of 3;"),
    "fewer radii": ({"radii": [1, 2]}, "descriptors of 3 x 2, radii of 2"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_outputs_that_do_not_fit_together_are_refused(misfit: str, tmp_path: Path) -> None:
    arrays, listed = MISFITS[misfit]
    with pytest.raises(ExtractorError) as caught:
        fingerprint_of(options_of("onnx", constant(tmp_path, **arrays)))
    sentence = str(caught.value)
    assert sentence.startswith("The network of onnx gives keypoints of ")
    assert listed in sentence
    assert sentence.endswith("descriptors of n x d and, if any, radii of n.")


def test_other_dimensions_of_another_photo_are_refused(tmp_path: Path) -> None:
    """As many as the photo is wide."""
    nodes: list[tuple[Any, ...]] = [
        ("ReduceMean", "image", "descriptors", {"axes": [1, 2], "keepdims": 0}),
        ("ReduceMean", "image", "mean", {"keepdims": 0}),
        ("Mul", "mean nowhere", "keypoints"),
        ("Mul", "mean nothing", "scores"),
    ]
    weights = {"nowhere": np.zeros((1, 2), np.float32), "nothing": np.zeros(1, np.float32)}
    model = saved(network(nodes, ["keypoints", "scores", "descriptors"], weights), tmp_path / "wide.onnx")
    assert features_by("onnx", model, BLANK).descriptors.shape == (1, 64)
    with pytest.raises(ExtractorError) as caught:
        features_by("onnx", model, photo_of(np.zeros((64, 70, 3), np.uint8), name="wide.jpg"))
    assert str(caught.value) == (
        "The extractor onnx gives descriptors of 1 x 70 float32 for wide.jpg instead of 1 x 64 float32; mend "
        "the extractor, or its model."
    )


@pytest.mark.parametrize("place", [(-5, 10), (10, 66), (1e9, 0), (64.6, 0)])
def test_points_outside_the_photo_are_told(place: tuple[float, float], tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as caught:
        features_by("onnx", constant(tmp_path, keypoints=[(1, 1), place, (2, 2)]), BLANK)
    assert str(caught.value) == (
        "a.png cannot be described: the extractor onnx gives points outside its 64 x 64 pixels."
    )


def test_a_point_on_the_border_may_be_refined_beyond_it(tmp_path: Path) -> None:
    features = features_by("onnx", constant(tmp_path, keypoints=[(-1.4, 0), (64.4, 64.4), (3, 3)]), BLANK)
    assert len(features) == 3


@pytest.mark.parametrize(
    ("output", "what"),
    [("keypoints", "frames"), ("descriptors", "descriptors"), ("radii", "frames")],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_told_with_the_photo(
    value: float, output: str, what: str, tmp_path: Path
) -> None:
    arrays = {"keypoints": POINTS.copy(), "descriptors": DESCRIPTORS.copy(), "radii": np.ones(3)}
    arrays[output].flat[2] = value
    with pytest.raises(PhotoError) as caught:
        features_by("onnx", constant(tmp_path, **arrays), BLANK)
    assert str(caught.value) == (
        f"a.png cannot be described: the extractor onnx gives {what} with NaN or infinity."
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_told_with_the_photo(value: float, tmp_path: Path) -> None:
    with pytest.raises(
        PhotoError, match=r"a\.png cannot be described: the extractor onnx .* NaN or infinity"
    ):
        features_by("onnx", constant(tmp_path, scores=[0.5, value, 0.5]), BLANK)


@pytest.mark.parametrize("radius", [0, -2])
def test_radii_that_are_none_are_told_with_the_photo(radius: float, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"a\.png cannot be described: the extractor onnx "):
        features_by("onnx", constant(tmp_path, radii=[1, radius, 1]), BLANK)


def test_a_photo_that_the_network_fails_on_is_told(tmp_path: Path) -> None:
    """A network that reshapes 64 x 64 pixels, and no others."""
    nodes: list[tuple[Any, ...]] = [
        ("Reshape", "image shape", "square"),
        ("ReduceMean", "square", "mean", {"keepdims": 0}),
        ("Mul", "mean points", "keypoints"),
        ("Mul", "mean ones", "scores"),
        ("Mul", "mean rows", "descriptors"),
    ]
    weights = {
        "shape": np.array([3, 64, 64]),
        "points": np.ones((2, 2), np.float32),
        "ones": np.ones(2, np.float32),
        "rows": np.ones((2, 5), np.float32),
    }
    model = saved(network(nodes, ["keypoints", "scores", "descriptors"], weights), tmp_path / "square.onnx")
    assert len(features_by("onnx", model, BLANK)) == 2
    with pytest.raises(PhotoError) as caught:
        features_by("onnx", model, photo_of(np.zeros((64, 70, 3), np.uint8), name="wide.jpg"))
    sentence = str(caught.value)
    assert sentence.startswith("wide.jpg cannot be described: the extractor onnx fails: ")
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_whole_numbers_and_doubles_are_made_floats(tmp_path: Path) -> None:
    nodes: list[tuple[Any, ...]] = [
        ("ReduceMean", "image", "mean", {"keepdims": 0}),
        ("Mul", "mean nothing", "zero"),
        ("Cast", "zero", "whole", {"to": 7}),
        ("Cast", "zero", "double", {"to": 11}),
        ("Add", "whole points", "keypoints"),
        ("Add", "double worth", "scores"),
        ("Add", "zero rows", "descriptors"),
    ]
    weights = {
        "nothing": np.float32(0),
        "points": np.array([[3, 4]]),
        "worth": np.array([0.25]),
        "rows": np.ones((1, 4), np.float32),
    }
    model = network(nodes, ["keypoints", "scores", "descriptors"], weights)
    for output, kind in zip(model.graph.output, (7, 11, 1), strict=True):
        output.type.tensor_type.elem_type = kind
    features = features_by("onnx", saved(model, tmp_path / "kinds.onnx"), BLANK)
    np.testing.assert_array_equal(features.centres, [[3, 4]])
    assert features.frames.dtype == np.float32


# --- a network of one's own ---


class Own(KeypointNetwork):
    """One keypoint, in the middle."""

    settings: Mapping[str, Setting] = {"dimension": 3}

    def load(self, options: FeatureOptions) -> tuple[Detect, Mapping[str, Setting]]:
        def detect(image: NDArray[np.float32]) -> Mapping[str, NDArray[np.generic]]:
            height, width = image.shape[2:]
            return {
                "keypoints": np.array([[(width - 1) / 2, (height - 1) / 2]]),
                "scores": np.array([1.0]),
                "descriptors": np.full((1, int(options.settings["dimension"])), image.mean()),
            }

        return detect, {"version": 4}


class Broken(Own):
    """A network that gives no scores."""

    def load(self, options: FeatureOptions) -> tuple[Detect, Mapping[str, Setting]]:
        detect, which = super().load(options)
        return lambda image: {k: v for k, v in detect(image).items() if k != "scores"}, which


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, made in (("own", Own), ("broken", Broken)):
        monkeypatch.setitem(plugins._registered[plugins.EXTRACTORS], name, made)
    extractor_of.cache_clear()


@pytest.mark.usefixtures("own")
def test_a_network_of_ones_own_needs_a_function_alone() -> None:
    options = FeatureOptions(extractor="own", settings={"dimension": 5})
    features = extract(photo_of(np.full((40, 61, 3), 51, np.uint8)), options)
    np.testing.assert_array_equal(features.centres, [[30, 19.5]])
    np.testing.assert_allclose(features.descriptors, np.full((1, 5), 0.2), rtol=1e-5)
    fingerprint = fingerprint_of(options)
    assert (fingerprint.descriptor, fingerprint.dimension, fingerprint.dtype) == ("own", 5, "float32")
    assert fingerprint.parameters == {
        "extractor": "own",
        "max_size": 1024,
        "max_features": 2000,
        "dimension": 5,
        "version": 4,
        "points": True,
    }


@pytest.mark.usefixtures("own")
def test_a_network_of_ones_own_that_lacks_an_output_is_told() -> None:
    with pytest.raises(ExtractorError) as caught:
        fingerprint_of(FeatureOptions(extractor="broken"))
    assert str(caught.value) == (
        "The network of broken gives keypoints of 1 x 2, descriptors of 1 x 3; it must give keypoints of "
        "n x 2, scores of n, descriptors of n x d and, if any, radii of n."
    )


def test_inputs_of_other_names_are_given_the_photo(tmp_path: Path) -> None:
    model = constant_keypoints(POINTS, SCORES, DESCRIPTORS)
    model.graph.input[0].name = "pixels"
    model.graph.node[0].input[0] = "pixels"
    assert len(features_by("onnx", saved(model, tmp_path / "named.onnx"), BLANK)) == 3
