"""DELF: where its features lie, which of them are kept, and what its network must give."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import datum
from networks import cells, content, features_by, network, options_of, photo_of, saved, scenery, tiny
from numpy.typing import NDArray
from PIL import Image

from handcraft.errors import HandcraftError, ModelError, PhotoError
from handcraft.features.extraction import extract_photos
from handcraft.features.images import DecodedPhoto
from handcraft.features.learned.delf import Delf
from handcraft.features.learned.pca import read_pca
from handcraft.features.registry import extract, extractor_of, fingerprint_of
from handcraft.types import Features

SCALES = (0.25, 0.3536, 0.5, 0.7071, 1, 1.4142, 2)
OUTPUTS = ("features", "attention")
BRIGHT = 127 / 128  # what the network sees of a value of 255


def spotted(width: int, height: int, *spots: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Grey that the network sees as 0, with squares of 255 in red about x and y of this side."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    for x, y, side in spots:
        half = side // 2
        pixels[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1, 0] = 255
    return pixels


@pytest.fixture
def peaks(tmp_path: Path) -> str:
    """The network whose attention is the red of each cell's first pixel."""
    return saved(cells(), tmp_path / "peaks.onnx")


@pytest.fixture
def delf(tmp_path: Path) -> str:
    return tiny("delf", tmp_path)


def described(model: str, photo: DecodedPhoto, **settings: Any) -> Features:
    return features_by("delf", model, photo, **{"threshold": 0.5, **settings})


def radii(features: Features) -> NDArray[np.float64]:
    return np.sqrt(np.linalg.det(features.frames[:, :, :2].astype(np.float64)))


# --- where features lie ---


def test_a_cell_lies_where_its_receptive_field_is_centred(peaks: str) -> None:
    features = described(peaks, photo_of(spotted(200, 170, (3 * 32, 2 * 32, 1))), scales="1")
    np.testing.assert_array_equal(features.frames, [[[145.5, 0, 96], [0, 145.5, 64]]])
    assert (features.width, features.height) == (200, 170)
    assert features.frames.dtype == np.float32


@pytest.mark.parametrize(("scale", "factor"), [(0.5, 2), (0.25, 4), (2, 0.5)])
def test_a_cell_of_a_scale_lies_between_pixels(scale: float, factor: float, peaks: str) -> None:
    """Its pixel stands for `factor` of them, in the middle of which it lies."""
    place = np.array([2, 1]) * 32  # of the scaled photo
    expected = (place + 0.5) * factor - 0.5
    spot = (*np.round(expected).astype(int).tolist(), max(1, int(2 * factor)) | 1)
    width, height = (round(side * factor) for side in (128, 96))
    features = described(peaks, photo_of(spotted(width, height, spot)), scales=str(scale))
    np.testing.assert_allclose(features.centres, [expected], atol=1e-4)
    np.testing.assert_allclose(radii(features), 145.5 * factor, rtol=1e-6)


def test_sides_that_a_scale_does_not_divide_have_factors_of_their_own(peaks: str) -> None:
    """101 x 67 pixels at 0.5 are 50 x 34: 50.5 is rounded to even, 33.5 as well."""
    features = described(peaks, photo_of(np.full((67, 101, 3), 255, np.uint8)), scales="0.5")
    across, down = 101 / 50, 67 / 34
    expected = {((32 * i + 0.5) * across - 0.5, (32 * j + 0.5) * down - 0.5) for i in (0, 1) for j in (0, 1)}
    np.testing.assert_allclose(sorted(map(tuple, features.centres)), sorted(expected), atol=1e-4)
    np.testing.assert_allclose(radii(features), 145.5 * math.sqrt(across * down), rtol=1e-6)


def test_a_reduced_photo_has_features_in_pixels_of_the_original(peaks: str) -> None:
    pixels = spotted(128, 96, (64, 32, 1))
    features = described(peaks, photo_of(pixels, width=384, height=192), scales="1")
    np.testing.assert_allclose(features.frames, [[[436.5, 0, 193], [0, 291, 64.5]]], atol=1e-4)


