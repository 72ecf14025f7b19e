"""Arrays go to disk and come back as read-only memory maps, or as one clear sentence."""

from __future__ import annotations

import mmap
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from permissions import a_common_user

from handcraft.errors import StoreError
from handcraft.storage.hdf5 import FORMAT, read_arrays, write_arrays

DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "S19", "S1"]
SAMPLE: dict[str, NDArray[np.generic]] = {
    "bytes": np.arange(3, dtype=np.uint8),  # an odd number, so that the next one has to be aligned
    "halves": np.linspace(-1, 1, 5).astype(np.float16),
    "names": np.array([b"one", b"", b"nineteen characters"], "S19"),
    "none": np.empty((0, 2), np.float32),
    "table": np.arange(600, dtype=np.float64).reshape(100, 3, 2),
    "wide": np.array([2**64 - 1, 0x0123456789ABCDEF], np.uint64),
}


def write_whole(path: Path, arrays: Mapping[str, NDArray[np.generic]] = SAMPLE, kind: str = "thing") -> None:
    write_arrays(path, kind, {name: [array] for name, array in arrays.items()}, {"answer": 42})


def same(found: NDArray[np.generic], written: NDArray[np.generic]) -> bool:
    return (found.dtype, found.shape, found.tobytes()) == (written.dtype, written.shape, written.tobytes())


def maps_a_file(array: NDArray[np.generic]) -> bool:
    base: object = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base is not None


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.h5"
    write_whole(path)
    return path


# --- what is written comes back ---


@st.composite
def split_arrays(draw: st.DrawFn) -> list[NDArray[np.generic]]:
    """The parts of one array: one dtype, one shape but for the first axis, some of length 0."""
    dtype = draw(st.sampled_from(DTYPES))
    lengths = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    rest = draw(st.lists(st.integers(1, 3), max_size=2))
    return [draw(hnp.arrays(dtype, (length, *rest))) for length in lengths]


