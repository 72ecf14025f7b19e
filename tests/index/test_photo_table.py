"""A photo table gives back the photos that it was made of."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index.samples import make_photo

from handcraft.index.photos import PhotoTable
from handcraft.types import Photo


def as_text(photo: Photo) -> str:
    """All values; NaN is equal to NaN here."""
    return repr(dataclasses.astuple(photo))


def photos() -> st.SearchStrategy[Photo]:
    degrees = st.just(float("nan")) | st.floats(-180, 180)
    times = st.just("") | st.datetimes().map(lambda time: time.isoformat(timespec="seconds"))
    return st.builds(
        Photo,
        name=st.binary(max_size=30).map(os.fsdecode),
        content_hash=st.binary(min_size=16, max_size=16),
        file_size=st.integers(0, 2**63 - 1),
        modified_ns=st.integers(-(2**63), 2**63 - 1),
        width=st.integers(1, 2**32 - 1),
        height=st.integers(1, 2**32 - 1),
        latitude=degrees,
        longitude=degrees,
        taken=times,
    )


@settings(max_examples=60)
@given(st.lists(photos(), max_size=6))
def test_photos_come_back(written: list[Photo]) -> None:
    table = PhotoTable.of(written)
    assert len(table) == len(written)
    assert table.names == [photo.name for photo in written]
    assert [as_text(table.photo(i)) for i in range(len(table))] == [as_text(photo) for photo in written]


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"\xff", "Köln/🐻.jpg".encode(), b"a" * 250, b"new\nline"])
def test_names_of_any_bytes(name: bytes) -> None:
    photo = dataclasses.replace(make_photo(0), name=os.fsdecode(name))
    table = PhotoTable.of([make_photo(1), photo, make_photo(2)])
    assert os.fsencode(table.names[1]) == name
    assert table.photo(1).name == photo.name


def test_the_camera_s_odd_time_does_no_harm() -> None:
    """EXIF is what a camera wrote: it may be no ASCII, and longer than a time."""
    table = PhotoTable.of([dataclasses.replace(make_photo(0), taken="2024年02月29日 and so on and on")])
    assert table.photo(0).taken == "2024?02?29? and so "


def test_no_photos() -> None:
    table = PhotoTable.of([])
    assert len(table) == 0
    assert table.names == []
    assert (table.content_hashes.shape, table.sizes.shape, table.places.shape) == ((0, 16), (0, 2), (0, 2))


def test_a_photo_is_the_file_that_it_names(tmp_path: Path) -> None:
    """The bytes of a name reach the file system as they came from it."""
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    (found,) = tmp_path.iterdir()
    table = PhotoTable.of([dataclasses.replace(make_photo(0), name=found.name)])
    assert (tmp_path / table.names[0]).exists()
