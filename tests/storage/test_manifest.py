"""The manifest comes back as it was written, or as one clear sentence."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from permissions import a_common_user

from handcraft.errors import StoreError
from handcraft.storage.manifest import (
    FORMAT,
    MANIFEST_FILE,
    FileEntry,
    Manifest,
    SegmentEntry,
    read_manifest,
    write_manifest,
)
from handcraft.types import Fingerprint

VOCABULARY = FileEntry("vocabulary-000001.h5", 8_000_000, "ab" * 32)
FINGERPRINT = Fingerprint("rootsift", 128, "uint8", {"detector": "sift", "max_size": 1024, "upright": False})
SAMPLE = Manifest(
    root="..",
    fingerprint=FINGERPRINT,
    vocabulary=VOCABULARY,
    methods={"asmk": {"bits": 64, "aggregated": False}, "bow": {}},
    vlad=FileEntry("vlad-000001.h5", 7, "07"),
    segments=(
        SegmentEntry(
            1,
            500,
            FileEntry("segments/000001.index.h5", 1, "01"),
            FileEntry("segments/s", 5, "05"),
            FileEntry("segments/v", 6, "06"),
            FileEntry("segments/f", 2, "02"),
            (3, 7),
        ),
        SegmentEntry(4, 2, FileEntry("segments/000004.index.h5", 3, "03"), None, None, None),
    ),
    generation=9,
    next_segment=5,
)
DAMAGED = "{path} is damaged; index the photos again into a new store."


def file_names() -> st.SearchStrategy[str]:
    """Names as the file system gives them, those that are no UTF-8 included."""
    return st.binary(min_size=1, max_size=20).map(os.fsdecode)


def file_entries() -> st.SearchStrategy[FileEntry]:
    return st.builds(FileEntry, file_names(), st.integers(0, 2**63), st.text("0123456789abcdef", max_size=64))


def manifests() -> st.SearchStrategy[Manifest]:
    values = st.one_of(
        st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
    )
    segments = st.integers(0, 65536).flatmap(
        lambda photos: st.builds(
            SegmentEntry,
            st.integers(1, 10**6),
            st.just(photos),
            file_entries(),
            st.none() | file_entries(),
            st.none() | file_entries(),
            st.none() | file_entries(),
            st.sets(st.integers(0, photos - 1), max_size=4).map(sorted).map(tuple) if photos else st.just(()),
        )
    )
    return st.builds(
        Manifest,
        root=file_names(),
        fingerprint=st.builds(
            Fingerprint,
            st.text(),
            st.integers(1, 4096),
            st.text(),
            st.dictionaries(st.text(), values, max_size=4),
        ),
        vocabulary=file_entries(),
        methods=st.dictionaries(
            st.text(), st.dictionaries(st.text(), values, max_size=3), min_size=1, max_size=3
        ),
        vlad=st.none() | file_entries(),
        segments=st.lists(segments, max_size=4).map(tuple),
        generation=st.integers(0, 10**12),
        next_segment=st.integers(1, 10**6),
    )


@settings(max_examples=60)
@given(manifests())
def test_manifests_come_back(manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder), manifest)
        found = read_manifest(Path(folder))
    assert found == manifest
    types = {name: type(value) for name, value in manifest.fingerprint.parameters.items()}
    assert {name: type(value) for name, value in found.fingerprint.parameters.items()} == types
    assert hash(found.segments) == hash(manifest.segments)  # tuples, not lists
    assert list(found.methods) == list(manifest.methods)  # the first is the one that a query votes by


def test_the_sample_comes_back(tmp_path: Path) -> None:
    write_manifest(tmp_path, SAMPLE)
    assert read_manifest(tmp_path) == SAMPLE


@pytest.mark.parametrize(
    "name", [b"caf\xe9", b"\xff\xfe\x80", "K\N{LATIN SMALL LETTER O WITH DIAERESIS}ln \N{BEAR FACE}".encode()]
)
def test_a_root_of_any_bytes_survives(tmp_path: Path, name: bytes) -> None:
    write_manifest(tmp_path, SAMPLE.next(root=os.fsdecode(name)))
    assert os.fsencode(read_manifest(tmp_path).root) == name


def test_a_commit_replaces_the_one_before(tmp_path: Path) -> None:
    write_manifest(tmp_path, SAMPLE)
    write_manifest(tmp_path, SAMPLE.next(segments=()))
    assert read_manifest(tmp_path) == SAMPLE.next(segments=())
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]


def test_each_commit_counts() -> None:
    second = SAMPLE.next()
    third = second.next(root="elsewhere", next_segment=8)
    assert [m.generation for m in (SAMPLE, second, third)] == [9, 10, 11]
    assert (third.root, third.next_segment, third.segments) == ("elsewhere", 8, SAMPLE.segments)
    assert SAMPLE.root == ".."


def test_every_file_is_listed() -> None:
    assert [entry.name for entry in SAMPLE.files] == [
        VOCABULARY.name,
        "vlad-000001.h5",
        "segments/000001.index.h5",
        "segments/s",
        "segments/v",
        "segments/f",
        "segments/000004.index.h5",
    ]


def test_the_entry_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "segments" / "file"
    path.parent.mkdir()
    path.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert FileEntry.of(tmp_path, path) == FileEntry("segments/file", 7, digest)


# --- manifests that cannot be read ---


def refused(store: Path) -> str:
    with pytest.raises(StoreError) as error:
        read_manifest(store)
    return str(error.value)


def rewrite(store: Path, content: Any) -> None:
    (store / MANIFEST_FILE).write_text(json.dumps(content))


def test_a_manifest_cut_at_any_length_is_damaged(tmp_path: Path) -> None:
    write_manifest(tmp_path, SAMPLE)
    path = tmp_path / MANIFEST_FILE
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert refused(tmp_path) == DAMAGED.format(path=path), length


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 700,
        b"\xff\xfe",
        b"[]",
        b"null",
        b"3",
        b'"format"',
        b'{"generation": 1}',
        b"{}{}",
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_manifest_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(content)
    assert refused(tmp_path) == DAMAGED.format(path=tmp_path / MANIFEST_FILE)


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value of a manifest but the extractor's and the methods' own parameters."""
    if isinstance(value, dict) and path[-1:] != ("parameters",) and path[-2:-1] != ("methods",):
        return [path, *(found for key, one in value.items() for found in paths_of(one, (*path, key)))]
    if isinstance(value, list):
        return [path, *(found for key, one in enumerate(value) for found in paths_of(one, (*path, key)))]
    return [path]


