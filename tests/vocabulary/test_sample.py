"""The sample that a vocabulary is trained on: in whatever order and pieces the descriptors come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from handcraft.errors import VocabularyError
from handcraft.options import VocabularyOptions
from handcraft.vocabulary import sample
from handcraft.vocabulary.sample import DescriptorSample, hash_descriptors

MakeDescriptors = Callable[..., NDArray[np.generic]]


def drawn(
    pieces: Sequence[NDArray[np.generic]], limit: int = VocabularyOptions().sample, *, seed: int = 0
) -> NDArray[np.generic]:
    """The sample of descriptors that come in these pieces."""
    waiting = DescriptorSample(min(limit, 10_000), pieces[0].shape[1], str(pieces[0].dtype), seed)
    for piece in pieces:
        waiting.add(piece)
    return waiting.descriptors()


def rows(descriptors: NDArray[np.generic]) -> list[tuple[float, ...]]:
    """The descriptors in an order of their own."""
    return sorted(map(tuple, descriptors.tolist()))


@pytest.fixture
def numbered() -> NDArray[np.uint8]:
    """4000 descriptors that count in their first two bytes."""
    descriptors = np.zeros((4000, 8), np.uint8)
    descriptors[:, :2] = np.arange(4000, dtype="<u2")[:, None].view(np.uint8)
    return descriptors


def numbers_of(descriptors: NDArray[np.generic]) -> NDArray[np.int64]:
    return descriptors[:, 0].astype(int) + 256 * descriptors[:, 1].astype(int)


# --- how many ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("limit", [300, 301, 5000])
def test_up_to_the_limit_all_are_kept(limit: int, dtype: str, distinct: MakeDescriptors) -> None:
    descriptors = distinct(300, 5, dtype=dtype)
    found = drawn([descriptors], limit)
    assert found.dtype == dtype
    assert rows(found) == rows(descriptors)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("limit", [1, 7, 299])
def test_beyond_the_limit_some_are_kept(limit: int, dtype: str, distinct: MakeDescriptors) -> None:
    descriptors = distinct(300, 5, dtype=dtype)
    found = drawn([descriptors], limit)
    assert found.shape == (limit, 5)
    assert found.dtype == dtype
    assert set(rows(found)) <= set(rows(descriptors))
    assert len(set(rows(found))) == limit


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(distinct: MakeDescriptors) -> None:
    descriptors = distinct(300)
    everything = drawn([descriptors])
    for limit in (1, 50, 299):
        np.testing.assert_array_equal(drawn([descriptors], limit), everything[:limit])


def test_all_descriptors_are_counted(distinct: MakeDescriptors) -> None:
    waiting = DescriptorSample(10, 8, "uint8")
    assert waiting.seen == 0
    for piece in np.split(distinct(300), [0, 1, 90, 90]):
        waiting.add(piece)
    assert waiting.seen == 300
    assert len(waiting.descriptors()) == 10


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_sample_of_nothing(dtype: str) -> None:
    found = drawn([np.empty((0, 5), dtype)])
    assert (found.shape, found.dtype) == ((0, 5), dtype)


# --- the same sample ---


@st.composite
def descriptors_in_pieces(draw: st.DrawFn) -> tuple[NDArray[np.generic], list[NDArray[np.generic]]]:
    """Descriptors, some of them equal, and the same ones shuffled and cut into pieces."""
    count, dimension = draw(st.integers(1, 120)), draw(st.integers(1, 10))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    highest = draw(st.sampled_from([2, 8, 256]))
    whole = generator.integers(0, highest, (count, dimension)).astype(draw(st.sampled_from(["u1", "f4"])))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=12)))
    return whole, np.split(generator.permutation(whole), cuts)


@settings(max_examples=200)
@given(case=descriptors_in_pieces(), limit=st.integers(1, 60), room=st.integers(1, 20), data=st.data())
def test_the_same_sample_in_any_order_and_any_pieces(
    case: tuple[NDArray[np.generic], list[NDArray[np.generic]]], limit: int, room: int, data: st.DataObject
) -> None:
    whole, pieces = case
    wanted = drawn([whole], limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "SLACK", room)  # so that what is too many is dropped on the way
        patch.setattr(sample, "CHUNK", data.draw(st.integers(1, room)))
        found = drawn(pieces, limit)
        again = drawn([whole], limit)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.parametrize("order", [1, -1])
def test_the_same_sample_of_ordered_descriptors(
    order: int, numbered: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = drawn([numbered], 1000)
    monkeypatch.setattr(sample, "SLACK", 50)
    monkeypatch.setattr(sample, "CHUNK", 13)
    np.testing.assert_array_equal(drawn(np.array_split(numbered[::order], 7), 1000), wanted)


def test_asking_twice_and_adding_more_changes_nothing(distinct: MakeDescriptors) -> None:
    descriptors = distinct(300)
    waiting = DescriptorSample(100, 8, "uint8")
    waiting.add(descriptors[:200])
    np.testing.assert_array_equal(waiting.descriptors(), drawn([descriptors[:200]], 100))
    waiting.add(descriptors[200:])
    np.testing.assert_array_equal(waiting.descriptors(), drawn([descriptors], 100))
    np.testing.assert_array_equal(waiting.descriptors(), drawn([descriptors], 100))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_sample_is_that_of_the_seed(dtype: str, distinct: MakeDescriptors) -> None:
    descriptors = distinct(300, dtype=dtype)
    first, again, other = (drawn([descriptors], 100, seed=seed) for seed in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert 15 < len(set(rows(first)) & set(rows(other))) < 55  # two of three are others
    whole = drawn([descriptors], seed=5), drawn([descriptors], seed=6)
    assert whole[0].tobytes() != whole[1].tobytes()  # in another order


# --- drawn evenly ---


@pytest.mark.parametrize("seed", range(5))
def test_every_descriptor_is_as_likely(seed: int, numbered: NDArray[np.uint8]) -> None:
    found = numbers_of(drawn([numbered], 1000, seed=seed))
    # The mean of 1000 of 0 to 3999 without repetition has σ = 1155 · √((4000 − 1000) / (1000 · 3999)).
    assert abs(found.mean() - 1999.5) < 5 * 31.6
    tenths = np.bincount(found // 400, minlength=10)
    assert abs(tenths - 100).max() < 5 * 8.2


def test_the_order_is_none(numbered: NDArray[np.uint8]) -> None:
    found = numbers_of(drawn([numbered]))
    assert sorted(found) == list(range(4000))
    assert abs(np.corrcoef(found, np.arange(4000))[0, 1]) < 5 / 4000**0.5
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 5 / 4000**0.5


def test_a_descriptor_counts_as_often_as_it_comes() -> None:
    descriptors = np.repeat(np.arange(5, dtype=np.uint8), [1, 10, 100, 2, 3])[:, None].repeat(4, axis=1)
    found = drawn([np.random.default_rng(0).permutation(descriptors)])
    assert np.bincount(found[:, 0]).tolist() == [1, 10, 100, 2, 3]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_equal_descriptors_keep_to_the_limit(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SLACK", 9)
    monkeypatch.setattr(sample, "CHUNK", 4)
    found = drawn([np.full((200, 3), 7, dtype), np.full((200, 3), 8, dtype)], 20)
    assert found.shape == (20, 3)
    assert len(set(rows(found))) == 1  # all of one kind go before all of the other


# --- hashes ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("dimension", [1, 3, 8, 9, 128])
def test_a_change_anywhere_changes_the_hash(dimension: int, dtype: str) -> None:
    descriptors = np.full((dimension + 1, dimension), 5, dtype)
    descriptors[range(dimension), range(dimension)] = 6
    assert len(np.unique(hash_descriptors(descriptors, np.uint64(3)))) == dimension + 1


# --- arguments ---


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_any_layout_in_memory_and_none_is_changed(dtype: str, distinct: MakeDescriptors) -> None:
    descriptors = distinct(300, 6, dtype=dtype)
    wanted = drawn([descriptors], 100)
    spaced = np.zeros((600, 12), dtype)
    spaced[::2, ::2] = descriptors
    for layout in (descriptors, np.asfortranarray(descriptors), spaced[::2, ::2]):
        layout.flags.writeable = False
        before = layout.tobytes()
        np.testing.assert_array_equal(drawn([layout], 100), wanted)
        assert layout.tobytes() == before


def test_the_sample_is_a_copy(distinct: MakeDescriptors) -> None:
    descriptors = distinct(50)
    waiting = DescriptorSample(100, 8, "uint8")
    waiting.add(descriptors)
    before = waiting.descriptors()
    descriptors[:] = 0
    waiting.descriptors()[:] = 0
    np.testing.assert_array_equal(waiting.descriptors(), before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_descriptors_that_are_no_numbers(value: float, distinct: MakeDescriptors) -> None:
    descriptors = distinct(80, dtype="float32")
    descriptors[41, 3] = value
    waiting = DescriptorSample(100, 8, "float32")
    with pytest.raises(VocabularyError) as error:
        waiting.add(descriptors)
    assert str(error.value) == "The descriptors hold NaN or infinity; leave those features out."
    assert waiting.seen == len(waiting.descriptors()) == 0


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one(limit: int) -> None:
    with pytest.raises(VocabularyError) as error:
        DescriptorSample(limit, 8, "uint8")
    assert str(error.value) == f"A sample of {limit} descriptors trains nothing; ask for 1 or more."


def test_a_limit_that_no_memory_holds() -> None:
    with pytest.raises(VocabularyError) as error:
        DescriptorSample(10**15, 128, "uint8")
    assert str(error.value) == (
        "There is no memory for a sample of 1,000,000,000,000,000 descriptors; ask for fewer with --sample."
    )