def test_a_file_is_reduced_and_its_features_are_taken_back(peaks: str, tmp_path: Path) -> None:
    """256 pixels reduced to 128: a square of two pixels is one."""
    pixels = spotted(256, 192)
    pixels[64:66, 128:130, 0] = 255
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    options = options_of("delf", peaks, threshold=0.5, scales="1", max_size=128)
    (extraction,) = extract_photos([(path, "photo.png")], options, threads=1)
    assert extraction.features is not None
    np.testing.assert_allclose(extraction.features.frames, [[[291, 0, 128.5], [0, 291, 64.5]]], atol=1e-4)


@pytest.mark.parametrize(
    ("setting", "radius", "place"),
    [
        ({"field": 64, "padding": 20}, 32, 11.5),  # (64 - 1) / 2 - 20
        ({"field": 291, "padding": 140}, 145.5, 5),
        ({"padding": 146}, 145.5, -1),
    ],
)
def test_the_receptive_field_says_how_large_and_where(
    setting: dict[str, int], radius: float, place: float, peaks: str
) -> None:
    features = described(peaks, photo_of(spotted(100, 90, (0, 0, 1))), scales="1", **setting)
    np.testing.assert_allclose(features.frames, [[[radius, 0, place], [0, radius, place]]])


def test_a_padding_that_leads_out_of_the_photo_is_told(peaks: str) -> None:
    with pytest.raises(PhotoError) as caught:
        described(peaks, photo_of(spotted(97, 96, (96, 64, 1))), scales="1", padding=140)
    assert str(caught.value) == (
        "a.png cannot be described: the extractor delf gives points outside its 97 x 96 pixels."
    )


def test_another_stride_has_finer_cells(tmp_path: Path) -> None:
    model = saved(cells(stride=16), tmp_path / "fine.onnx")
    features = described(model, photo_of(spotted(100, 90, (48, 16, 1))), scales="1", stride=16)
    np.testing.assert_array_equal(features.centres, [[48, 16]])


def test_every_scale_has_a_radius_of_its_own(delf: str) -> None:
    features = described(
        delf, photo_of(scenery(width=640, height=480).pixels), threshold=0, best=5000, max_features=5000
    )
    found, counts = np.unique(np.round(radii(features), 1), return_counts=True)
    np.testing.assert_allclose(found, sorted(145.5 / scale for scale in SCALES), rtol=2e-3)
    assert np.all(np.diff(counts) < 0)  # the finer the scale, the smaller the circles and the more of them
    assert counts[0] == 40 * 30


# --- which are kept ---


def test_the_strongest_come_first_and_equals_in_the_order_of_rows(peaks: str) -> None:
    pixels = spotted(128, 96)
    for (x, y), red in {(1, 0): 200, (3, 0): 255, (0, 1): 230, (2, 2): 255}.items():
        pixels[32 * y, 32 * x, 0] = red
    features = described(peaks, photo_of(pixels), scales="1", threshold=0.25)
    np.testing.assert_array_equal(features.centres / 32, [[3, 0], [2, 2], [0, 1], [1, 0]])


def test_the_threshold_is_the_least_attention_that_is_kept(peaks: str) -> None:
    photo = photo_of(spotted(64, 64, (32, 32, 1)))
    assert len(described(peaks, photo, scales="1", threshold=BRIGHT)) == 1
    assert len(described(peaks, photo, scales="1", threshold=BRIGHT + 1e-3)) == 0


def test_attention_below_zero_is_less(peaks: str) -> None:
    """Red of 0 is −1, of 192 a half."""
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[0, 32, 0], pixels[0, 64, 0] = 192, 100
    features = described(peaks, photo_of(pixels), scales="1", threshold=-2)
    np.testing.assert_array_equal(features.centres[:, 0], [32, 64, 0])


