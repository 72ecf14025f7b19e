"""A training that is killed and begun again: the same bytes, and no level made twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from handcraft.errors import StoreError
from handcraft.options import VocabularyOptions
from handcraft.types import Fingerprint
from handcraft.vocabulary import training
from handcraft.vocabulary.checkpoints import FILE, Checkpoints, TrainingState
from handcraft.vocabulary.training import Progress, train

MakeDescriptors = Callable[..., NDArray[np.generic]]
Facts = tuple[bytes, bytes, object]

OPTIONS = VocabularyOptions(words=60, depth=3, iterations=20, tolerance=1e-3, seed=0)


class Killed(BaseException):
    """What ends a training between two of its levels, or within one."""


class KilledAfter(Checkpoints):
    """Checkpoints whose training dies after it has saved this level."""

    level: int

    def save(self, state: TrainingState) -> None:
        super().save(state)
        if state.levels == self.level:
            raise Killed


def grow(
    descriptors: NDArray[np.generic],
    checkpoints: Checkpoints | None,
    *,
    options: VocabularyOptions = OPTIONS,
    threads: int = 2,
    progress: Progress | None = None,
) -> Facts:
    """All that a training gives."""
    space = Fingerprint("test", descriptors.shape[1], str(descriptors.dtype))
    facts: dict[str, Any] = {"source": "", "photos": 1, "checkpoints": checkpoints, "progress": progress}
    tree = train(descriptors, space, options, threads=threads, **facts)
    return tree.centroids.tobytes(), tree.child_counts.tobytes(), tree.training


def kill_after(level: int, folder: Path, descriptors: NDArray[np.generic], **arguments: Any) -> None:
    """Train up to the end of a level."""
    checkpoints = KilledAfter(folder, descriptors, arguments.get("options", OPTIONS))
    checkpoints.level = level
    with pytest.raises(Killed):
        grow(descriptors, checkpoints, **arguments)


@pytest.fixture
def descriptors(distinct: MakeDescriptors) -> NDArray[np.generic]:
    """700 descriptors, twenty of them so far off that they are a word above the last level."""
    several = distinct(700) // 32
    several[100:300:10] = np.linspace(220, 255, 20)[:, None]
    return several


# --- going on ---


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("words", [5, 60])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_training_goes_on_after_its_last_level(
    dtype: str, words: int, level: int, descriptors: NDArray[np.generic], tmp_path: Path
) -> None:
    descriptors = descriptors.astype(dtype)
    options = replace(OPTIONS, words=words)
    kill_after(level, tmp_path / "training", descriptors, options=options)
    steps: list[int] = []
    checkpoints = Checkpoints(tmp_path / "training", descriptors, options)
    resumed = grow(
        descriptors, checkpoints, options=options, threads=1, progress=lambda done, _: steps.append(done)
    )
    assert resumed == grow(descriptors, None, options=options)
    assert all(done > 700 * level for done in steps)
    assert steps[-1:] == ([2100] if level < 3 else [])


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_killed_within_a_level_goes_on(
    threads: int, share: float, descriptors: NDArray[np.generic], tmp_path: Path
) -> None:
    def kill(done: int, total: int) -> None:
        if done > share * total:
            raise Killed

    checkpoints = Checkpoints(tmp_path, descriptors, OPTIONS)
    with pytest.raises(Killed):
        grow(descriptors, checkpoints, threads=threads, progress=kill)
    state = checkpoints.load()
    assert (state.levels if state else 0) == int(3 * share)
    assert grow(descriptors, Checkpoints(tmp_path, descriptors, OPTIONS)) == grow(descriptors, None)


def test_a_training_may_be_killed_again_and_again(descriptors: NDArray[np.generic], tmp_path: Path) -> None:
    for level in (1, 2, 3):
        kill_after(level, tmp_path, descriptors)
    assert grow(descriptors, Checkpoints(tmp_path, descriptors, OPTIONS)) == grow(descriptors, None)


def test_no_finished_level_is_made_again(
    descriptors: NDArray[np.generic], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_after(3, tmp_path, descriptors)
    wanted = grow(descriptors, None)
    monkeypatch.delattr(training, "kmeans")
    assert grow(descriptors, Checkpoints(tmp_path, descriptors, OPTIONS)) == wanted


def test_a_large_flat_vocabulary_goes_on(
    descriptors: NDArray[np.generic], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MAX_DIRECT", 20)
    options = replace(OPTIONS, depth=1)
    kill_after(1, tmp_path, descriptors, options=options)
    wanted = grow(descriptors, None, options=options)
    monkeypatch.delattr(training, "kmeans")
    assert grow(descriptors, Checkpoints(tmp_path, descriptors, options), options=options) == wanted


def test_a_state_is_read_as_it_was_saved(descriptors: NDArray[np.generic], tmp_path: Path) -> None:
    kill_after(2, tmp_path, descriptors)
    checkpoints = Checkpoints(tmp_path, descriptors, OPTIONS)
    state = checkpoints.load()
    assert state is not None
    assert state.levels == 2
    checkpoints.save(state)
    again = checkpoints.load()
    assert again is not None
    for name, value in vars(state).items():
        np.testing.assert_array_equal(getattr(again, name), value)
        assert np.asarray(getattr(again, name)).dtype == np.asarray(value).dtype
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


# --- what is not this training's ---


def test_there_is_no_state_before_the_first_level(descriptors: NDArray[np.generic], tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", descriptors, OPTIONS).load() is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "change", [{"words": 61}, {"depth": 4}, {"sample": 9}, {"iterations": 3}, {"tolerance": 0.2}, {"seed": 1}]
)
def test_a_training_with_other_options_begins_anew(
    change: dict[str, Any], descriptors: NDArray[np.generic], tmp_path: Path
) -> None:
    kill_after(2, tmp_path, descriptors)
    options = replace(OPTIONS, **change)
    assert Checkpoints(tmp_path, descriptors, options).load() is None
    wanted = grow(descriptors, None, options=options)
    assert grow(descriptors, Checkpoints(tmp_path, descriptors, options), options=options) == wanted


def changed(descriptors: NDArray[np.generic]) -> NDArray[np.generic]:
    other = descriptors.copy()
    other[350, 3] += 1
    return other


@pytest.mark.parametrize(
    "change",
    [changed, lambda some: some[:-1], lambda some: some[::-1], lambda some: some.astype(np.float32)],
    ids=["one number", "one less", "another order", "another type"],
)
def test_a_training_on_other_descriptors_begins_anew(
    change: Callable[[NDArray[np.generic]], NDArray[np.generic]],
    descriptors: NDArray[np.generic],
    tmp_path: Path,
) -> None:
    kill_after(2, tmp_path, descriptors)
    other = change(descriptors)
    assert Checkpoints(tmp_path, other, OPTIONS).load() is None
    assert grow(other, Checkpoints(tmp_path, other, OPTIONS)) == grow(other, None)
    assert Checkpoints(tmp_path, descriptors, OPTIONS).load() is None  # it has been replaced


# --- files that cannot be used ---


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_state_is_ignored(share: float, descriptors: NDArray[np.generic], tmp_path: Path) -> None:
    kill_after(2, tmp_path, descriptors)
    data = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(data[: int(share * len(data))])
    checkpoints = Checkpoints(tmp_path, descriptors, OPTIONS)
    assert checkpoints.load() is None
    assert grow(descriptors, checkpoints) == grow(descriptors, None)
    assert checkpoints.load() is not None


ARRAYS = ["centroids", "child_counts", "populations", "words", "errors", "node_of"]


@pytest.mark.parametrize("array", ARRAYS)
def test_a_state_without_one_of_its_arrays_is_ignored(
    array: str, descriptors: NDArray[np.generic], tmp_path: Path
) -> None:
    kill_after(2, tmp_path, descriptors)
    with h5py.File(tmp_path / FILE, "r+") as file:
        assert set(file) == set(ARRAYS)
        del file[array]
    assert Checkpoints(tmp_path, descriptors, OPTIONS).load() is None


@pytest.mark.parametrize("attribute", ["training", "levels", "settled_error"])
@pytest.mark.parametrize("value", [None, "many"])
def test_a_state_that_says_nonsense_is_ignored(
    value: str | None, attribute: str, descriptors: NDArray[np.generic], tmp_path: Path
) -> None:
    kill_after(2, tmp_path, descriptors)
    with h5py.File(tmp_path / FILE, "r+") as file:
        del file.attrs[attribute]
        if value:
            file.attrs[attribute] = value
    assert Checkpoints(tmp_path, descriptors, OPTIONS).load() is None


def test_a_damaged_header_is_ignored(descriptors: NDArray[np.generic], tmp_path: Path) -> None:
    kill_after(2, tmp_path, descriptors)
    data = bytearray((tmp_path / FILE).read_bytes())
    data[:64] = bytes(64)
    (tmp_path / FILE).write_bytes(data)
    assert Checkpoints(tmp_path, descriptors, OPTIONS).load() is None


def test_a_text_or_a_folder_in_its_place_is_ignored(descriptors: NDArray[np.generic], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("Dear reader,")
    assert Checkpoints(tmp_path, descriptors, OPTIONS).load() is None
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    assert Checkpoints(tmp_path, descriptors, OPTIONS).load() is None


def test_a_state_that_cannot_be_written_is_told(descriptors: NDArray[np.generic], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file"):
        grow(descriptors, Checkpoints(tmp_path / "file", descriptors, OPTIONS))