def as_json(manifest: Manifest) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder), manifest)
        return json.loads((Path(folder) / MANIFEST_FILE).read_text())


PATHS = [path for path in paths_of(as_json(SAMPLE)) if path not in ((), ("format",))]


@pytest.mark.parametrize(
    "path",
    [path for path in PATHS if isinstance(path[-1], str) and path[-2:-1] != ("methods",)],
    ids=lambda path: ".".join(map(str, path)),
)
def test_a_manifest_without_one_of_its_values_is_damaged(tmp_path: Path, path: tuple[str | int, ...]) -> None:
    content = as_json(SAMPLE)
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    rewrite(tmp_path, content)
    assert refused(tmp_path) == DAMAGED.format(path=tmp_path / MANIFEST_FILE)


@pytest.mark.parametrize("value", [[1], {"a": 1}, 0.5, "text", 3, None], ids=repr)
def test_a_value_of_another_type_is_damaged(tmp_path: Path, value: object) -> None:
    changed = 0
    for path in PATHS:
        content = as_json(SAMPLE)
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        if isinstance(value, type(parent[path[-1]])) or (
            path[-1] in ("signatures", "vectors", "features", "vlad") and value is None
        ):
            continue
        parent[path[-1]] = value
        rewrite(tmp_path, content)
        assert refused(tmp_path) == DAMAGED.format(path=tmp_path / MANIFEST_FILE), path
        changed += 1
    assert changed > 10


@pytest.mark.parametrize("removed", [[500], [-1], [0, 65536]])
def test_a_removed_photo_that_the_segment_does_not_have_is_damaged(
    tmp_path: Path, removed: list[int]
) -> None:
    content = as_json(SAMPLE)
    content["segments"][0]["removed"] = removed
    rewrite(tmp_path, content)
    assert refused(tmp_path) == DAMAGED.format(path=tmp_path / MANIFEST_FILE)