@pytest.mark.parametrize(("best", "max_features", "kept"), [(7, 2000, 7), (1000, 5, 5), (3, 4, 3)])
def test_the_best_are_the_first_of_all(best: int, max_features: int, kept: int, delf: str) -> None:
    everything = described(delf, scenery(), threshold=0)
    features = described(delf, scenery(), threshold=0, best=best, max_features=max_features)
    assert len(everything) > len(features) == kept
    assert content(features) == content(everything.head(kept))


def test_descriptors_have_a_length_of_one(delf: str) -> None:
    features = described(delf, scenery())
    assert features.descriptors.shape == (len(features), 64)
    assert features.descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)


def test_the_network_sees_colours_from_minus_1_to_1(peaks: str) -> None:
    pixels = spotted(32, 32)
    pixels[0, 0] = (255, 0, 96)
    features = described(peaks, photo_of(pixels), scales="1")
    seen = np.array([BRIGHT, -1, -0.25])
    np.testing.assert_allclose(features.descriptors, [seen / np.linalg.norm(seen)], atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (9, 300), (300, 9), (4, 5)])
def test_a_photo_that_is_too_small_has_no_features(size: tuple[int, int], peaks: str) -> None:
    features = described(peaks, photo_of(np.full((*size, 3), 255, np.uint8)), scales="0.5 1")
    assert features.frames.shape == (0, 2, 3)
    assert features.descriptors.shape == (0, 3)
    assert (features.width, features.height) == size[::-1]


def test_a_small_photo_has_features_where_it_is_enlarged(peaks: str) -> None:
    white = photo_of(np.full((9, 20, 3), 255, np.uint8))
    assert len(described(peaks, white, scales="1")) == 0
    assert len(described(peaks, white, scales="1 2")) == 2  # 40 x 18 pixels


@pytest.mark.parametrize("grey", [0, 128])
def test_a_blank_photo_has_no_features(grey: int, peaks: str, tmp_path: Path) -> None:
    blank = photo_of(np.full((120, 160, 3), grey, np.uint8))
    features = described(peaks, blank)
    assert features.frames.shape == (0, 2, 3)
    assert features.descriptors.shape == (0, 3)
    pca = written_pca(tmp_path, channels=3)
    assert described(peaks, blank, pca=pca, dimension=2).descriptors.shape == (0, 2)


def test_every_run_on_any_thread_gives_the_same_bytes(delf: str, tmp_path: Path) -> None:
    photos = []
    for seed in range(5):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(scenery(seed, 200 + 10 * seed, 150).pixels).save(path)
        photos.append((path, path.name))
    options = options_of("delf", delf, threshold=0.5, pca=written_pca(tmp_path), dimension=16)
    runs = []
    for threads in (1, 2, 4):
        extractions = list(extract_photos(photos, options, threads))
        assert all(extraction.error is None for extraction in extractions)
        runs.append([content(one.features) for one in extractions if one.features is not None])
    assert len(set(runs[0])) == len(photos)
    assert runs[0] == runs[1] == runs[2]


# --- settings ---


def written_pca(folder: Path, channels: int = 64, seed: int = 0, name: str = "pca.npz") -> str:
    generator = np.random.default_rng(seed)
    path = folder / name
    np.savez(
        path,
        mean=generator.normal(size=channels) / 10,
        matrix=generator.normal(size=(channels, channels)),
        variances=generator.uniform(0.5, 2, channels),
    )
    return str(path)


CHANGES: dict[str, Any] = {
    "model": lambda folder: saved_other(folder),
    "runtime": None,  # test_onnx_files: every runtime gives the same
    "weights": None,  # test_onnx_files: another digest is refused
    "pca": lambda folder: written_pca(folder, seed=1, name="other.npz"),
    "pca_weights": None,  # test_another_pca_than_before_is_refused
    "dimension": 20,
    "threshold": 0.9,
    "best": 30,
    "scales": "1",
    "stride": None,  # test_another_stride_has_finer_cells, and those that do not fit
    "field": 292,
    "padding": 144,
}