@settings(max_examples=60)
@given(st.lists(split_arrays(), max_size=5))
def test_parts_come_back_joined(parts: list[list[NDArray[np.generic]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write_arrays(path, "thing", {f"array.{i}": part for i, part in enumerate(parts)}, {})
        file = read_arrays(path, "thing")
        assert set(file.arrays) == {f"array.{i}" for i in range(len(parts))}
        for i, part in enumerate(parts):
            assert same(file[f"array.{i}"], np.concatenate(part))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [0, 1, 7])
def test_every_dtype_comes_back(tmp_path: Path, dtype: str, length: int) -> None:
    content = np.frombuffer(np.random.default_rng(length).bytes(19 * 8 * length), np.uint8) % 2
    array = np.frombuffer(content.tobytes(), dtype)[:length]
    write_whole(tmp_path / "file", {"array": array})
    assert same(read_arrays(tmp_path / "file", "thing")["array"], array)


def test_the_sample_comes_back(sample: Path) -> None:
    file = read_arrays(sample, "thing")
    assert file.path == sample
    assert set(file.arrays) == set(SAMPLE)
    for name, array in SAMPLE.items():
        assert same(file[name], array), name


def test_more_arrays_than_a_small_group_holds(tmp_path: Path) -> None:
    """Beyond eight HDF5 stores a group in another way."""
    arrays = {f"{'long name' * 5} {i}": np.full(250 * i, i) for i in range(40)}
    write_whole(tmp_path / "file", arrays)
    file = read_arrays(tmp_path / "file", "thing")
    assert all(same(file[name], array) for name, array in arrays.items())


def test_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    table = np.arange(24).reshape(4, 6)
    frozen = table.copy()
    frozen.flags.writeable = False
    parts = [table.T[:, ::2], np.asfortranarray(table.T)[:, 2:], frozen.T[::-1, ::2]]
    parts = [part[:, :2] for part in parts]
    write_arrays(tmp_path / "file", "thing", {"a": parts}, {})
    assert same(read_arrays(tmp_path / "file", "thing")["a"], np.concatenate(parts))
    assert table.tolist() == np.arange(24).reshape(4, 6).tolist()


def test_a_mapped_array_may_be_written_again(sample: Path, tmp_path: Path) -> None:
    """Merging reads from one file and writes to another."""
    file = read_arrays(sample, "thing")
    write_arrays(tmp_path / "copy", "thing", {"a": [file["table"], file["table"]]}, {})
    twice = read_arrays(tmp_path / "copy", "thing")["a"]
    assert same(twice, np.concatenate([SAMPLE["table"]] * 2))


def test_attributes_come_back(tmp_path: Path) -> None:
    attributes = {"text": "√2 and\nmore", "empty": "", "whole": -(2**62), "real": 0.1, "long": "x" * 5000}
    write_arrays(tmp_path / "file", "thing", {}, attributes)
    found = read_arrays(tmp_path / "file", "thing").attributes
    assert {name: found[name] for name in attributes} == attributes
    assert {name: type(found[name]) for name in attributes} == {
        name: type(value) for name, value in attributes.items()
    }


# --- as memory maps ---


@pytest.mark.parametrize("name", sorted(SAMPLE))
def test_arrays_cannot_be_written_to(sample: Path, name: str) -> None:
    array = read_arrays(sample, "thing")[name]
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[...] = array


@pytest.mark.parametrize("name", sorted(name for name, array in SAMPLE.items() if array.size))
def test_arrays_are_mapped_not_copied(sample: Path, name: str) -> None:
    array = read_arrays(sample, "thing")[name]
    assert maps_a_file(array)
    assert type(array) is np.ndarray  # a memmap would hand its class on to every result
    place = sample.read_bytes().index(SAMPLE[name].tobytes())
    with sample.open("rb+") as file:
        file.seek(place)
        file.write(bytes(array.nbytes))
    assert array.tobytes() == bytes(array.nbytes)


@pytest.mark.parametrize("name", sorted(SAMPLE))
def test_arrays_are_aligned(sample: Path, name: str) -> None:
    """Compiled loops take an array of 8-byte numbers to start at a multiple of 8."""
    array = read_arrays(sample, "thing")[name]
    assert array.flags.aligned
    assert array.flags.c_contiguous


def test_a_reader_keeps_what_it_opened(sample: Path) -> None:
    before = read_arrays(sample, "thing")
    write_whole(sample, {"table": np.zeros((100, 3, 2))})
    assert same(before["table"], SAMPLE["table"])
    assert not read_arrays(sample, "thing")["table"].any()
    sample.unlink()
    assert same(before["table"], SAMPLE["table"])


# --- the same bytes ---


def test_the_same_arrays_make_the_same_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "a")
    time.sleep(1.1)  # HDF5's clock has seconds
    (tmp_path / "folder").mkdir()
    write_whole(tmp_path / "folder" / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "folder" / "b").read_bytes()


def test_parts_do_not_show_in_the_file(sample: Path, tmp_path: Path) -> None:
    parts = {name: [array[:1], array[1:]] for name, array in SAMPLE.items()}
    write_arrays(tmp_path / "parts", "thing", parts, {"answer": 42})
    assert (tmp_path / "parts").read_bytes() == sample.read_bytes()


def test_arrays_take_their_own_room_alone(tmp_path: Path) -> None:
    arrays = {name: np.zeros(100_000, np.uint8) for name in "abcd"}
    write_whole(tmp_path / "file", arrays)
    assert (tmp_path / "file").stat().st_size < 400_000 + 20_000


# --- files that are not whole ---


def test_a_truncated_file_is_an_error_at_every_length(sample: Path, tmp_path: Path) -> None:
    data = sample.read_bytes()
    lengths = {*range(0, 64), *range(0, len(data), 37), *range(len(data) - 64, len(data))}
    path = tmp_path / "truncated.h5"
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        with pytest.raises(StoreError) as error:
            read_arrays(path, "thing")
        message = str(error.value)
        assert str(path) in message, length
        assert re.search("truncated|damaged", message), length


def test_a_flipped_magic_number(sample: Path) -> None:
    data = bytearray(sample.read_bytes())
    for place in range(8):
        damaged = data.copy()
        damaged[place] ^= 1
        sample.write_bytes(damaged)
        with pytest.raises(StoreError) as error:
            read_arrays(sample, "thing")
        assert str(error.value) == f"{sample} is not a handcraft thing file, or its first bytes are damaged."


FLIP = """
import sys
from pathlib import Path
from handcraft.errors import StoreError
from handcraft.storage.hdf5 import read_arrays

path = Path(sys.argv[1])
data = path.read_bytes()
for place in range(len(data)):
    if data[place] or place % 16 == 0:
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        print(place, end=" ", flush=True)
        try:
            file = read_arrays(path, "thing")
            content = [file["a"].tobytes().hex(), file["b"].tobytes().hex(), file.attributes["text"]]
            print(*content, flush=True)
        except StoreError:
            print("error", flush=True)
"""


def test_a_damaged_byte_never_hangs_crashes_or_moves_an_array(tmp_path: Path) -> None:
    """Each byte in turn: an error, or the arrays, of which the damaged byte may be part."""
    a, b = np.full(5, 0xAB, np.uint8), np.full(3, 0xABABABABABABABAB, np.uint64)
    path = tmp_path / "file"
    write_arrays(path, "thing", {"a": [a], "b": [b]}, {"text": "sound"})
    command = [sys.executable, "-c", FLIP, str(path)]
    reader = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert (reader.returncode, reader.stderr) == (0, "")
    lines = reader.stdout.splitlines()
    assert sum(line.endswith(" error") for line in lines) > 100
    sound = [a.tobytes().hex(), b.tobytes().hex(), "sound"]
    for line in lines:
        place, *content = line.split()
        if content != ["error"]:
            differ = sum(
                one != other
                for found, written in zip(content, sound, strict=True)
                for one, other in zip(found, written, strict=True)
            )
            assert differ <= 2, f"byte {place}: {content}"  # two hexadecimal digits


# --- files that are something else ---


def test_another_kind_of_file(sample: Path) -> None:
    with pytest.raises(StoreError) as error:
        read_arrays(sample, "segment")
    assert str(error.value) == f"{sample} is not a handcraft segment file, it is thing."


def test_somebody_else_s_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["group/data"] = [1, 2]
    with pytest.raises(StoreError) as error:
        read_arrays(path, "thing")
    assert str(error.value) == f"{path} is not a handcraft thing file, it is something else."


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x89HDF\r\n\x1a\n", bytes(10_000)])
def test_a_file_that_is_not_hdf5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(content)
    with pytest.raises(StoreError) as error:
        read_arrays(path, "thing")
    wrong = not b"\x89HDF\r\n\x1a\n".startswith(content[:8])
    reason = (
        "not a handcraft thing file, or its first bytes are damaged"
        if wrong
        else "truncated or damaged; make it again"
    )
    assert str(error.value) == f"{path} is {reason}."


def test_a_newer_format(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        file.attrs["format"] = FORMAT + 1
    with pytest.raises(StoreError) as error:
        read_arrays(sample, "thing")
    assert str(error.value) == (
        f"{sample} has format {FORMAT + 1}, this handcraft reads up to {FORMAT}; install a newer handcraft."
    )


def test_no_format(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        del file.attrs["format"]
    with pytest.raises(StoreError, match="has format None"):
        read_arrays(sample, "thing")


def test_a_compressed_array_is_an_error(sample: Path) -> None:
    """Somebody repacked the file: its arrays can no longer be mapped."""
    with h5py.File(sample, "r+") as file:
        del file["table"]
        file.create_dataset("table", data=SAMPLE["table"], chunks=True, compression="gzip")
    with pytest.raises(StoreError):
        read_arrays(sample, "thing")


def test_an_array_that_is_missing(sample: Path) -> None:
    file = read_arrays(sample, "thing")
    with pytest.raises(StoreError) as error:
        file["other"]
    assert str(error.value) == f"{sample} is damaged: it has no array 'other'; run `handcraft check`."


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        read_arrays(tmp_path / "file", "thing")
    assert str(error.value) == f"{tmp_path / 'file'} is missing."


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read_arrays(tmp_path, "thing")


def test_a_file_without_permission(closed_folder: Path) -> None:
    path = closed_folder / "file"
    closed_folder.chmod(0o755)
    write_whole(path)
    path.chmod(0)
    with a_common_user(), pytest.raises(StoreError) as error:
        read_arrays(path, "thing")
    assert str(error.value) == f"No permission to read {path}; change its mode or your user."


def test_parts_of_two_dtypes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="the parts of a have more than one dtype"):
        write_arrays(tmp_path / "file", "thing", {"a": [np.zeros(1, np.uint8), np.zeros(1, np.uint16)]}, {})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(sample: Path, tmp_path: Path) -> None:
    before = sample.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        write_whole(sample, {"objects": np.array([{}, {}], object)})
    assert sample.read_bytes() == before
    assert list(tmp_path.iterdir()) == [sample]


def test_what_is_let_go_can_still_be_read(sample: Path) -> None:
    file = read_arrays(sample, "thing")
    before = {name: array.copy() for name, array in file.arrays.items()}
    file.let_go()
    sample.unlink()
    for name, array in before.items():
        np.testing.assert_array_equal(file[name], array)
