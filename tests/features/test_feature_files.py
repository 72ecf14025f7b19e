"""Features kept on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handcraft.errors import StoreError
from handcraft.features.files import copy_features, read_features, write_features
from handcraft.types import Features, Fingerprint

SIFT = Fingerprint("sift-rootsift", 128, "uint8", {"max_size": 1024})
LEARNED = Fingerprint("learned", 3, "float32")


def some_features(counts: Sequence[int], space: Fingerprint = SIFT, seed: int = 0) -> list[Features]:
    """Features of photos that hold these numbers of them."""
    generator = np.random.default_rng(seed)
    return [
        Features(
            generator.normal(size=(count, 2, 3)).astype(np.float32),
            (255 * generator.random((count, space.dimension))).astype(space.dtype),
            width=100 + place,
            height=70_000 + place,
        )
        for place, count in enumerate(counts)
    ]


def assert_same(actual: Features, wanted: Features) -> None:
    assert actual.frames.dtype == wanted.frames.dtype
    assert actual.descriptors.dtype == wanted.descriptors.dtype
    np.testing.assert_array_equal(actual.frames, wanted.frames)
    np.testing.assert_array_equal(actual.descriptors, wanted.descriptors)
    assert (actual.width, actual.height) == (wanted.width, wanted.height)


@pytest.mark.parametrize("space", [SIFT, LEARNED])
@pytest.mark.parametrize("counts", [[3], [3, 0, 5], [0, 0], [0], [], [2000, 1, 7]])
def test_what_is_written_is_read(counts: list[int], space: Fingerprint, tmp_path: Path) -> None:
    features = some_features(counts, space)
    write_features(tmp_path / "features.h5", features, space)
    kept = read_features(tmp_path / "features.h5")
    assert len(kept) == len(counts)
    assert np.diff(kept.offsets).tolist() == counts
    assert kept.descriptors.shape == (sum(counts), space.dimension)
    assert kept.descriptors.dtype == space.dtype
    assert kept.frames.shape == (sum(counts), 2, 3)
    for local_id, wanted in enumerate(features):
        assert_same(kept.features(local_id), wanted)


def test_the_same_features_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        write_features(tmp_path / name, some_features([4, 0, 9]), SIFT)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    write_features(tmp_path / "features.h5", some_features([4]), SIFT)
    write_features(tmp_path / "features.h5", some_features([5]), SIFT)
    assert [path.name for path in tmp_path.iterdir()] == ["features.h5"]
    assert len(read_features(tmp_path / "features.h5").frames) == 5


def test_what_is_read_cannot_be_changed(tmp_path: Path) -> None:
    write_features(tmp_path / "features.h5", some_features([4]), SIFT)
    with pytest.raises(ValueError, match="read-only"):
        read_features(tmp_path / "features.h5").features(0).frames[0, 0, 0] = 1


# --- copying the live photos ---


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(segments=st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=6), max_size=3))
def test_copying_the_live_is_writing_the_live(segments: list[list[tuple[int, bool]]], tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sources, masks, live = [], [], []
    for place, segment in enumerate(segments):
        features = some_features([count for count, _ in segment], LEARNED, seed=place)
        write_features(folder / f"{place}.h5", features, LEARNED)
        sources.append(read_features(folder / f"{place}.h5"))
        masks.append(np.array([alive for _, alive in segment], bool))
        live += [photo for photo, (_, alive) in zip(features, segment, strict=True) if alive]
    copy_features(folder / "copied.h5", sources, masks, LEARNED)
    write_features(folder / "written.h5", live, LEARNED)
    assert (folder / "copied.h5").read_bytes() == (folder / "written.h5").read_bytes()


def test_copying_leaves_the_sources_alone(tmp_path: Path) -> None:
    write_features(tmp_path / "source.h5", some_features([4, 2, 3]), SIFT)
    before = (tmp_path / "source.h5").read_bytes()
    alive = np.array([True, False, True])
    copy_features(tmp_path / "copy.h5", [read_features(tmp_path / "source.h5")], [alive], SIFT)
    assert (tmp_path / "source.h5").read_bytes() == before
    assert alive.tolist() == [True, False, True]
    copied = read_features(tmp_path / "copy.h5")
    assert_same(copied.features(1), some_features([4, 2, 3])[2])


def test_every_source_needs_its_mask(tmp_path: Path) -> None:
    write_features(tmp_path / "source.h5", some_features([4]), SIFT)
    with pytest.raises(ValueError, match="zip"):
        copy_features(tmp_path / "copy.h5", [read_features(tmp_path / "source.h5")], [], SIFT)
    assert not (tmp_path / "copy.h5").exists()


# --- files that cannot be used ---


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.999])
def test_a_truncated_file(share: float, tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    write_features(path, some_features([40, 20]), SIFT)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(StoreError) as error:
        read_features(path)
    assert str(error.value) == f"{path} is truncated or damaged; make it again."


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"features\.h5 is missing"):
        read_features(tmp_path / "features.h5")


def test_features_are_not_written_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        write_features(tmp_path / "missing" / "features.h5", some_features([4]), SIFT)
