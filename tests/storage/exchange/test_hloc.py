"""hloc's files are read as hloc means them, and written as hloc reads them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from foreign import write_hdf5
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handcraft.errors import FeatureFileError, StoreError
from handcraft.storage.exchange import ForeignFeatures, open_foreign, write_hloc
from handcraft.storage.exchange.hloc import open_hloc
from handcraft.types import Features

POINTS = np.array([[0, 0], [10.5, 20.25], [-0.5, 3]], np.float32)
DESCRIPTORS = np.arange(12, dtype=np.float32).reshape(3, 4)
PHOTO = {
    "keypoints": POINTS,
    "descriptors": DESCRIPTORS.T,
    "scores": np.array([0.5, 0.75, 0.5], np.float32),
    "image_size": np.array([640, 480]),
}


def read_one(path: Path, **arrays: Any) -> ForeignFeatures:
    """The photo with these arrays instead of, or beside, its own; None takes one away."""
    photo = {key: value for key, value in {**PHOTO, **arrays}.items() if value is not None}
    return open_hloc(write_hdf5(path / "features.h5", {"a.jpg": photo})).read("a.jpg")


def test_a_file_of_hloc_is_read(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "feats.h5", {"db/1/b.jpg": PHOTO, "a.jpg": PHOTO}, uncertainty=1.5)
    file = open_foreign(path)
    assert (file.path, file.names) == (path, ("a.jpg", "db/1/b.jpg"))
    for name in file.names:
        found = file.read(name)
        np.testing.assert_array_equal(found.points, POINTS)  # hloc's pixels are handcraft's
        np.testing.assert_array_equal(found.descriptors, DESCRIPTORS)
        np.testing.assert_array_equal(found.scores, PHOTO["scores"])
        assert (found.width, found.height, found.shapes) == (640, 480, None)
        assert (found.points.dtype, found.descriptors.dtype) == (np.float32, np.float32)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    halves = {key: array.astype(np.float16) for key, array in PHOTO.items() if key != "image_size"}
    found = read_one(tmp_path, **halves, image_size=None)
    np.testing.assert_array_equal(found.descriptors, DESCRIPTORS)
    assert found.points.dtype == found.descriptors.dtype == np.float32
    assert found.scores is not None
    assert found.scores.dtype == np.float32
    assert (found.width, found.height) == (0, 0)


def test_bytes_stay_bytes_and_foreign_byte_orders_become_native(tmp_path: Path) -> None:
    assert read_one(tmp_path, descriptors=DESCRIPTORS.T.astype(np.uint8)).descriptors.dtype == np.uint8
    found = read_one(tmp_path, descriptors=DESCRIPTORS.T.astype(">f4"), keypoints=POINTS.astype(">f8"))
    assert found.descriptors.dtype.isnative
    np.testing.assert_array_equal(found.descriptors, DESCRIPTORS)


def test_scales_are_a_sixth_of_the_radius_and_oris_are_degrees(tmp_path: Path) -> None:
    found = read_one(tmp_path, scales=np.array([1, 2, 3.0]), oris=np.array([0, 90, 180.0]))
    expected = [[[6, 0], [0, 6]], [[0, -12], [12, 0]], [[-18, 0], [0, -18]]]
    np.testing.assert_allclose(found.shapes, expected, atol=1e-5)


def test_further_columns_are_those_of_colmap(tmp_path: Path) -> None:
    scale, angle = np.full((3, 1), 2.0), np.full((3, 1), np.pi / 2)
    for keypoints, expected in (
        ([POINTS, scale], [[12, 0], [0, 12]]),
        ([POINTS, scale, angle], [[0, -12], [12, 0]]),
        ([POINTS, scale, 0 * scale, scale, scale / 2], [[12, 0], [12, 6]]),
    ):
        found = read_one(tmp_path, keypoints=np.concatenate(keypoints, axis=1))
        np.testing.assert_allclose(found.shapes, [expected] * 3, atol=1e-5)


def test_a_photo_without_features(tmp_path: Path) -> None:
    found = read_one(
        tmp_path, keypoints=np.empty((0, 2)), descriptors=np.empty((4, 0), np.float32), scores=np.empty(0)
    )
    assert len(found) == 0
    assert found.descriptors.shape == (0, 4)


# --- what is written comes back, and is what hloc expects ---


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(0, 5), st.integers(1, 4))
def test_what_is_written_comes_back(tmp_path: Path, data: st.DataObject, count: int, dimension: int) -> None:
    floats = st.floats(-1e4, 1e4, width=32)
    points = data.draw(hnp.arrays(np.float32, (count, 2), elements=floats))
    descriptors = data.draw(
        hnp.arrays(data.draw(st.sampled_from([np.uint8, np.float32])), (count, dimension))
    )
    descriptors = np.nan_to_num(descriptors)
    scales = data.draw(hnp.arrays(np.float64, count, elements=st.floats(0.5, 100)))
    turns = data.draw(hnp.arrays(np.float64, count, elements=st.floats(-3, 3)))
    shapes = np.array(
        [
            s * np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
            for s, t in zip(scales, turns, strict=True)
        ]
    ).reshape(-1, 2, 2)
    scores = data.draw(st.none() | hnp.arrays(np.float32, count, elements=floats))
    written = ForeignFeatures(points, shapes.astype(np.float32), descriptors, scores, 640, 480)
    write_hloc(tmp_path / "written.h5", [("a/b.jpg", written), ("c.jpg", written)])
    file = open_foreign(tmp_path / "written.h5", "hloc")
    assert file.names == ("a/b.jpg", "c.jpg")
    found = file.read("a/b.jpg")
    np.testing.assert_array_equal(found.points, points)
    np.testing.assert_array_equal(found.descriptors, descriptors)
    assert found.descriptors.dtype == descriptors.dtype
    np.testing.assert_allclose(found.shapes, shapes, rtol=1e-4, atol=1e-3)
    assert (found.width, found.height) == (640, 480)
    assert found.scores is None if scores is None else np.array_equal(found.scores, scores)


def test_what_is_written_is_laid_out_as_hloc_does(tmp_path: Path) -> None:
    frames = np.array([[[0, -12, 5], [12, 0, 7]]], np.float32)
    own = Features(frames, np.array([[1, 2, 3]], np.uint8), 640, 480)
    write_hloc(tmp_path / "own.h5", [("a/b.jpg", ForeignFeatures.of(own))])
    with h5py.File(tmp_path / "own.h5") as file:
        group = file["a/b.jpg"]
        assert set(group) == {"keypoints", "descriptors", "scales", "oris", "shapes", "image_size"}
        np.testing.assert_array_equal(group["shapes"], frames[:, :, :2])
        np.testing.assert_array_equal(group["keypoints"], [[5, 7]])
        np.testing.assert_array_equal(group["descriptors"], [[1], [2], [3]])
        np.testing.assert_allclose(group["scales"], [2])
        np.testing.assert_allclose(group["oris"], [90])
        np.testing.assert_array_equal(group["image_size"], [640, 480])
        assert group["keypoints"].attrs["uncertainty"] == 1


def test_only_points_are_written_as_only_points(tmp_path: Path) -> None:
    write_hloc(tmp_path / "points.h5", [("a.jpg", ForeignFeatures(POINTS, None, DESCRIPTORS))])
    with h5py.File(tmp_path / "points.h5") as file:
        assert set(file["a.jpg"]) == {"keypoints", "descriptors"}


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path / "feats.h5", {"a.jpg": PHOTO})
    before = path.read_bytes()

    def full(file: Any, data: Any) -> int:
        file.error = OSError(errno.ENOSPC, "No space left on device")
        return len(memoryview(data).cast("B"))

    monkeypatch.setattr("handcraft.storage.exchange.hloc._PatientFile.write", full)
    with pytest.raises(StoreError, match="No space is left to write"):
        write_hloc(path, [("a.jpg", ForeignFeatures(POINTS, None, DESCRIPTORS))])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_really_full_disk(tiny_disk: Path) -> None:
    many = ForeignFeatures(np.zeros((999, 2), np.float32), None, np.zeros((999, 128), np.float32))
    with pytest.raises(StoreError, match="No space is left to write"):
        write_hloc(tiny_disk / "feats.h5", [(f"{i}.jpg", many) for i in range(9)])
    assert not list(tiny_disk.iterdir())


# --- errors ---


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"descriptors": None}, "has no 'descriptors' for a.jpg"),
        ({"keypoints": None}, "has no 'keypoints' for a.jpg"),
        (
            {"descriptors": DESCRIPTORS},
            r"has 3 keypoints and descriptors of shape \(3, 4\) for a.jpg; .*transpose",
        ),
        ({"descriptors": DESCRIPTORS[:2].T}, r"has 3 keypoints and descriptors of shape \(4, 2\)"),
        ({"keypoints": POINTS.ravel()}, r"has keypoints of shape \(6,\) for a.jpg; store"),
        ({"keypoints": np.zeros((3, 5))}, r"has keypoints of shape \(3, 5\) for a.jpg; store"),
        ({"keypoints": POINTS * np.nan}, "has points that are not finite .* for a.jpg"),
        ({"keypoints": np.full((3, 2), 1e300)}, "has points that are not finite"),
        ({"descriptors": DESCRIPTORS.T * np.nan}, "has descriptors that are not finite"),
        ({"scores": np.full(3, np.inf)}, "has scores that are not finite"),
        ({"scores": np.zeros(2)}, "has 3 keypoints and 2 scores for a.jpg"),
        ({"scales": np.full(3, np.inf)}, "has shapes that are not finite"),
        ({"scales": np.zeros(3)}, "has shapes that are no ellipses"),
        ({"scales": np.ones(2)}, r"has 3 keypoints and 'scales' of shape \(2,\)"),
        ({"scales": np.ones(3), "oris": np.ones(2)}, r"has 3 keypoints and 'oris' of shape \(2,\)"),
        ({"keypoints": np.array([[b"x", b"y"]] * 3)}, "has 'keypoints' that are no numbers"),
        ({"image_size": np.array([640])}, "has an 'image_size' that is not"),
        ({"image_size": np.array([640, 0])}, "has an 'image_size' that is not"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FeatureFileError, match=sentence) as caught:
        read_one(tmp_path, **arrays)
    assert str(caught.value).startswith(str(tmp_path / "features.h5"))


def test_a_group_of_text_is_not_looked_into(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "text.h5", {"a.jpg": PHOTO})
    with h5py.File(path, "a") as file:
        del file["a.jpg/scores"]
        file["a.jpg/scores"] = ["text", "of", "variable length"]
    with pytest.raises(FeatureFileError, match="has 'scores' that are no numbers"):
        open_hloc(path).read("a.jpg")


def test_links_go_nowhere(tmp_path: Path) -> None:
    other = write_hdf5(tmp_path / "other.h5", {"secret.jpg": PHOTO})
    path = write_hdf5(tmp_path / "links.h5", {"a/b.jpg": PHOTO})
    with h5py.File(path, "a") as file:
        file["a/circle"] = file["a"]
        file["soft"] = h5py.SoftLink("/a")
        file["hard"] = h5py.ExternalLink(str(other), "/")
    assert open_hloc(path).names == ("a/b.jpg",)
    with h5py.File(path, "a") as file:
        del file["a/b.jpg/keypoints"]
        file["a/b.jpg/keypoints"] = h5py.ExternalLink(str(other), "/secret.jpg/keypoints")
    with pytest.raises(FeatureFileError, match="has 'keypoints' that are no numbers"):
        open_hloc(path).read("a/b.jpg")


def test_other_hdf5_files(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "global.h5", {"a.jpg": {"global_descriptor": np.zeros(4)}})
    with pytest.raises(
        FeatureFileError, match="has no group with 'keypoints' and 'descriptors'; name hloc's"
    ):
        open_hloc(path)


def test_a_photo_that_is_not_there(tmp_path: Path) -> None:
    file = open_hloc(write_hdf5(tmp_path / "feats.h5", {"a/b.jpg": PHOTO}))
    for name in ("c.jpg", "a", "a/b.jpg/keypoints"):
        with pytest.raises(FeatureFileError, match=f"has no features for {name}; compute them"):
            file.read(name)


def test_truncated_and_damaged_files(tmp_path: Path) -> None:
    photo = {**PHOTO, "scales": np.ones(3)}
    whole = write_hdf5(tmp_path / "whole.h5", {"a/b.jpg": photo, "c.jpg": photo}).read_bytes()
    path = tmp_path / "cut.h5"
    generator = np.random.default_rng(0)
    contents = [whole[:length] for length in np.linspace(0, len(whole) - 1, 40).astype(int)]
    for _ in range(200):
        spoilt = np.frombuffer(whole, np.uint8).copy()
        places = generator.integers(0, len(whole), 3)
        spoilt[places] = generator.integers(0, 256, 3)
        contents.append(spoilt.tobytes())
    told = []
    for number, content in enumerate(contents):
        path.write_bytes(content)
        try:
            file = open_hloc(path)
            for name in file.names:
                file.read(name)
        except FeatureFileError as error:
            told.append(str(error))
        assert number >= 40 or len(told) == number + 1, "a truncated file is told from a whole one"
    assert all(sentence.startswith(str(path)) for sentence in told)


def test_a_shape_larger_than_the_file(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "huge.h5", {"a.jpg": PHOTO})
    with h5py.File(path, "a") as file:
        del file["a.jpg/scores"]
        file["a.jpg"].create_dataset("scores", (10**12,), np.float32, chunks=(1024,))
    with pytest.raises(FeatureFileError, match=r"truncated or damaged at the features of a\.jpg"):
        open_hloc(path).read("a.jpg")