def saved_other(folder: Path) -> str:
    from examples.tiny_networks import delf

    return saved(delf(seed=1), folder / "other.onnx")


def test_every_setting_has_its_case() -> None:
    assert set(CHANGES) == set(Delf.settings)


@pytest.mark.parametrize("name", [name for name, value in CHANGES.items() if value is not None])
def test_every_setting_changes_the_features_and_the_fingerprint(name: str, delf: str, tmp_path: Path) -> None:
    value = CHANGES[name](tmp_path) if callable(CHANGES[name]) else CHANGES[name]
    settings = {"model": delf, "pca": written_pca(tmp_path), "threshold": 0.7, "dimension": 32}
    plain = options_of("delf", **settings)
    changed = options_of("delf", **{**settings, name: value})
    before, after = (extract(scenery(), options) for options in (plain, changed))
    assert len(before) > 50
    assert len(after) > 20
    assert content(before) != content(after)
    spaces = [fingerprint_of(options) for options in (plain, changed)]
    assert spaces[0] != spaces[1]
    assert spaces[0].same_space(spaces[1]) == (name not in ("model", "pca", "dimension"))


@pytest.mark.parametrize("name", ["best", "stride", "field"])
@pytest.mark.parametrize("value", [0, -3])
def test_settings_below_1_are_errors(name: str, value: int, delf: str) -> None:
    with pytest.raises(HandcraftError) as caught:
        fingerprint_of(options_of("delf", delf, **{name: value}))
    assert str(caught.value) == f"{name}={value} of the extractor delf is too small; give 1 or more."


@pytest.mark.parametrize("scales", ["", "0", "1 -2", "big", "1;2", "nan", "inf"])
def test_scales_that_are_none_are_errors(scales: str, delf: str) -> None:
    with pytest.raises(HandcraftError) as caught:
        fingerprint_of(options_of("delf", delf, scales=scales))
    assert str(caught.value) == f"The scales {scales!r} are not numbers above 0, such as 0.5 1 2."


def test_scales_may_have_commas(peaks: str) -> None:
    photo = scenery()
    assert content(described(peaks, photo, scales="0.5,1")) == content(
        described(peaks, photo, scales="0.5 1")
    )


@pytest.mark.parametrize(
    ("option", "value"), [("upright", False), ("spread", True), ("doubled", True), ("descriptor", "hardnet")]
)
def test_options_of_regions_are_errors(option: str, value: object, delf: str) -> None:
    with pytest.raises(HandcraftError) as caught:
        fingerprint_of(options_of("delf", delf, **{option: value}))
    assert str(caught.value) == (
        f"The extractor delf runs a network, for which {option}={value} means nothing; leave that option out."
    )


def test_frames_have_sizes_and_queries_four_directions(delf: str) -> None:
    extractor = extractor_of(options_of("delf", delf))
    assert not extractor.points
    assert extractor.directions == 4
    assert extractor.colour


# --- its PCA ---


def test_a_pca_reduces_what_the_network_gives(delf: str, tmp_path: Path) -> None:
    pca = written_pca(tmp_path)
    plain, reduced = described(delf, scenery()), described(delf, scenery(), pca=pca, dimension=12)
    np.testing.assert_array_equal(plain.frames, reduced.frames)
    expected = read_pca(Path(pca), 12).reduced(np.asarray(plain.descriptors, np.float32))
    np.testing.assert_allclose(reduced.descriptors, expected, atol=1e-6)
    assert fingerprint_of(options_of("delf", delf, pca=pca, dimension=12)).dimension == 12


