"""Segments: built, merged, written, read and checked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.samples import VOCABULARY_SIZE, make_features, make_photo, make_segment, photos, same_bits

from handcraft.errors import HandcraftError, StoreError
from handcraft.index.postings import Postings
from handcraft.index.segment import (
    MAX_PHOTOS,
    Segment,
    build_segment,
    check_segment,
    merge_segments,
    read_segment,
    write_segment,
)

SAMPLE = [[3, 1, 1, 7], [], [1, 0, 11, 11], [7]]


def arrays(segment: Segment) -> dict[str, np.ndarray]:
    """All arrays of a segment by name."""
    return {
        f"{part}.{field.name}": getattr(getattr(segment, part), field.name)
        for part in ("photos", "postings", "geometry")
        for field in dataclasses.fields(getattr(segment, part))
    }


def equal(a: Segment, b: Segment) -> bool:
    return all(same_bits(array, arrays(b)[name]) for name, array in arrays(a).items())


def changed(segment: Segment, name: str, array: np.ndarray) -> Segment:
    part, field = name.split(".")
    return dataclasses.replace(
        segment, **{part: dataclasses.replace(getattr(segment, part), **{field: array})}
    )


# --- build ---


def test_a_segment_holds_what_it_was_built_of() -> None:
    segment = make_segment(SAMPLE)
    assert len(segment) == 4
    assert segment.photos.names == [make_photo(i).name for i in range(4)]
    assert [segment.geometry.words_of(i).tolist() for i in range(4)] == [sorted(words) for words in SAMPLE]
    assert segment.postings.words.tolist() == [0, 1, 3, 7, 11]


def test_a_segment_holds_65536_photos_and_no_more() -> None:
    photo, features, words = make_photo(0), make_features(0, 0), np.empty(0, np.int32)
    count = MAX_PHOTOS + 1
    with pytest.raises(StoreError) as error:
        build_segment([photo] * count, [features] * count, [words] * count, VOCABULARY_SIZE)
    assert str(error.value) == "A segment holds at most 65536 photos, not 65537."


def test_merging_makes_no_segment_of_more_photos() -> None:
    count = MAX_PHOTOS // 2 + 1
    half = build_segment(
        [make_photo(0)] * count,
        [make_features(0, 0)] * count,
        [np.empty(0, np.int32)] * count,
        VOCABULARY_SIZE,
    )
    alive = np.ones(count, np.bool_)
    with pytest.raises(StoreError, match="at most 65536 photos, not 65538"):
        merge_segments([half, half], [alive, alive], VOCABULARY_SIZE, None)


@pytest.mark.parametrize("word", [VOCABULARY_SIZE, 2**31 - 1, -1])
def test_a_word_that_the_vocabulary_does_not_have(word: int) -> None:
    with pytest.raises((HandcraftError, ValueError)):
        make_segment([[0], [word]])


# --- sums ---


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize("collection", [SAMPLE, [[1]], []])
def test_sums_of_photos_are_told_from_those_of_others(
    number: type[np.floating], collection: list[list[int]]
) -> None:
    segment = make_segment(collection)
    sums = segment.sums(number)
    assert same_bits(sums, np.zeros(len(collection) + 1, number))
    sums[:-1] = np.arange(len(collection)) - 1
    assert same_bits(segment.of_photos(sums), (np.arange(len(collection)) - 1).astype(number))
    for others in (1, -0.25, 1e-30, np.inf, np.nan):
        sums[-1] = others
        with pytest.raises(StoreError) as error:
            segment.of_photos(sums)
        assert str(error.value) == (
            "The store is damaged: a segment votes for a photo that it does not hold; run `handcraft check`."
        )


# --- merge ---


@given(photos(), st.lists(st.integers(0, 8), max_size=3), st.sets(st.integers(0, 7)))
def test_merging_is_building_the_live_photos_at_once(
    collection: list[list[int]], cuts: list[int], dead: set[int]
) -> None:
    ends = [0, *sorted(min(cut, len(collection)) for cut in cuts), len(collection)]
    segments, live = [], []
    for start, end in itertools.pairwise(ends):
        segments.append(make_segment(collection[start:end], start))
        live.append(np.array([i not in dead for i in range(start, end)], np.bool_))
    merged = merge_segments(segments, live, VOCABULARY_SIZE, None)
    alive = [i for i in range(len(collection)) if i not in dead]
    parts = [make_segment([collection[i]], i) for i in alive]
    at_once = make_segment([])
    if parts:
        at_once = merge_segments(parts, [np.ones(1, np.bool_)] * len(parts), VOCABULARY_SIZE, None)
    assert equal(merged, at_once)
    assert merged.photos.names == [make_photo(i).name for i in alive]
    assert [merged.geometry.words_of(i).tolist() for i in range(len(alive))] == [
        sorted(collection[i]) for i in alive
    ]
    assert check_segment(merged, VOCABULARY_SIZE) == []


@given(photos(), st.integers(0, 8))
def test_merging_two_halves_is_building_the_whole(collection: list[list[int]], cut: int) -> None:
    halves = [make_segment(collection[:cut]), make_segment(collection[cut:], min(cut, len(collection)))]
    live = [np.ones(len(half), np.bool_) for half in halves]
    assert equal(merge_segments(halves, live, VOCABULARY_SIZE, None), make_segment(collection))


def test_merging_leaves_its_segments_as_they_were() -> None:
    segment = make_segment(SAMPLE)
    before = {name: array.copy() for name, array in arrays(segment).items()}
    merge_segments([segment, segment], [np.ones(4, np.bool_), np.zeros(4, np.bool_)], VOCABULARY_SIZE, None)
    assert all(same_bits(array, before[name]) for name, array in arrays(segment).items())


# --- disk ---


@settings(max_examples=25)
@given(collection=photos())
def test_segments_come_back(collection: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("segment") / "000001.index.h5"
    segment = make_segment(collection)
    write_segment(path, segment, {"vocabulary": "abc"})
    found = read_segment(path, VOCABULARY_SIZE, {"vocabulary": "abc"})
    assert equal(found, segment)
    assert check_segment(found, VOCABULARY_SIZE) == []
    assert [repr(found.photos.photo(i)) for i in range(len(found))] == [
        repr(make_photo(i)) for i in range(len(found))
    ]


def test_a_segment_from_disk_merges(tmp_path: Path) -> None:
    write_segment(tmp_path / "a", make_segment(SAMPLE), {})
    segment = read_segment(tmp_path / "a", VOCABULARY_SIZE, {})
    alive = np.array([True, False, True, True])
    write_segment(tmp_path / "b", merge_segments([segment], [alive], VOCABULARY_SIZE, None), {})
    found = read_segment(tmp_path / "b", VOCABULARY_SIZE, {})
    assert found.photos.names == [make_photo(i).name for i in (0, 2, 3)]
    assert check_segment(found, VOCABULARY_SIZE) == []


def test_a_segment_without_one_of_its_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from handcraft.index import segment as module

    segment = make_segment(SAMPLE)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_PARTS", {k: v for k, v in module._PARTS.items() if k != "postings"})
        write_segment(tmp_path / "file", segment, {})
    with pytest.raises(StoreError, match=r"has no array 'postings\.words'"):
        read_segment(tmp_path / "file", VOCABULARY_SIZE, {})


MISFITS = {
    "photos.sizes": (lambda a: a[:-1], "the columns of the photo table differ in length"),
    "photos.name_ends": (lambda a: a[::-1], "the names of the photo table do not fit it"),
    "geometry.offsets": (lambda a: a[::-1], "the geometry does not fit the photo table"),
    "geometry.shapes": (lambda a: a[:-1], "the columns of the geometry differ in length"),
    "postings.words": (
        lambda a: a[::-1],
        "the words of the postings are out of order or out of the vocabulary",
    ),
    "postings.offsets": (lambda a: a[::-1], "the postings do not fit their words"),
    "postings.frequencies": (lambda a: a[:-1], "the columns of the postings differ in length"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_segment_whose_parts_do_not_fit_is_not_opened(name: str, tmp_path: Path) -> None:
    """Compiled loops trust these numbers: what is damaged must not reach them."""
    change, misfit = MISFITS[name]
    segment = make_segment(SAMPLE)
    path = tmp_path / "000001.index.h5"
    write_segment(path, changed(segment, name, change(arrays(segment)[name])), {})
    with pytest.raises(StoreError) as error:
        read_segment(path, VOCABULARY_SIZE, {})
    assert str(error.value) == f"{path} is damaged: {misfit}; run `handcraft check`."


def test_a_segment_with_words_of_a_larger_vocabulary_is_not_opened(tmp_path: Path) -> None:
    write_segment(tmp_path / "file", make_segment(SAMPLE), {})
    with pytest.raises(StoreError, match="out of the vocabulary; run `handcraft check`"):
        read_segment(tmp_path / "file", 11, {})


def test_a_segment_that_ends_early(tmp_path: Path) -> None:
    """At every 4 KiB."""
    path = tmp_path / "000001.index.h5"
    write_segment(path, make_segment([words * 300 for words in SAMPLE]), {})
    content = path.read_bytes()
    assert len(content) > 40_000
    for size in {*range(0, len(content), 4096), len(content) - 1}:
        path.write_bytes(content[:size])
        with pytest.raises(StoreError) as error:
            read_segment(path, VOCABULARY_SIZE, {})
        assert str(path) in str(error.value)


def test_a_segment_of_another_vocabulary_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "000001.index.h5"
    write_segment(path, make_segment(SAMPLE), {"vocabulary": "abc", "fingerprint": "rootsift"})
    read_segment(path, VOCABULARY_SIZE, {"fingerprint": "rootsift"})
    with pytest.raises(StoreError) as error:
        read_segment(path, VOCABULARY_SIZE, {"fingerprint": "rootsift", "vocabulary": "abd"})
    assert str(error.value) == (
        f"{path} is of another store: its vocabulary is abc, not abd; run `handcraft check`."
    )


# --- check ---


def shift(array: np.ndarray) -> np.ndarray:
    """The same array but for its last value."""
    array = array.copy()
    flat = array.reshape(-1)
    flat[-1] = flat[-1] + 1
    return array


@pytest.mark.parametrize("collection", [SAMPLE, [], [[]], [[], []]])
def test_a_sound_segment_has_no_problem(collection: list[list[int]]) -> None:
    assert check_segment(make_segment(collection), VOCABULARY_SIZE) == []


@pytest.mark.parametrize("name", ["words", "offsets", "photo_ids", "frequencies"])
@pytest.mark.parametrize("change", [shift, lambda array: array[:-1], lambda array: array[::-1]])
def test_postings_that_changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    segment = make_segment(SAMPLE)
    name = f"postings.{name}"
    (problem,) = check_segment(changed(segment, name, change(arrays(segment)[name])), VOCABULARY_SIZE)
    assert "postings" in problem


def test_photo_ids_out_of_order() -> None:
    segment = make_segment(SAMPLE)
    start = int(segment.postings.offsets[1])  # of word 1, in photos 0 and 2
    ids = segment.postings.photo_ids.copy()
    assert ids[start : start + 2].tolist() == [0, 2]
    ids[start : start + 2] = 2, 0
    problems = check_segment(changed(segment, "postings.photo_ids", ids), VOCABULARY_SIZE)
    assert problems == ["the postings' photo_ids disagree with the geometry"]


@pytest.mark.parametrize("vocabulary_size", [0, 1, 11])
def test_a_word_out_of_range(vocabulary_size: int) -> None:
    segment = make_segment(SAMPLE)
    problems = check_segment(segment, vocabulary_size)
    assert problems == ["the words of the postings are out of order or out of the vocabulary"]
    none = Postings.of(make_segment([]).geometry, VOCABULARY_SIZE)
    problems = check_segment(Segment(segment.photos, none, segment.geometry), vocabulary_size)
    assert problems == ["a feature has a word that the vocabulary does not have"]


def test_words_out_of_order_within_a_photo() -> None:
    """What is searched is postings; what is verified is the geometry, which is merged by word."""
    segment = make_segment([[1, 2], [2]])
    problems = check_segment(
        changed(segment, "geometry.words", np.array([2, 1, 2], np.uint32)), VOCABULARY_SIZE
    )
    assert problems != []


@pytest.mark.parametrize("name", sorted(arrays(make_segment(SAMPLE))))
@pytest.mark.parametrize("change", [-1, 1])
def test_an_array_of_another_length(name: str, change: int) -> None:
    segment = make_segment(SAMPLE)
    array = arrays(segment)[name]
    other = array[:-1] if change < 0 else np.concatenate([array, array[-1:]])
    assert check_segment(changed(segment, name, other), VOCABULARY_SIZE) != []


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 9, 4, 8, 9],  # not ascending
        [0, 2**63, 4, 8, 9],  # far outside
        [0, 2**40, 2**40, 2**40, 9],
        [1, 4, 4, 8, 9],  # not from 0
        [0, 4, 4, 8, 8],
        [0, 4, 4, 8, 10],
        [0, 4, 4, 9],
    ],
)
def test_offsets_that_do_not_fit(offsets: list[int]) -> None:
    segment = make_segment(SAMPLE)
    assert segment.geometry.offsets.tolist() == [0, 4, 4, 8, 9]
    damaged = changed(segment, "geometry.offsets", np.array(offsets, np.uint64))
    assert check_segment(damaged, VOCABULARY_SIZE) != []


def test_names_that_do_not_fit() -> None:
    segment = make_segment(SAMPLE)
    ends = segment.photos.name_ends
    for other in (ends[::-1], ends + np.uint64(1), ends * np.uint64(2**40)):
        assert check_segment(changed(segment, "photos.name_ends", other), VOCABULARY_SIZE) != []
