"""Giving a store another vocabulary: its photos are described by the features that were kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from photographs import ONCE, SCENES, blank_wall, ranking, save, scene, segment_bytes

import handcraft
from handcraft.errors import FingerprintError, PhotoError, StoreError, VocabularyError
from handcraft.options import FeatureOptions, IndexOptions, VocabularyOptions
from handcraft.types import Fingerprint
from handcraft.vocabulary.files import read_vocabulary, write_vocabulary
from handcraft.vocabulary.tree import Training, VocabularyTree

PHOTOS = SCENES + 2
SAME_SCENE = ("scene-3", "views/near", "views/turned")
SMALL = VocabularyOptions(words=500)


def write_foreign_vocabulary(path: Path, fingerprint: Fingerprint) -> Path:
    """A vocabulary of two words for descriptors of another kind."""
    centroids = np.zeros((3, fingerprint.dimension), fingerprint.dtype)
    centroids[1:] = [[1], [9]]
    tree = VocabularyTree.of(
        centroids, np.array([2, 0, 0], np.uint32), fingerprint, Training("nothing", 1, 2, 0.0)
    )
    write_vocabulary(path, tree)
    return path


def test_the_photos_get_new_words_though_their_files_are_gone(own: Path) -> None:
    train_on = shutil.copytree(own / "photos", own / "elsewhere")
    query = own / "query.jpg"
    store = handcraft.open(own / ".handcraft")
    shutil.rmtree(own / "photos")
    report = store.build_vocabulary(train_on, SMALL)
    assert report.reindexed == PHOTOS
    assert report.unreadable == ()
    assert report.tree.words == store.info().words == 500
    assert len(store) == PHOTOS
    assert store.check().problems == ()
    hits = store.query(query, verify=True).hits
    assert {hit.name for hit in hits[:2]} <= {f"photos/{name}.jpg" for name in SAME_SCENE}
    assert all(hit.inliers > 20 for hit in hits[:2])


def test_a_store_with_new_words_is_as_one_that_had_them_from_the_start(own: Path) -> None:
    """Even in several segments, and after a photo was removed."""
    store = handcraft.open(own / "pieces")
    store.add(own / "photos", options=IndexOptions(photos_per_commit=4))
    store.remove(own / "photos" / "scene-2.jpg")
    store.build_vocabulary(own / "photos", SMALL)
    fresh = handcraft.open(own / "fresh")
    assert fresh.build_vocabulary(own / "photos", SMALL).reindexed == 0  # makes the store
    (own / "photos" / "scene-2.jpg").unlink()
    fresh.add(own / "photos")
    assert fresh.info().words == 500
    for verify in (False, True):
        expected = ranking(fresh.query(own / "query.jpg", options=ONCE, verify=verify))
        assert ranking(store.query(own / "query.jpg", options=ONCE, verify=verify)) == expected


def test_the_old_vocabulary_and_segments_are_gone(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    (old,) = store.path.glob("vocabulary-*.h5")
    store.build_vocabulary(own / "photos", SMALL)
    (new,) = store.path.glob("vocabulary-*.h5")
    assert new != old
    assert len(segment_bytes(store.path)) == 3
    assert store.check().problems == ()


def test_photos_added_later_get_the_new_words(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    store.build_vocabulary(own / "photos", SMALL)
    save(scene(60), own / "photos" / "new.jpg")
    assert store.add(own / "photos").added == 1
    assert store.check().problems == ()
    assert store.query(own / "photos" / "new.jpg", verify=True).hits[0].name == "photos/new.jpg"


def test_without_kept_features_it_is_refused_before_the_work(own: Path) -> None:
    """Training may take hours; what can be known before must be said before."""
    store = handcraft.open(own / "bare")
    store.add(own / "photos", options=IndexOptions(keep_features=False))
    before = segment_bytes(store.path)
    stages: list[str] = []
    with pytest.raises(StoreError, match=r"keeps no features of 10 photos.*--store"):
        store.build_vocabulary(own / "photos", SMALL, progress=lambda name, *_: stages.append(name))
    assert segment_bytes(store.path) == before
    assert store.check().problems == ()
    assert stages == []


def test_other_feature_options_are_refused(own: Path) -> None:
    store = handcraft.open(own / ".handcraft", features=FeatureOptions(max_features=30))
    with pytest.raises(
        FingerprintError, match=r"holds hessian-affine-rootsift .*max_features=2000.*max_features=30"
    ):
        store.build_vocabulary(own / "photos", SMALL)
    assert store.info().words > 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (VocabularyOptions(words=1), "A vocabulary of 1 words cannot be trained; ask for 2 to"),
        (VocabularyOptions(words=10**6), r"descriptors are too few for 1,000,000 words; give more photos"),
        (VocabularyOptions(words=0), "A vocabulary of 0 words cannot be trained; ask for 2 to"),
        (VocabularyOptions(words=10**9), "A vocabulary of 1000000000 words cannot be trained; ask for 2 to"),
        (VocabularyOptions(words=9, depth=-1), "a depth of 0 or more and 1 iteration or more"),
        (VocabularyOptions(words=9, iterations=0), "a depth of 0 or more and 1 iteration or more"),
        (VocabularyOptions(words=9, sample=0), "A sample of 0 descriptors trains nothing; ask for 1 or more"),
    ],
)
def test_impossible_options_leave_the_store_as_it_was(
    own: Path, options: VocabularyOptions, message: str
) -> None:
    store = handcraft.open(own / ".handcraft")
    words = store.info().words
    with pytest.raises(VocabularyError, match=message):
        store.build_vocabulary(own / "photos", options)
    assert store.info().words == words
    assert store.check().problems == ()


@pytest.mark.parametrize(
    "change",
    [{"words": 60}, {"depth": 2}, {"sample": 500}, {"iterations": 1}, {"seed": 3}, {"tolerance": 0.5}],
    ids=lambda change: next(iter(change)),
)
def test_every_option_of_training_changes_the_vocabulary(
    collection: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    photos = collection / "photos" / "views"
    usual = handcraft.open(tmp_path / "usual").build_vocabulary(photos, VocabularyOptions(words=50))
    store = handcraft.open(tmp_path / "changed")
    changed = store.build_vocabulary(photos, VocabularyOptions(**{"words": 50, **change}))
    assert not np.array_equal(usual.tree.centroids, changed.tree.centroids)


def test_the_same_photos_give_the_same_vocabulary_at_any_number_of_threads(
    collection: Path, tmp_path: Path
) -> None:
    bytes_of = []
    for threads in (1, 2):
        store = handcraft.open(tmp_path / f"store-{threads}", threads=threads)
        store.build_vocabulary(collection / "photos", VocabularyOptions(words=100, sample=2000))
        bytes_of.append((store.path / "vocabulary-000001.h5").read_bytes())
    assert bytes_of[0] == bytes_of[1]


def test_it_is_said_what_a_vocabulary_was_trained_on(own: Path) -> None:
    (own / "photos" / "words.jpg").write_text("no photo", encoding="utf-8")
    store = handcraft.open(own / ".handcraft")
    report = store.build_vocabulary(own / "photos", SMALL)
    assert [error.args[0].split(" is not ")[0] for error in report.unreadable] == [
        str(own / "photos" / "words.jpg")
    ]
    training = store.info().training
    assert training == report.tree.training
    assert (training.photos, training.source) == (PHOTOS, "photos")
    assert training.parameters["words"] == 500


def test_photos_without_features_cannot_train(tmp_path: Path) -> None:
    wall = save(blank_wall(), tmp_path / "wall.png")
    store = handcraft.open(tmp_path / "store")
    with pytest.raises(VocabularyError, match="0 descriptors are too few"):
        store.build_vocabulary(wall, SMALL)
    (tmp_path / "words.jpg").write_text("no photo", encoding="utf-8")
    with pytest.raises(VocabularyError, match="None of the photos could be read"):
        store.build_vocabulary(tmp_path / "words.jpg", SMALL)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoError, match=r"There are no photos in .*empty; handcraft reads"):
        store.build_vocabulary(tmp_path / "empty", SMALL)
    assert not store.exists


# --- vocabularies of other extractors ---


@pytest.mark.parametrize(
    "fingerprint",
    [
        Fingerprint("hessian-affine-rootsift", 64, "uint8"),
        Fingerprint("hessian-affine-rootsift", 128, "float32"),
        Fingerprint("sift-rootsift", 128, "uint8"),
        Fingerprint("learned", 128, "uint8"),
    ],
)
def test_a_vocabulary_of_another_extractor_is_refused(own: Path, fingerprint: Fingerprint) -> None:
    file = write_foreign_vocabulary(own / "foreign.h5", fingerprint)
    store = handcraft.open(own / "another", vocabulary=file)
    with pytest.raises(FingerprintError) as error:
        store.add(own / "photos")
    assert str(fingerprint) in str(error.value)
    assert "hessian-affine-rootsift (128 x uint8" in str(error.value)
    assert "handcraft build-vocab" in str(error.value)
    assert not store.exists
    assert handcraft.open(own / "another").add(own / "photos").added == PHOTOS  # with the shipped one


def test_a_file_that_is_no_vocabulary_is_refused(own: Path) -> None:
    segment = own / ".handcraft" / "segments" / "000001.index.h5"
    store = handcraft.open(own / "another", vocabulary=segment)
    with pytest.raises(StoreError, match="is not a handcraft vocabulary file, it is segment"):
        store.add(own / "photos")
    missing = handcraft.open(own / "another", vocabulary=own / "absent.h5")
    with pytest.raises(StoreError, match=r"absent\.h5 is missing"):
        missing.add(own / "photos")
    text = own / "text.h5"
    text.write_text("words", encoding="utf-8")
    with pytest.raises(
        StoreError, match=r"text\.h5 is not a handcraft vocabulary file, or its first bytes are damaged"
    ):
        handcraft.open(own / "another", vocabulary=text).add(own / "photos")


def test_a_store_keeps_a_copy_of_its_vocabulary(own: Path) -> None:
    trained = handcraft.open(own / "trained")
    trained.build_vocabulary(own / "photos", SMALL)
    file = shutil.copy(trained.path / "vocabulary-000001.h5", own / "mine.h5")
    store = handcraft.open(own / "another", vocabulary=file)
    store.add(own / "photos")
    tree = read_vocabulary(Path(file))
    Path(file).unlink()
    shutil.rmtree(trained.path)
    assert store.check().problems == ()
    copied = read_vocabulary(store.path / "vocabulary-000001.h5")
    np.testing.assert_array_equal(copied.centroids, tree.centroids)
    assert len(store.query(own / "query.jpg").hits) == PHOTOS
