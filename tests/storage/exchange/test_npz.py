"""NumPy archives are read in the layout of this project and in DELF's."""

from __future__ import annotations

import io
import pickle
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from foreign import write_archive
from hypothesis import given, settings
from hypothesis import strategies as st

from handcraft.errors import FeatureFileError
from handcraft.storage.exchange import ForeignFeatures, open_foreign
from handcraft.storage.exchange.npz import open_npz

POINTS = np.array([[0, 0], [10.5, 20.25]], np.float32)
DESCRIPTORS = np.arange(8, dtype=np.float32).reshape(2, 4)


def read_one(folder: Path, **arrays: Any) -> ForeignFeatures:
    write_archive(folder / "a.jpg.npz", **arrays)
    return open_npz(folder).read("a.jpg")


@settings(max_examples=20)
@given(st.data(), st.integers(0, 4))
def test_frames_come_back(data: st.DataObject, count: int) -> None:
    floats = st.floats(-1e4, 1e4, width=32)
    frames = data.draw(hnp.arrays(np.float32, (count, 2, 3), elements=floats))
    frames[:, :, :2] = np.eye(2) * 3
    scores = data.draw(hnp.arrays(np.float32, count, elements=floats))
    descriptors = data.draw(hnp.arrays(np.uint8, (count, 3)))
    with tempfile.TemporaryDirectory() as folder:
        found = read_one(Path(folder), frames=frames, descriptors=descriptors, scores=scores)
    np.testing.assert_array_equal(found.frames(1.0), frames)
    np.testing.assert_array_equal(found.descriptors, descriptors)
    np.testing.assert_array_equal(found.scores, scores)
    assert found.descriptors.dtype == np.uint8