def test_the_published_pca_is_read(delf: str, tmp_path: Path) -> None:
    archive = np.load(written_pca(tmp_path))
    (tmp_path / "mean.datum").write_bytes(datum(archive["mean"]))
    (tmp_path / "pca_proj_mat.datum").write_bytes(datum(archive["matrix"]))
    np.savez(tmp_path / "plain.npz", mean=archive["mean"], matrix=archive["matrix"])
    first, second = (
        described(delf, scenery(), pca=str(tmp_path / name)) for name in ("pca_proj_mat.datum", "plain.npz")
    )
    assert first.descriptors.shape[1] == 40
    assert content(first) == content(second)


def test_a_pca_of_other_channels_is_refused(delf: str, tmp_path: Path) -> None:
    pca = written_pca(tmp_path, channels=63)
    with pytest.raises(ModelError) as caught:
        fingerprint_of(options_of("delf", delf, pca=pca))
    assert str(caught.value) == (
        f"The PCA {pca} is of 63 dimensions, the network of the extractor delf gives 64; name the one that "
        "was learned with it."
    )


def test_a_pca_that_is_missing_is_told(delf: str) -> None:
    with pytest.raises(ModelError, match=r"There is no file /nowhere/pca\.npz for the extractor delf; give "):
        fingerprint_of(options_of("delf", delf, pca="/nowhere/pca.npz"))


