"""Merging segments: the ranking stays, removed photos go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from photographs import ONCE, SCENES, blank_wall, ranking, save, scene, segment_bytes

import handcraft
from handcraft.features.files import read_features
from handcraft.options import IndexOptions, VocabularyOptions

PHOTOS = SCENES + 2


@pytest.fixture
def pieces(collection: Path, tmp_path: Path) -> handcraft.Store:
    """A store of four segments, some photos of which are removed."""
    store = handcraft.open(tmp_path / "pieces")
    store.add(collection / "photos", options=IndexOptions(photos_per_commit=3))
    store.remove([collection / "photos" / "scene-1.jpg", collection / "photos" / "scene-7.jpg"])
    return store


def test_the_ranking_stays_bit_for_bit(collection: Path, pieces: handcraft.Store) -> None:
    queries = [collection / "query.jpg", collection / "photos" / "scene-1.jpg"]
    names = pieces.names
    before = [
        ranking(pieces.query(q, options=ONCE, verify=verify)) for q in queries for verify in (False, True)
    ]
    report = pieces.optimize()
    assert (report.segments_before, report.segments_after) == (4, 1)
    after = [
        ranking(pieces.query(q, options=ONCE, verify=verify)) for q in queries for verify in (False, True)
    ]
    assert before == after
    assert pieces.names == names


def test_removed_photos_are_dropped_for_good(pieces: handcraft.Store) -> None:
    before = pieces.info()
    assert [(s.photos, s.removed) for s in before.segments] == [(2, 1), (3, 0), (2, 1), (1, 0)]
    report = pieces.optimize()
    after = pieces.info()
    assert [(s.photos, s.removed) for s in after.segments] == [(PHOTOS - 2, 0)]
    assert report.dropped == 2
    assert (report.bytes_before, report.bytes_after) == (before.bytes, after.bytes)
    assert after.bytes < before.bytes
    assert len(pieces) == PHOTOS - 2


def test_the_files_that_were_merged_are_gone(pieces: handcraft.Store) -> None:
    pieces.optimize()
    (number,) = (segment.number for segment in pieces.info().segments)
    assert sorted(segment_bytes(pieces.path)) == [
        f"{number:06d}.{part}.h5" for part in ("features", "index", "signatures")
    ]
    check = pieces.check()
    assert check.problems == ()
    on_disk = sum(1 for path in pieces.path.rglob("*") if path.suffix in (".h5", ".json"))
    assert check.files == on_disk == 5


def test_the_kept_features_are_those_of_the_live_photos(
    collection: Path, pieces: handcraft.Store, tmp_path: Path
) -> None:
    pieces.optimize()
    (path,) = (pieces.path / "segments").glob("*.features.h5")
    kept = read_features(path)
    fresh = handcraft.open(tmp_path / "fresh")
    (name,) = {segment.number for segment in pieces.info().segments}
    assert name > 4  # a number that no earlier segment had
    photos = [*sorted((collection / "photos").glob("*.jpg")), collection / "photos" / "views"]
    fresh.add([path for path in photos if path.name not in ("scene-1.jpg", "scene-7.jpg")])
    expected = read_features(fresh.path / "segments" / "000001.features.h5")
    np.testing.assert_array_equal(kept.offsets, expected.offsets)
    np.testing.assert_array_equal(kept.descriptors, expected.descriptors)
    np.testing.assert_array_equal(kept.frames, expected.frames)
    np.testing.assert_array_equal(kept.sizes, expected.sizes)


def test_an_optimized_store_can_be_given_another_vocabulary(
    collection: Path, pieces: handcraft.Store
) -> None:
    pieces.optimize()
    report = pieces.build_vocabulary(collection / "photos", VocabularyOptions(words=1000))
    assert report.reindexed == PHOTOS - 2
    assert pieces.check().problems == ()
    hit = pieces.query(collection / "photos" / "scene-0.jpg", verify=True).hits[0]
    assert hit.path.name == "scene-0.jpg"
    assert hit.match is not None


def test_nothing_to_do_changes_nothing(pieces: handcraft.Store) -> None:
    pieces.optimize()
    before = pieces.info(), segment_bytes(pieces.path)
    report = pieces.optimize()
    assert (report.segments_before, report.segments_after, report.dropped) == (1, 1, 0)
    assert (pieces.info(), segment_bytes(pieces.path)) == before


def test_photos_are_added_after_merging_as_before(collection: Path, pieces: handcraft.Store) -> None:
    pieces.optimize()
    report = pieces.add(collection / "photos")
    assert (report.added, report.unchanged) == (2, PHOTOS - 2)
    assert pieces.query(collection / "photos" / "scene-7.jpg").hits[0].name.endswith("photos/scene-7.jpg")
    assert pieces.check().problems == ()


def test_segments_with_and_without_features_stay_apart(collection: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "mixed")
    photos = sorted((collection / "photos").glob("*.jpg"))
    for number, kept in enumerate([True, True, False, False, True]):
        store.add(photos[number], options=IndexOptions(keep_features=kept))
    before = ranking(store.query(collection / "query.jpg", verify=True))
    report = store.optimize()
    assert (report.segments_before, report.segments_after) == (5, 3)
    segments = store.info().segments
    assert [(s.photos, s.features_bytes > 0) for s in segments] == [(2, True), (2, False), (1, True)]
    assert ranking(store.query(collection / "query.jpg", verify=True)) == before
    assert store.check().problems == ()


def test_a_store_of_removed_photos_only_becomes_empty(collection: Path, pieces: handcraft.Store) -> None:
    pieces.remove(collection / "photos")
    report = pieces.optimize()
    assert (report.segments_after, report.dropped) == (0, PHOTOS)
    assert segment_bytes(pieces.path) == {}
    assert pieces.check().problems == ()
    assert len(pieces) == 0
    assert pieces.add(collection / "photos").added == PHOTOS


def test_photos_without_features_survive_a_merge(collection: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / ".handcraft")
    for photo in (
        save(blank_wall(), tmp_path / "wall.png"),
        save(scene(1), tmp_path / "scene.jpg"),
        save(blank_wall(), tmp_path / "white.png"),
    ):
        store.add(photo)
    store.optimize()
    assert store.names == ("wall.png", "scene.jpg", "white.png")
    assert store.check().problems == ()
    assert store.query(tmp_path / "scene.jpg", verify=True).hits[0].name == "scene.jpg"


def test_progress_ends_when_all_is_merged(pieces: handcraft.Store) -> None:
    steps: list[tuple[str, int, int]] = []
    pieces.optimize(progress=lambda *step: steps.append(step))
    assert steps[-1] == ("merging", 1, 1)
