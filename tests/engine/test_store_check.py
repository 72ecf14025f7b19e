"""Saying what a store holds, proving it whole, and what is said of a damaged one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from photographs import SCENES, save, scene, segment_bytes

import handcraft
from handcraft.errors import StoreError
from handcraft.options import IndexOptions
from handcraft.storage.manifest import FileEntry

PHOTOS = SCENES + 2
FILES = ["000001.index.h5", "000001.signatures.h5", "000001.features.h5", "vocabulary"]


def change_manifest(store: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = store / "manifest.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


# --- a whole store ---


def test_a_whole_store_has_no_problems(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    report = store.check()
    assert report.problems == ()
    assert report.photos == PHOTOS
    files = [path for path in store.path.rglob("*") if path.suffix in (".h5", ".json")]
    assert report.files == len(files) == 5
    sizes = {path.name: path.stat().st_size for path in files if path.suffix == ".h5"}
    assert report.bytes == sum(sizes.values())


def test_check_counts_live_photos(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    store.remove(own / "photos" / "scene-0.jpg")
    report = store.check()
    assert (report.photos, report.problems) == (PHOTOS - 1, ())


def test_check_tells_its_progress(own: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    handcraft.open(own / ".handcraft").check(progress=lambda *step: steps.append(step))
    assert [done for _, done, _ in steps] == [0, 1, 2, 3, 4]
    assert {(stage, total) for stage, _, total in steps} == {("checking", 4)}


def test_info_says_what_the_store_holds(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    store.add(save(scene(40), own / "more.jpg"))
    store.remove(own / "photos" / "scene-0.jpg")
    facts = store.info()
    assert (facts.store, facts.root) == (own / ".handcraft", own)
    assert facts.methods == {
        "asmk": {"bits": 128, "aggregated": True, "binary": True, "medians": False},
        "bow": {},
    }
    assert list(facts.methods) == ["asmk", "bow"]
    assert facts.photos == PHOTOS
    assert facts.fingerprint.startswith("hessian-affine-rootsift (128 x uint8")
    assert facts.words == store.snapshot.vocabulary.words
    assert 0 < facts.words_used < facts.words
    assert facts.bytes == store.check().bytes
    assert [(s.number, s.photos, s.removed) for s in facts.segments] == [(1, PHOTOS - 1, 1), (2, 1, 0)]
    first = facts.segments[0]
    assert first.features >= first.entries > 0
    sizes = {name: len(data) for name, data in segment_bytes(store.path).items()}
    assert first.index_bytes == sizes["000001.index.h5"]
    assert first.signatures_bytes == sizes["000001.signatures.h5"]
    assert first.features_bytes == sizes["000001.features.h5"]


def test_every_commit_counts_a_generation(own: Path) -> None:
    store = handcraft.open(own / "another")
    store.add(own / "photos", options=IndexOptions(photos_per_commit=5))
    before = store.info().generation
    store.add(own / "photos")
    assert store.info().generation == before
    store.remove(own / "photos" / "scene-0.jpg")
    store.optimize()
    assert store.info().generation == before + 2


# --- damage that check finds ---


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_check_finds_a_flipped_byte(own: Path, name: str, where: str) -> None:
    store = handcraft.open(own / ".handcraft")
    (path,) = store.path.rglob(f"{name}*")
    size = path.stat().st_size
    flip(path, {"first": 0, "middle": size // 2, "last": size - 1}[where])
    (problem,) = store.check().problems
    assert problem == f"{path} has changed since it was written: its checksum differs."


@pytest.mark.parametrize("name", FILES)
def test_check_finds_a_missing_file(own: Path, name: str) -> None:
    store = handcraft.open(own / ".handcraft")
    (path,) = store.path.rglob(f"{name}*")
    path.unlink()
    assert store.check().problems == (f"{path} is missing.",)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", [0, 1000, -1])
def test_check_finds_a_truncated_file(own: Path, name: str, left: int) -> None:
    store = handcraft.open(own / ".handcraft")
    (path,) = store.path.rglob(f"{name}*")
    data = path.read_bytes()
    path.write_bytes(data[:left])
    assert store.check().problems == (f"{path} has {len(data[:left])} bytes instead of {len(data)}.",)


def test_check_finds_every_problem(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    store.add(save(scene(41), own / "more.jpg"))
    segments = store.path / "segments"
    (segments / "000001.index.h5").unlink()
    flip(segments / "000002.features.h5", 3000)
    assert [problem.split(" ")[0] for problem in store.check().problems] == [
        str(segments / "000001.index.h5"),
        str(segments / "000002.features.h5"),
    ]


def test_check_looks_into_files_whose_bytes_are_as_written(own: Path) -> None:
    """Postings that disagree with the geometry, though every checksum is right."""
    store = handcraft.open(own / ".handcraft")
    path = store.path / "segments" / "000001.index.h5"
    with h5py.File(path, "r+") as file:
        frequencies = file["postings.frequencies"][...]
        frequencies[7] += 1
        file["postings.frequencies"][...] = frequencies
    entry = FileEntry.of(store.path, path)

    def replace_entry(data: dict[str, Any]) -> None:
        data["segments"][0]["index"] = {"name": entry.name, "size": entry.size, "sha256": entry.sha256}

    change_manifest(store.path, replace_entry)
    assert store.check().problems == (f"{path}: the postings' frequencies disagree with the geometry.",)


def test_check_finds_a_wrong_number_of_photos(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    change_manifest(store.path, lambda data: data["segments"][0].update(photos=PHOTOS + 1))
    (problem,) = store.check().problems
    assert problem.endswith(f"holds {PHOTOS} photos, the manifest says {PHOTOS + 1}.")


def test_check_reads_features_of_the_right_segment(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    store.add(save(scene(42), own / "more.jpg"))

    def swap(data: dict[str, Any]) -> None:
        one, two = data["segments"]
        one["features"], two["features"] = two["features"], one["features"]

    change_manifest(store.path, swap)
    problems = store.check().problems
    assert len(problems) == 2
    assert all("does not fit" in problem for problem in problems)


# --- what a damaged store says to a reader ---


def ask_everything(own: Path) -> list[str]:
    """The sentences with which reading a store fails."""
    sentences = []
    for ask in (
        lambda: handcraft.open(own / ".handcraft").query(own / "query.jpg"),
        lambda: handcraft.open(own / ".handcraft").info(),
        lambda: handcraft.open(own / ".handcraft").add(own / "photos"),
        lambda: handcraft.open(own / ".handcraft").optimize(),
        lambda: handcraft.open(own / ".handcraft").remove(own / "photos" / "scene-0.jpg"),
    ):
        with pytest.raises(StoreError) as error:
            ask()
        sentences.append(str(error.value))
    return sentences


def test_a_store_of_a_newer_format(own: Path) -> None:
    before = segment_bytes(own / ".handcraft")
    change_manifest(own / ".handcraft", lambda data: data.update(format=4, something="new"))
    expected = (
        f"The store {own / '.handcraft'} has format 4, this handcraft reads up to 3; "
        "install a newer handcraft."
    )
    assert set(ask_everything(own)) == {expected}
    with pytest.raises(StoreError, match="install a newer handcraft"):
        handcraft.open(own / ".handcraft").check()
    assert segment_bytes(own / ".handcraft") == before


@pytest.mark.parametrize("part", ["index", "signatures"])
def test_a_segment_of_a_newer_format(own: Path, part: str) -> None:
    path = own / ".handcraft" / "segments" / f"000001.{part}.h5"
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 2
    size = path.stat().st_size
    change_manifest(own / ".handcraft", lambda data: data["segments"][0][part].update(size=size))
    assert set(ask_everything(own)) == {
        f"{path} has format 2, this handcraft reads up to 1; install a newer handcraft."
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format": 1}',
        '{"format": "1"}',
        '{"format": 1, "segments": 3}',
        "\x00\x01",
        "\udcff",
    ],
)
def test_a_damaged_manifest(own: Path, text: str) -> None:
    path = own / ".handcraft" / "manifest.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    sentences = {*ask_everything(own)}
    assert len(sentences) == 1
    assert sentences.pop().startswith((f"{path} is damaged; ", f"The store {own / '.handcraft'} has format"))
    assert len(segment_bytes(own / ".handcraft")) == 3  # nothing was swept away


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["fingerprint"].update(colour="red"),
        lambda data: data["fingerprint"]["parameters"].update(colour="red"),
        lambda data: data["fingerprint"].update(parameters=None),
        lambda data: data["vocabulary"].update(name=None),
        lambda data: data["vocabulary"].update(size="many"),
        lambda data: data["segments"][0].update(removed=[99999]),
        lambda data: data["segments"][0].pop("features"),
        lambda data: data["segments"][0].pop("signatures"),
        lambda data: data["segments"][0].update(signatures=None),
        lambda data: data.update(root=None),
        lambda data: data.update(methods={}),
        lambda data: data["methods"].update(asmk={"colour": "red"}),
        lambda data: data["methods"].update(asmk={"bits": "many"}),
        lambda data: data["methods"].update(asmk={"bits": 64}),
    ],
    ids=[
        *("fingerprint", "parameter", "parameters", "name", "size", "removed", "features", "signatures"),
        *("no signatures", "root", "methods", "option", "bits", "other bits"),
    ],
)
def test_a_manifest_with_nonsense_in_it_is_a_sentence_for_a_reader(
    own: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    change_manifest(own / ".handcraft", change)
    with pytest.raises(StoreError):
        handcraft.open(own / ".handcraft").query(own / "query.jpg")


@pytest.mark.parametrize("name", ["000001.index.h5", "000001.signatures.h5", "vocabulary"])
def test_a_missing_file_is_named(own: Path, name: str) -> None:
    (path,) = (own / ".handcraft").rglob(f"{name}*")
    path.unlink()
    assert set(ask_everything(own)) == {f"{path} is missing; run `handcraft check`."}


@pytest.mark.parametrize("part", ["index", "signatures"])
def test_a_truncated_segment_is_named(own: Path, part: str) -> None:
    path = own / ".handcraft" / "segments" / f"000001.{part}.h5"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    expected = f"{path} has {size // 2} bytes instead of {size}; run `handcraft check`."
    assert set(ask_everything(own)) == {expected}


def test_a_writer_sweeps_nothing_of_a_store_that_it_cannot_read(own: Path) -> None:
    change_manifest(own / ".handcraft", lambda data: data.update(format=9))
    (own / ".handcraft" / "segments" / "000009.index.h5").write_bytes(b"of the newer handcraft")
    ask_everything(own)
    assert (own / ".handcraft" / "segments" / "000009.index.h5").exists()


@pytest.mark.parametrize(("part", "arrays"), [("index", 16), ("signatures", 3)])
def test_a_damaged_header_is_a_sentence(own: Path, part: str, arrays: int) -> None:
    """HDF5 proves its own headers; what it finds must reach the user as a sentence."""
    path = own / ".handcraft" / "segments" / f"000001.{part}.h5"
    with h5py.File(path) as file:
        names = list(file)
    data = path.read_bytes()
    places = [data.index(name.encode()) for name in names]
    assert len(set(places)) == arrays
    for place in (0, 9, *places):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"damaged"):
            handcraft.open(own / ".handcraft").query(own / "query.jpg")


def test_missing_features_are_no_matter_to_a_reader(own: Path) -> None:
    (own / ".handcraft" / "segments" / "000001.features.h5").unlink()
    store = handcraft.open(own / ".handcraft")
    assert len(store.query(own / "query.jpg").hits) == PHOTOS
    with pytest.raises(StoreError, match=r"000001\.features\.h5 is missing; run `handcraft check`"):
        store.build_vocabulary(own / "photos", handcraft.VocabularyOptions(words=50))


def test_a_file_with_another_name_is_not_read_as_a_segment(own: Path) -> None:
    segments = own / ".handcraft" / "segments"
    path = segments / "000001.index.h5"
    data = (segments / "000001.features.h5").read_bytes()
    path.write_bytes(data)
    change_manifest(own / ".handcraft", lambda d: d["segments"][0]["index"].update(size=len(data)))
    with pytest.raises(StoreError, match=r"is not a handcraft segment file, it is features"):
        handcraft.open(own / ".handcraft").query(own / "query.jpg")