def test_a_pca_is_found_in_the_folder_of_models(
    delf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDCRAFT_MODELS", str(tmp_path))
    written_pca(tmp_path, name="mine.npz")
    fingerprint = fingerprint_of(options_of("delf", delf, pca="/elsewhere/mine.npz"))
    assert fingerprint.parameters["pca"] == str(tmp_path / "mine.npz")


def test_another_pca_than_before_is_refused(delf: str, tmp_path: Path) -> None:
    pca = written_pca(tmp_path)
    before = str(fingerprint_of(options_of("delf", delf, pca=pca)).parameters["pca_weights"])
    again = options_of("delf", delf, pca=pca, pca_weights=before)
    assert fingerprint_of(again).parameters["pca_weights"] == before
    written_pca(tmp_path, seed=1)
    extractor_of.cache_clear()
    with pytest.raises(ModelError) as caught:
        fingerprint_of(again)
    assert str(caught.value).startswith(
        f"{pca} is not the PCA that the extractor delf made these features with: its digest is "
    )
    assert f", not {before}; put that PCA there" in str(caught.value)


# --- what its network must give ---


def scaled_map(folder: Path, nodes: list[tuple[Any, ...]]) -> str:
    """A network that makes its outputs from the map of what cells() sees, `map`."""
    made = [("Conv", "image filters", "map", {"strides": [32, 32]}), *nodes]
    weights = {
        "filters": np.eye(3, dtype=np.float32)[:, :, None, None],
        "one": np.ones((1, 3, 1, 1), np.float32),
        "half": np.float32(0.5),
        "zero": np.float32(0),
    }
    return saved(network(made, OUTPUTS, weights), folder / "map.onnx")


ATTENTION = ("Conv", "map one", "attention")
FEATURES = ("Identity", "map", "features")


def test_a_stride_that_does_not_fit_is_refused(delf: str) -> None:
    with pytest.raises(ModelError) as caught:
        fingerprint_of(options_of("delf", delf, stride=16))
    assert str(caught.value) == (
        "The network of the extractor delf gives maps of 1 x 64 x 8 x 8 and 1 x 1 x 8 x 8 for 256 x 256 "
        "pixels, where a cell for every 16 would be 16 x 16; give its own with --set stride=PIXELS, or "
        "export it again."
    )


def test_cells_that_do_not_fit_a_photo_are_refused(tmp_path: Path) -> None:
    """A network that rounds down: the image that was tried first is a multiple of 32, the photo is not."""
    nodes = [
        ("AveragePool", "image", "small", {"kernel_shape": [32, 32], "strides": [32, 32]}),
        ("Identity", "small", "features"),
        ("Conv", "small one", "attention"),
    ]
    model = scaled_map(tmp_path, nodes)
    assert len(described(model, photo_of(np.full((64, 96, 3), 255, np.uint8)), scales="1")) == 6
    with pytest.raises(ModelError, match=r"gives maps of 1 x 3 x 2 x 3 and 1 x 1 x 2 x 3 for 97 x 64 pixels"):
        described(model, photo_of(np.full((64, 97, 3), 255, np.uint8)), scales="1")


SHAPES: dict[str, list[tuple[Any, ...]]] = {
    "attention of each channel": [FEATURES, ("Identity", "map", "attention")],
    "attention without a channel": [FEATURES, ("ReduceSum", "map", "attention", {"keepdims": 0})],
    "features without a place": [ATTENTION, ("GlobalAveragePool", "map", "features")],
    "features of one number": [ATTENTION, ("ReduceMean", "map", "features", {"keepdims": 0})],
    "several photos": [ATTENTION, ("Concat", "map map", "features", {"axis": 0})],
}


@pytest.mark.parametrize("fault", SHAPES)
def test_maps_of_other_shapes_are_refused(fault: str, tmp_path: Path) -> None:
    model = scaled_map(tmp_path, SHAPES[fault])
    with pytest.raises(ModelError, match="The network of the extractor delf gives maps of "):
        fingerprint_of(options_of("delf", model))


@pytest.mark.parametrize(
    "nodes",
    [
        [ATTENTION, ("Sqrt", "map", "features")],  # of what is below zero
        [FEATURES, ("Sqrt", "map", "root"), ("Conv", "root one", "attention")],
        [ATTENTION, ("Div", "map zero", "features")],
    ],
    ids=["features", "attention", "infinity"],
)
def test_what_is_no_number_is_told_with_the_photo(nodes: list[tuple[Any, ...]], tmp_path: Path) -> None:
    """The image that is tried first has no value that shows it: it is asked of photos."""
    model = scaled_map(tmp_path, nodes)
    pixels = scenery().pixels
    with pytest.raises(PhotoError) as caught:
        described(
            model, photo_of(pixels, name="views/a.jpg"), threshold=-10, best=10_000, max_features=10_000
        )
    assert str(caught.value) == (
        "views/a.jpg cannot be described: the extractor delf fails: its network gives NaN or infinity."
    )


def test_a_photo_that_fails_leaves_the_others(tmp_path: Path, save: Callable[..., Path]) -> None:
    nodes = [FEATURES, ("Sqrt", "map", "root"), ("Conv", "root one", "attention")]
    options = options_of("delf", scaled_map(tmp_path, nodes), threshold=0.5)
    good, bad = save("good.png", 200), save("bad.png", 20)
    first, second, third = extract_photos(
        [(good, "good.png"), (bad, "bad.png"), (good, "again.png")], options
    )
    assert first.features is not None
    assert third.features is not None
    assert len(first.features) == len(third.features) > 0
    assert str(second.error) == (
        "bad.png cannot be described: the extractor delf fails: its network gives NaN or infinity."
    )


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a grey photo."""

    def write(name: str, grey: int) -> Path:
        Image.fromarray(np.full((96, 96, 3), grey, np.uint8)).save(tmp_path / name)
        return tmp_path / name

    return write


def test_doubles_are_made_floats(tmp_path: Path) -> None:
    nodes = [FEATURES, ("Cast", "map", "wide", {"to": 11}), ("ReduceSum", "wide axis", "attention")]
    made = [("Conv", "image filters", "map", {"strides": [32, 32]}), *nodes]
    weights = {"filters": np.eye(3, dtype=np.float32)[:, :, None, None], "axis": np.array([1])}
    model = network(made, OUTPUTS, weights)
    model.graph.output[1].type.tensor_type.elem_type = 11
    features = described(saved(model, tmp_path / "wide.onnx"), scenery())
    assert len(features) > 10
    assert features.descriptors.dtype == np.float32
