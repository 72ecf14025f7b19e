"""Adding photos to a store and removing them: what is new, what changed, what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import (
    ONCE,
    SCENES,
    age,
    ranking,
    save,
    scene,
    segment_bytes,
    similarity,
    view,
)

import handcraft
from handcraft.engine.indexing import AddReport
from handcraft.errors import FingerprintError, PhotoError, StoreError
from handcraft.options import FeatureOptions, IndexOptions, VocabularyOptions

PHOTOS = SCENES + 2


def part_of(photo_seed: int, path: Path) -> Path:
    """A query that shows the middle of a scene."""
    affine = similarity(8, 0.9, (160, 120), (220, 160))
    return save(view(scene(photo_seed), affine, (220, 160)), path)


def first(store: handcraft.Store, query: Path) -> str:
    """The name of the verified photo that leads the ranking, "" if none is verified."""
    hit = store.query(query, options=ONCE, verify=True).hits[0]
    return hit.name if hit.match else ""


# --- what is added ---


def test_the_first_run_adds_everything(collection: Path, tmp_path: Path) -> None:
    store = handcraft.open(tmp_path / "store")
    assert not store.exists
    assert len(store) == 0
    assert store.add(collection / "photos") == AddReport(PHOTOS, 0, 0, ())
    assert store.exists
    assert len(store) == PHOTOS


def test_photos_are_named_from_the_folder_of_the_store(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    scenes = [f"photos/scene-{number}.jpg" for number in range(SCENES)]
    assert store.names == (*scenes, "photos/views/near.jpg", "photos/views/turned.jpg")


def test_a_second_run_leaves_all_alone(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    before = segment_bytes(store.path), store.info().generation
    assert store.add(own / "photos") == AddReport(0, 0, PHOTOS, ())
    assert (segment_bytes(store.path), store.info().generation) == before


def test_a_photo_named_twice_is_one_photo(own: Path) -> None:
    store = handcraft.open(own / "another")
    photo = own / "photos" / "scene-0.jpg"
    report = store.add([photo, own / "photos", own / "photos" / "views" / ".." / "scene-0.jpg"])
    assert report.added == PHOTOS
    assert len(store) == PHOTOS


def test_new_photos_are_added_beside_the_old(own: Path) -> None:
    save(scene(50), own / "photos" / "views" / "new.jpg")
    store = handcraft.open(own / ".handcraft")
    assert store.add(own / "photos") == AddReport(1, 0, PHOTOS, ())
    assert first(store, part_of(50, own / "q.jpg")) == "photos/views/new.jpg"


def test_a_touched_photo_is_unchanged(own: Path) -> None:
    age(own / "photos" / "scene-2.jpg", 1000)
    store = handcraft.open(own / ".handcraft")
    before = segment_bytes(store.path)
    assert store.add(own / "photos") == AddReport(0, 0, PHOTOS, ())
    assert segment_bytes(store.path) == before


def test_a_changed_photo_is_found_by_its_new_content_only(own: Path) -> None:
    changed = own / "photos" / "scene-2.jpg"
    old, new = part_of(2, own / "old.jpg"), part_of(51, own / "new.jpg")
    store = handcraft.open(own / ".handcraft")
    assert first(store, old) == "photos/scene-2.jpg"
    save(scene(51), changed)
    assert store.add(own / "photos") == AddReport(0, 1, PHOTOS - 1, ())
    assert len(store) == PHOTOS
    assert first(store, new) == "photos/scene-2.jpg"
    (hit,) = [
        hit for hit in store.query(old, options=ONCE, verify=True).hits if hit.name == "photos/scene-2.jpg"
    ]
    assert hit.match is None
    assert [hit.name for hit in store.query(new, options=ONCE, top=99).hits].count("photos/scene-2.jpg") == 1


def test_a_change_that_keeps_the_size_in_bytes_is_noticed(own: Path) -> None:
    photo = save(scene(52), own / "photos" / "flat.bmp")
    store = handcraft.open(own / ".handcraft")
    store.add(photo)
    size = photo.stat().st_size
    save(scene(53), photo)
    age(photo, 10)
    assert photo.stat().st_size == size
    assert store.add(photo) == AddReport(0, 1, 0, ())
    assert first(store, part_of(53, own / "q.jpg")) == "photos/flat.bmp"


def test_unreadable_photos_are_in_the_report(own: Path) -> None:
    (own / "photos" / "words.jpg").write_text("no photo", encoding="utf-8")
    save(scene(54), own / "photos" / "zebra.jpg")
    store = handcraft.open(own / ".handcraft")
    report = store.add([own / "photos", own / "absent.jpg"])
    assert (report.added, report.unchanged) == (1, PHOTOS)
    missing, words = report.unreadable
    assert isinstance(words, PhotoError)
    assert str(words).startswith(f"{own / 'photos' / 'words.jpg'} is not a JPEG")
    assert str(missing) == f"There is no file or folder {own / 'absent.jpg'}; check the name."
    assert len(store) == PHOTOS + 1


def test_a_photo_that_became_unreadable_keeps_its_old_features(own: Path) -> None:
    (own / "photos" / "scene-1.jpg").write_bytes(b"")
    store = handcraft.open(own / ".handcraft")
    report = store.add(own / "photos")
    assert [str(error) for error in report.unreadable] == [
        f"{own / 'photos' / 'scene-1.jpg'} is an empty file."
    ]
    assert first(store, part_of(1, own / "q.jpg")) == "photos/scene-1.jpg"


def test_progress_ends_when_all_is_done(own: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    handcraft.open(own / "another").add(own / "photos", progress=lambda *step: steps.append(step))
    assert steps == [("indexing", done, PHOTOS) for done in range(PHOTOS + 1)]


# --- runs, segments and threads ---


def test_several_runs_and_segments_rank_as_one(own: Path) -> None:
    pieces = handcraft.open(own / "pieces")
    photos = sorted((own / "photos").rglob("*.jpg"), key=lambda path: (path.parent.name == "views", path))
    for start in range(0, len(photos), 5):
        pieces.add(photos[start : start + 5], options=IndexOptions(photos_per_commit=2))
    assert len(pieces.info().segments) == 6
    whole = handcraft.open(own / ".handcraft")
    assert len(whole.info().segments) == 1
    assert pieces.names == whole.names
    for query in (own / "query.jpg", own / "photos" / "scene-6.jpg"):
        for verify in (False, True):
            one, other = (store.query(query, options=ONCE, verify=verify) for store in (whole, pieces))
            assert ranking(one) == ranking(other)


def test_the_number_of_threads_changes_no_byte(own: Path) -> None:
    stores = [handcraft.open(own / f"threads-{threads}", threads=threads) for threads in (1, 2)]
    for store in stores:
        store.add(own / "photos", options=IndexOptions(photos_per_commit=4))
    one, two = (segment_bytes(store.path) for store in stores)
    assert len(one) == 9
    assert one == two
    found = [ranking(store.query(own / "query.jpg", verify=True)) for store in stores]
    assert found[0] == found[1]


def test_photos_per_commit_is_the_size_of_a_segment(own: Path) -> None:
    store = handcraft.open(own / "another")
    store.add(own / "photos", options=IndexOptions(photos_per_commit=4))
    assert [segment.photos for segment in store.info().segments] == [4, 4, 2]


def test_features_are_kept_only_if_wanted(own: Path) -> None:
    store = handcraft.open(own / "another")
    store.add(own / "photos", options=IndexOptions(keep_features=False))
    assert store.info().segments[0].features_bytes == 0
    assert sorted(segment_bytes(store.path)) == ["000001.index.h5", "000001.signatures.h5"]
    assert handcraft.open(own / ".handcraft").info().segments[0].features_bytes > 0
    kept = handcraft.open(own / ".handcraft").query(own / "query.jpg", options=ONCE, verify=True)
    assert ranking(store.query(own / "query.jpg", options=ONCE, verify=True)) == ranking(kept)


# --- how photos are described ---


def test_max_features_is_the_number_of_features(own: Path) -> None:
    store = handcraft.open(own / "another", features=FeatureOptions(max_features=50))
    store.add(own / "photos" / "scene-0.jpg")
    assert store.info().segments[0].features == 50


def test_a_smaller_photo_has_fewer_features(own: Path) -> None:
    counts = []
    for max_size in (160, 1024):
        store = handcraft.open(own / f"size-{max_size}", features=FeatureOptions(max_size=max_size))
        store.add(own / "photos" / "scene-0.jpg")
        counts.append(store.info().segments[0].features)
    assert 0 < counts[0] < counts[1]


def test_an_unknown_extractor_names_the_known(own: Path) -> None:
    store = handcraft.open(own / "another", features=FeatureOptions(extractor="surf"))
    with pytest.raises(handcraft.HandcraftError, match="no extractor 'surf'; the extractors are "):
        store.add(own / "photos")
    assert not store.exists


@pytest.mark.parametrize(
    "options",
    [
        FeatureOptions(max_features=50),
        FeatureOptions(max_size=512),
        FeatureOptions(upright=False),
        FeatureOptions(extractor="sift"),
        FeatureOptions(spread=True),
    ],
)
def test_a_store_holds_features_of_one_kind(own: Path, options: FeatureOptions) -> None:
    save(scene(55), own / "photos" / "new.jpg")
    store = handcraft.open(own / ".handcraft", features=options)
    with pytest.raises(FingerprintError) as error:
        store.add(own / "photos")
    sentence = str(error.value)
    assert str(store.path) in sentence
    held, asked = sentence.split(", the options ask for ")
    for words, said in ((held, FeatureOptions()), (asked, options)):
        assert f"max_features={said.max_features}, max_size={said.max_size}, spread={said.spread}" in words
        assert f"doubled={said.doubled}" in words
        assert f"upright={said.upright}" in words
    assert "--store" in sentence
    assert len(store) == PHOTOS
    assert store.check().problems == ()


def test_options_that_say_what_the_store_holds_are_accepted(own: Path) -> None:
    store = handcraft.open(own / ".handcraft", features=FeatureOptions(max_size=1024))
    assert store.add(own / "photos").unchanged == PHOTOS


def test_the_query_is_described_as_the_store_was(own: Path) -> None:
    store = handcraft.open(own / "another", features=FeatureOptions(max_features=40))
    store.add(own / "photos")
    assert handcraft.open(own / "another").query(own / "query.jpg").features == 40


# --- the vocabulary of a new store ---


def test_a_new_store_takes_the_vocabulary_that_it_is_given(own: Path) -> None:
    trained = handcraft.open(own / "trained")
    trained.build_vocabulary(own / "photos", VocabularyOptions(words=50))
    (file,) = trained.path.glob("vocabulary-*.h5")
    store = handcraft.open(own / "another", vocabulary=file)
    store.add(own / "photos")
    assert store.info().words == 50
    assert handcraft.open(own / ".handcraft").info().words > 1000
    # The same command goes on with the same vocabulary.
    save(scene(56), own / "photos" / "new.jpg")
    assert handcraft.open(own / "another", vocabulary=file).add(own / "photos").added == 1


def test_another_vocabulary_than_the_stores_is_refused(own: Path) -> None:
    """It must not be passed over in silence: the user would search with other words than they think."""
    trained = handcraft.open(own / "trained")
    trained.build_vocabulary(own / "photos", VocabularyOptions(words=50))
    (file,) = trained.path.glob("vocabulary-*.h5")
    save(scene(57), own / "photos" / "new.jpg")
    store = handcraft.open(own / ".handcraft", vocabulary=file)
    with pytest.raises(handcraft.HandcraftError, match="build-vocab"):
        store.add(own / "photos")
    assert len(store) == PHOTOS


# --- removing ---


def test_removed_photos_are_never_found(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    removed = own / "photos" / "scene-3.jpg"
    assert store.query(removed).hits[0].name == "photos/scene-3.jpg"
    assert store.remove(removed) == 1
    assert len(store) == PHOTOS - 1
    assert "photos/scene-3.jpg" not in store.names
    for verify in (False, True):
        result = store.query(removed, verify=verify, top=99)
        assert result.photos == PHOTOS - 1
        assert "photos/scene-3.jpg" not in [hit.name for hit in result.hits]
        assert {"photos/views/near.jpg", "photos/views/turned.jpg"} <= {hit.name for hit in result.hits}


def test_a_store_with_removed_photos_scores_as_one_without_them(own: Path) -> None:
    """idf and norms are those of the live photos."""
    store = handcraft.open(own / ".handcraft")
    store.remove([own / "photos" / "scene-0.jpg", own / "photos" / "scene-4.jpg"])
    fresh = handcraft.open(own / "fresh")
    photos = [*sorted((own / "photos").glob("*.jpg")), own / "photos" / "views"]
    fresh.add([path for path in photos if path.name not in ("scene-0.jpg", "scene-4.jpg")])
    assert fresh.names == store.names
    for verify in (False, True):
        expected = ranking(fresh.query(own / "query.jpg", options=ONCE, verify=verify))
        assert ranking(store.query(own / "query.jpg", options=ONCE, verify=verify)) == expected


def test_a_folder_stands_for_all_below_it(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    assert store.remove(own / "photos" / "views") == 2
    assert store.remove(own / "photos") == SCENES
    assert len(store) == 0
    assert store.names == ()


def test_a_name_that_only_begins_alike_is_not_removed(own: Path) -> None:
    (own / "photos" / "view").mkdir()
    save(scene(58), own / "photos" / "view" / "other.jpg")
    store = handcraft.open(own / ".handcraft")
    store.add(own / "photos")
    assert store.remove(own / "photos" / "view") == 1
    assert "photos/views/near.jpg" in store.names


def test_removing_the_folder_of_the_store_spares_photos_outside_it(own: Path) -> None:
    inner = own / "inner"
    inner.mkdir()
    save(scene(59), inner / "a.jpg")
    store = handcraft.open(inner / ".handcraft")
    store.add([inner, own / "photos"])
    assert len(store) == PHOTOS + 1
    assert store.remove(inner) == 1
    assert "a.jpg" not in store.names
    assert len(store) == PHOTOS


def test_removing_a_folder_above_the_store_removes_all_below_it(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    assert store.remove(own.parent) == PHOTOS
    assert len(store) == 0


def test_photos_whose_file_is_gone_are_removed_when_asked(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    assert store.remove(missing=True) == 0
    (own / "photos" / "scene-5.jpg").unlink()
    assert store.add(own / "photos").unchanged == PHOTOS - 1
    assert "photos/scene-5.jpg" in store.names  # `add` removes nothing by itself
    assert store.remove(missing=True) == 1
    assert "photos/scene-5.jpg" not in store.names


def test_removing_what_is_not_there_removes_nothing(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    with pytest.raises(StoreError, match=r"holds no photo .*absent\.jpg; `handcraft info --photos` lists"):
        store.remove([own / "photos" / "scene-0.jpg", own / "absent.jpg"])
    assert len(store) == PHOTOS


def test_a_removed_photo_can_be_added_again(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    store.remove(own / "photos" / "scene-0.jpg")
    assert store.add(own / "photos") == AddReport(1, 0, PHOTOS - 1, ())
    assert first(store, part_of(0, own / "q.jpg")) == "photos/scene-0.jpg"


def test_a_writer_leaves_files_alone_that_are_not_its_own(own: Path) -> None:
    """Someone may name a folder of theirs as the store; nothing in it may vanish."""
    theirs = own / "project"
    (theirs / "segments" / "audio").mkdir(parents=True)
    files = [
        theirs / "notes.txt",
        theirs / "segments" / "speech.wav",
        theirs / "segments" / "audio" / "a.wav",
    ]
    for file in files:
        file.write_text("mine", encoding="utf-8")
    store = handcraft.open(theirs)
    store.add(own / "photos" / "scene-0.jpg")
    store.add(own / "photos")
    store.optimize()
    assert [file for file in files if not file.exists()] == []


def test_no_paths_at_all(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as error:
        handcraft.open(tmp_path / "store").add([])
    assert str(error.value) == "There are no photos in an empty list of paths; name a photo or a folder."