def test_no_method_to_vote_by_is_damaged(tmp_path: Path) -> None:
    rewrite(tmp_path, {**as_json(SAMPLE), "methods": {}})
    assert refused(tmp_path) == DAMAGED.format(path=tmp_path / MANIFEST_FILE)


# --- manifests of other formats ---


def as_format_2(manifest: Manifest) -> Any:
    """As it was written before there were vectors."""
    content = as_json(manifest)
    del content["vlad"]
    for segment in content["segments"]:
        del segment["vectors"]
    return {**content, "format": 2}


def as_format_1(manifest: Manifest) -> Any:
    """As it was written before there were signatures."""
    content = as_format_2(manifest)
    del content["methods"]
    for segment in content["segments"]:
        del segment["signatures"]
    return {**content, "format": 1, "method": "bow"}


def test_format_2_has_no_vectors(tmp_path: Path) -> None:
    rewrite(tmp_path, as_format_2(SAMPLE))
    segments = tuple(replace(entry, vectors=None) for entry in SAMPLE.segments)
    assert read_manifest(tmp_path) == replace(SAMPLE, vlad=None, segments=segments)


def test_format_1_votes_by_bags_of_words(tmp_path: Path) -> None:
    rewrite(tmp_path, as_format_1(SAMPLE))
    segments = tuple(replace(entry, signatures=None, vectors=None) for entry in SAMPLE.segments)
    found = read_manifest(tmp_path)
    assert found == replace(SAMPLE, methods={"bow": {}}, vlad=None, segments=segments)


def test_the_next_commit_is_of_this_format(tmp_path: Path) -> None:
    rewrite(tmp_path, as_format_1(SAMPLE))
    write_manifest(tmp_path, read_manifest(tmp_path).next())
    content = json.loads((tmp_path / MANIFEST_FILE).read_text())
    assert (content["format"], content["methods"]) == (FORMAT, {"bow": {}})
    assert "method" not in content


@pytest.mark.parametrize("method", [None, 3, {"bow": {}}, ["bow"]])
def test_format_1_without_its_method_is_damaged(tmp_path: Path, method: object) -> None:
    content = as_format_1(SAMPLE)
    for changed in ({**content, "method": method}, {k: v for k, v in content.items() if k != "method"}):
        rewrite(tmp_path, changed)
        assert refused(tmp_path) == DAMAGED.format(path=tmp_path / MANIFEST_FILE)


@pytest.mark.parametrize("version", [FORMAT + 1, 10**30, "2", None, 1.5])
def test_a_newer_format_says_so(tmp_path: Path, version: object) -> None:
    rewrite(tmp_path, {"format": version, "everything": "else"})
    assert refused(tmp_path) == (
        f"The store {tmp_path} has format {version}, this handcraft reads up to {FORMAT}; "
        "install a newer handcraft."
    )


def test_a_missing_store(tmp_path: Path) -> None:
    for store in (tmp_path, tmp_path / "missing"):
        assert refused(store) == (
            f"There is no store at {store}; make one with `handcraft index FOLDER` or name one with --store."
        )


def test_a_folder_in_place_of_the_manifest(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).mkdir()
    assert MANIFEST_FILE in refused(tmp_path)


def test_a_manifest_without_permission(closed_folder: Path) -> None:
    closed_folder.chmod(0o755)
    write_manifest(closed_folder, SAMPLE)
    path = closed_folder / MANIFEST_FILE
    path.chmod(0)
    with a_common_user():
        assert refused(closed_folder) == f"No permission to read {path}; change its mode or your user."


def test_a_full_disk_keeps_the_commit_before(tiny_disk: Path) -> None:
    write_manifest(tiny_disk, SAMPLE)
    many = tuple(range(65536))
    with pytest.raises(StoreError, match="No space is left"):
        write_manifest(
            tiny_disk, SAMPLE.next(segments=(SegmentEntry(1, 65536, VOCABULARY, None, None, None, many),))
        )
    assert read_manifest(tiny_disk) == SAMPLE