def test_a_folder_with_folders(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/c.jpg", "a/b.c.jpg"):
        write_archive(tmp_path / f"{name}.npz", keypoints=POINTS, descriptors=DESCRIPTORS)
    (tmp_path / "notes.txt").write_text("not a photo")
    file = open_foreign(tmp_path)
    assert (file.path, file.names) == (tmp_path, ("a/b.c.jpg", "a/c.jpg", "b.jpg"))
    np.testing.assert_array_equal(file.read("a/c.jpg").points, POINTS)


def test_keypoints_with_what_is_optional(tmp_path: Path) -> None:
    found = read_one(tmp_path, keypoints=POINTS, descriptors=DESCRIPTORS)
    assert (found.shapes, found.scores, found.width, found.height) == (None, None, 0, 0)
    found = read_one(
        tmp_path,
        keypoints=POINTS.astype(np.float64),
        descriptors=DESCRIPTORS.astype(np.float16),
        scales=np.array([1, 2]),
        scores=np.array([3, 4]),
        image_size=np.array([640, 480]),
    )
    np.testing.assert_array_equal(found.shapes, [np.eye(2) * 6, np.eye(2) * 12])
    np.testing.assert_array_equal(found.scores, [3, 4])
    assert (found.width, found.height, found.descriptors.dtype) == (640, 480, np.float32)
    found = read_one(
        tmp_path,
        keypoints=POINTS,
        descriptors=DESCRIPTORS,
        scales=np.array([1, 2]),
        orientations=np.array([0, np.pi / 2]),
    )
    np.testing.assert_allclose(found.shapes, [[[6, 0], [0, 6]], [[0, -12], [12, 0]]], atol=1e-5)


@pytest.mark.parametrize(("scales", "attention"), [("feature_scales", "attention"), ("scales", "scores")])
def test_delf_has_y_before_x(tmp_path: Path, scales: str, attention: str) -> None:
    arrays = {scales: np.array([0.5, 4]), attention: np.array([[120.0], [110]])}
    found = read_one(tmp_path, locations=POINTS, descriptors=DESCRIPTORS, **arrays)
    np.testing.assert_array_equal(found.points, [[0, 0], [20.25, 10.5]])
    np.testing.assert_array_equal(found.shapes, [np.eye(2) * 72.75, np.eye(2) * 582])  # 291 / 2 a scale
    np.testing.assert_array_equal(found.scores, [120, 110])
    assert read_one(tmp_path, locations=POINTS, descriptors=DESCRIPTORS).shapes is None


def test_delf_that_found_nothing(tmp_path: Path) -> None:
    nothing = np.array([])
    found = read_one(
        tmp_path, locations=nothing, descriptors=nothing, feature_scales=nothing, attention=nothing
    )
    assert len(found) == 0
    assert found.points.shape == (0, 2)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"keypoints": POINTS}, "has no array 'descriptors' for a.jpg"),
        (
            {"descriptors": DESCRIPTORS},
            "has none of the arrays 'frames', 'keypoints' and 'locations' for a.jpg",
        ),
        ({"keypoints": POINTS, "descriptors": DESCRIPTORS[0]}, r"has descriptors of shape \(4,\) for a.jpg"),
        (
            {"keypoints": POINTS, "descriptors": DESCRIPTORS[:1]},
            "has 2 keypoints and 1 descriptors for a.jpg",
        ),
        (
            {"keypoints": np.zeros((2, 3)), "descriptors": DESCRIPTORS},
            r"keypoints of shape \(2, 3\) and dtype",
        ),
        ({"frames": np.zeros((2, 3, 2)), "descriptors": DESCRIPTORS}, r"frames of shape .* \(number, 2, 3\)"),
        ({"frames": np.zeros((2, 2, 3)), "descriptors": DESCRIPTORS}, "has shapes that are no ellipses"),
        ({"keypoints": POINTS > 1, "descriptors": DESCRIPTORS}, "keypoints of shape .* and dtype bool"),
        ({"keypoints": POINTS, "descriptors": DESCRIPTORS > 1}, "has descriptors that are no numbers"),
        ({"keypoints": POINTS, "descriptors": DESCRIPTORS * np.nan}, "has descriptors that are not finite"),
        ({"keypoints": POINTS + np.inf, "descriptors": DESCRIPTORS}, "has points that are not finite"),
        (
            {"keypoints": POINTS, "descriptors": DESCRIPTORS, "scales": np.ones(3)},
            "2 keypoints and scales of",
        ),
        (
            {"keypoints": POINTS, "descriptors": DESCRIPTORS, "scores": np.ones((2, 2))},
            r"has \(2, 2\) scores",
        ),
        ({"keypoints": POINTS, "descriptors": DESCRIPTORS, "scores": np.ones(3)}, "2 keypoints and 3 scores"),
        (
            {"keypoints": POINTS, "descriptors": DESCRIPTORS, "scales": -np.ones(2)},
            "shapes that are no ellipses",
        ),
        ({"keypoints": POINTS, "descriptors": DESCRIPTORS, "orientations": np.ones(2)}, "without scales"),
        ({"keypoints": POINTS, "descriptors": DESCRIPTORS, "image_size": np.ones(3)}, "an 'image_size' that"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FeatureFileError, match=sentence) as caught:
        read_one(tmp_path, **arrays)
    assert str(caught.value).startswith(str(tmp_path / "a.jpg.npz"))


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    file = open_npz(write_archive(tmp_path / "a.jpg.npz", descriptors=DESCRIPTORS).parent)
    np.savez(tmp_path / "a.jpg.npz", keypoints=POINTS, descriptors=np.array([DESCRIPTORS, None], object))
    for content in ((tmp_path / "a.jpg.npz").read_bytes(), pickle.dumps({"keypoints": POINTS})):
        (tmp_path / "a.jpg.npz").write_bytes(content)
        with pytest.raises(FeatureFileError, match=r"has pickled objects for a\.jpg, which are not read"):
            file.read("a.jpg")


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.jpg.npz", descriptors=DESCRIPTORS)
    file = open_npz(tmp_path)
    stream = io.BytesIO()
    np.save(stream, POINTS)
    for content, sentence in (
        (b"", "is empty; copy or compute it again"),
        (stream.getvalue(), "is one array, not an archive of them; write it with numpy.savez"),
    ):
        path.write_bytes(content)
        with pytest.raises(FeatureFileError, match=sentence):
            file.read("a.jpg")
    path.unlink()
    with pytest.raises(FeatureFileError, match="There is no file of features at"):
        file.read("a.jpg")


def test_folders_without_archives(tmp_path: Path) -> None:
    with pytest.raises(FeatureFileError, match=r"has no \.npz files; name the folder that they lie in"):
        open_npz(tmp_path)
    with pytest.raises(FeatureFileError, match=r"There is no folder of \.npz files at .*; check its name"):
        open_npz(tmp_path / "nowhere")
    with pytest.raises(FeatureFileError, match=r"is not a folder of \.npz files; name the folder"):
        open_npz(write_archive(tmp_path / "a.jpg.npz", descriptors=DESCRIPTORS))
    with pytest.raises(FeatureFileError, match=r"has no features for b\.jpg"):
        open_npz(tmp_path).read("b.jpg")


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_and_damaged_files(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.jpg.npz"
    save = np.savez_compressed if compressed else np.savez
    save(path, keypoints=POINTS, descriptors=DESCRIPTORS, scales=np.ones(2))
    whole = path.read_bytes()
    file = open_npz(tmp_path)
    generator = np.random.default_rng(0)
    contents = [whole[:length] for length in np.linspace(0, len(whole) - 1, 40).astype(int)]
    for _ in range(200):
        spoilt = np.frombuffer(whole, np.uint8).copy()
        spoilt[generator.integers(0, len(whole), 3)] = generator.integers(0, 256, 3)
        contents.append(spoilt.tobytes())
    told = []
    for content in contents:
        path.write_bytes(content)
        try:
            file.read("a.jpg")
        except FeatureFileError as error:
            told.append(str(error))
    assert len(told) >= 40
    assert all(sentence.startswith(str(path)) for sentence in told)
