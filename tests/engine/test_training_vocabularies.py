"""Training vocabularies: on photos, on kept features, after an interruption, and beside other work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from photographs import ONCE, SCENES, age, blank_wall, ranking, save, scene

import handcraft
from handcraft.errors import (
    FingerprintError,
    HandcraftError,
    PhotoError,
    StoreError,
    StoreLockedError,
    VocabularyError,
)
from handcraft.options import FeatureOptions, IndexOptions, VocabularyOptions
from handcraft.vocabulary.files import read_vocabulary
from handcraft.vocabulary.tree import VocabularyTree

PHOTOS = SCENES + 2
SMALL = VocabularyOptions(words=200, depth=2)  # as in INTERRUPTED
INTERRUPTED = """
import os, signal, sys
import handcraft

def progress(stage, done, total):
    if stage == sys.argv[3] and done >= float(sys.argv[4]) * total:
        os.kill(os.getpid(), signal.SIGKILL)

options = handcraft.VocabularyOptions(words=200, depth=2)
handcraft.open(sys.argv[1], threads=2).build_vocabulary(sys.argv[2], options, progress=progress)
"""
HELD = """
import sys
import handcraft

def progress(stage, done, total):
    if stage == "training" and not sys.stdin.closed:
        print("held", flush=True)
        sys.stdin.read()
        sys.stdin.close()

options = handcraft.VocabularyOptions(words=200, depth=2)
handcraft.open(sys.argv[1], threads=2).build_vocabulary(sys.argv[2], options, progress=progress)
"""


@pytest.fixture
def apart(own: Path) -> Path:
    """A folder with the same photos, of which no store knows."""
    return Path(shutil.copytree(own / "photos", own / "apart"))


@pytest.fixture(scope="module")
def expected(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> VocabularyTree:
    """What SMALL gives for the photos of the collection when nothing is known of them."""
    store = handcraft.open(tmp_path_factory.mktemp("expected") / "store")
    return store.build_vocabulary(collection / "photos", SMALL).tree


def assert_same(tree: VocabularyTree, other: VocabularyTree) -> None:
    """The same words, to the bit."""
    assert tree.child_counts.tolist() == other.child_counts.tolist()
    assert tree.centroids.tobytes() == other.centroids.tobytes()


def fresh_tree(folder: Path, photos: Path, options: VocabularyOptions = SMALL) -> VocabularyTree:
    """What training gives in a new store beside the photos."""
    return handcraft.open(folder / "unheard-of").build_vocabulary(photos, options).tree


def spoil(photos: Path) -> None:
    """Leave nothing of the photos but their sizes and times: who reads them finds no photo."""
    for path in photos.rglob("*.jpg"):
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def leftovers(folder: Path) -> list[Path]:
    """The folders of trainings that may go on."""
    return list(folder.rglob("*.training"))


def interrupt(store: handcraft.Store, photos: Path) -> None:
    """Begin a training and stop it by Ctrl-C in the middle of the second level."""

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "training" and done >= 0.55 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build_vocabulary(photos, SMALL, progress=stop)


def stop_in_training(stage: str, done: int, total: int) -> None:
    """A progress that is stopped by Ctrl-C as soon as the sample is there."""
    if stage == "training":
        raise KeyboardInterrupt


# --- on what a store knows ---


def test_kept_features_give_the_same_vocabulary_as_the_photos(own: Path, expected: VocabularyTree) -> None:
    shutil.rmtree(own / "photos")
    store = handcraft.open(own / ".handcraft")
    report = store.build_vocabulary(options=SMALL, from_store=store.path)
    assert_same(report.tree, expected)
    assert (report.reused, report.reindexed, report.unreadable) == (PHOTOS, PHOTOS, ())
    assert report.tree.training.photos == PHOTOS
    assert report.tree.training.descriptors == expected.training.descriptors
    assert report.tree.training.source == own.name
    assert store.info().words == report.tree.words
    assert store.check().problems == ()


def test_how_a_store_was_filled_makes_no_difference(own: Path, expected: VocabularyTree) -> None:
    """Neither the segments nor the order of the photos."""
    pieces = handcraft.open(own / "pieces")
    pieces.add(own / "photos" / "views")
    pieces.add(own / "photos", options=IndexOptions(photos_per_commit=3))
    assert len(pieces.info().segments) > 2
    report = handcraft.open(own / "new").build_vocabulary(options=SMALL, from_store=pieces.path)
    assert_same(report.tree, expected)


def test_a_sample_is_the_same_from_photos_and_from_kept_features(own: Path, apart: Path) -> None:
    options = VocabularyOptions(words=50, sample=2000)
    store = handcraft.open(own / ".handcraft")
    kept = store.build_vocabulary(options=options, from_store=store.path, output=own / "kept.h5").tree
    assert kept.training.descriptors == 2000
    assert_same(kept, fresh_tree(own, apart, options))


def test_another_store_can_be_trained_on(own: Path, expected: VocabularyTree) -> None:
    """It is not changed, and the new store holds a vocabulary and no photo."""
    before = (own / ".handcraft" / "manifest.json").read_bytes()
    store = handcraft.open(own / "new")
    report = store.build_vocabulary(options=SMALL, from_store=own / ".handcraft")
    assert_same(report.tree, expected)
    assert (report.reused, report.reindexed, len(store)) == (PHOTOS, 0, 0)
    assert store.info().words == report.tree.words
    assert (own / ".handcraft" / "manifest.json").read_bytes() == before


def test_photos_are_trained_on_beside_a_store(own: Path, apart: Path) -> None:
    new = save(scene(70), apart / "new.jpg")
    report = handcraft.open(own / "new").build_vocabulary(new, SMALL, from_store=own / ".handcraft")
    assert (report.reused, report.tree.training.photos) == (PHOTOS, PHOTOS + 1)
    assert report.tree.training.source == f"{own.name}, new.jpg"
    assert_same(report.tree, fresh_tree(own, apart))


def test_removed_photos_do_not_count(own: Path, apart: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    store.remove(own / "photos" / "scene-2.jpg")
    report = store.build_vocabulary(options=SMALL, from_store=store.path)
    assert (report.reused, report.tree.training.photos) == (PHOTOS - 1, PHOTOS - 1)
    (apart / "scene-2.jpg").unlink()
    assert_same(report.tree, fresh_tree(own, apart))


def test_photos_that_are_held_unchanged_are_not_read(own: Path, expected: VocabularyTree) -> None:
    spoil(own / "photos")
    report = handcraft.open(own / ".handcraft").build_vocabulary(own / "photos", SMALL)
    assert (report.reused, report.reindexed, report.unreadable) == (PHOTOS, PHOTOS, ())
    assert_same(report.tree, expected)


def test_a_photo_that_changed_is_described_again(own: Path, apart: Path) -> None:
    for folder in (own / "photos", apart):
        save(scene(70), folder / "scene-0.jpg")
    age(own / "photos" / "scene-1.jpg", 1000)
    report = handcraft.open(own / ".handcraft").build_vocabulary(own / "photos", SMALL)
    assert (report.reused, report.tree.training.photos) == (PHOTOS - 2, PHOTOS)
    assert_same(report.tree, fresh_tree(own, apart))


def test_photos_of_which_no_store_knows_are_described(own: Path, apart: Path) -> None:
    report = handcraft.open(own / ".handcraft").build_vocabulary(apart, SMALL)
    assert (report.reused, report.reindexed, report.tree.training.photos) == (0, PHOTOS, PHOTOS)


def test_photos_without_kept_features_are_described(own: Path, expected: VocabularyTree) -> None:
    bare = handcraft.open(own / "bare")
    bare.add(own / "photos", options=IndexOptions(keep_features=False))
    report = bare.build_vocabulary(own / "photos", SMALL, output=own / "mine.h5")
    assert report.reused == 0
    assert_same(report.tree, expected)


def test_features_of_other_options_are_not_taken(own: Path, expected: VocabularyTree) -> None:
    """They are of the same kind, but not those that the options ask for."""
    few = handcraft.open(own / "few", features=FeatureOptions(max_features=40))
    few.add(own / "photos")
    usual = handcraft.open(own / "few")
    report = usual.build_vocabulary(own / "photos", SMALL, output=own / "mine.h5")
    assert report.reused == 0
    assert_same(report.tree, expected)


def test_a_store_without_kept_features_is_refused(own: Path) -> None:
    bare = handcraft.open(own / "bare")
    bare.add(own / "photos", options=IndexOptions(keep_features=False))
    store = handcraft.open(own / "new")
    with pytest.raises(StoreError, match=r"bare keeps no features of 10 photos.*name the photos"):
        store.build_vocabulary(options=SMALL, from_store=bare.path)
    assert not store.exists


def test_a_store_that_is_missing_is_refused(own: Path) -> None:
    store = handcraft.open(own / "new")
    with pytest.raises(StoreError, match=r"There is no store at .*absent"):
        store.build_vocabulary(options=SMALL, from_store=own / "absent")
    assert not store.exists


def test_a_store_of_other_features_is_refused(own: Path) -> None:
    other = handcraft.open(own / "other", features=FeatureOptions(extractor="sift"))
    other.add(own / "photos" / "views")
    store = handcraft.open(own / "new", features=FeatureOptions())
    with pytest.raises(FingerprintError) as error:
        store.build_vocabulary(options=SMALL, from_store=other.path)
    assert "holds sift-rootsift (128 x uint8" in str(error.value)
    assert "would be for hessian-affine-rootsift (128 x uint8" in str(error.value)
    assert not store.path.exists()


def test_a_store_is_trained_on_as_it_describes_its_photos(own: Path) -> None:
    sift = FeatureOptions(extractor="sift", max_features=200)
    other = handcraft.open(own / "other", features=sift)
    other.add(own / "photos" / "views")
    new = handcraft.open(own / "new")
    new.build_vocabulary(options=SMALL, from_store=other.path)
    assert new.info().fingerprint == other.info().fingerprint
    tree = new.build_vocabulary(options=SMALL, from_store=other.path, output=own / "words.h5").tree
    assert str(tree.fingerprint) == other.info().fingerprint


def test_nothing_to_train_on_is_an_error(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    with pytest.raises(VocabularyError, match="There is nothing to train on; name photos, or a store"):
        store.build_vocabulary()
    assert leftovers(own) == []


def test_a_store_does_not_excuse_a_folder_without_photos(own: Path) -> None:
    (own / "empty").mkdir()
    store = handcraft.open(own / ".handcraft")
    with pytest.raises(PhotoError, match=r"There are no photos in .*empty"):
        store.build_vocabulary(own / "empty", SMALL, from_store=store.path)


# --- what it leaves behind ---


def test_an_output_leaves_the_store_alone(own: Path, expected: VocabularyTree) -> None:
    store = handcraft.open(own / ".handcraft")
    before = sorted((path, path.stat().st_mtime_ns) for path in store.path.rglob("*"))
    report = store.build_vocabulary(own / "photos", SMALL, output=own / "mine.h5")
    assert sorted((path, path.stat().st_mtime_ns) for path in store.path.rglob("*")) == before
    assert report.reindexed == 0
    assert_same(read_vocabulary(own / "mine.h5"), expected)
    assert leftovers(own) == []


def test_an_output_needs_no_store(own: Path) -> None:
    store = handcraft.open(own / "new")
    store.build_vocabulary(own / "photos", SMALL, output=own / "mine.h5")
    assert not store.path.exists()


def test_an_output_replaces_the_file_that_is_there(own: Path, expected: VocabularyTree) -> None:
    (own / "mine.h5").write_text("an older vocabulary", encoding="utf-8")
    handcraft.open(own / "new").build_vocabulary(own / "photos", SMALL, output=own / "mine.h5")
    assert_same(read_vocabulary(own / "mine.h5"), expected)


def test_nothing_is_left_of_a_training_that_is_done(own: Path) -> None:
    for store in (handcraft.open(own / ".handcraft"), handcraft.open(own / "new")):
        store.build_vocabulary(own / "photos", SMALL)
        assert leftovers(own) == []


@pytest.mark.parametrize("folder", [".handcraft", "new"])
def test_nothing_is_left_of_a_training_that_cannot_be(own: Path, folder: str) -> None:
    wall = save(blank_wall(), own / "wall.png")
    store = handcraft.open(own / folder)
    existed = store.path.exists()
    for photos, words in ((wall, 200), (own / "photos", 10**6), (own / "photos", 1), (own / "absent", 200)):
        with pytest.raises(HandcraftError):
            store.build_vocabulary(photos, VocabularyOptions(words=words))
        assert leftovers(own) == []
        assert store.path.exists() == existed


def test_nothing_is_left_of_an_output_that_cannot_be(own: Path) -> None:
    wall = save(blank_wall(), own / "wall.png")
    before = sorted(own.rglob("*"))
    with pytest.raises(HandcraftError):
        handcraft.open(own / "new").build_vocabulary(wall, SMALL, output=own / "mine.h5")
    assert sorted(own.rglob("*")) == before


def test_a_folder_that_was_there_before_stays(own: Path) -> None:
    wall = save(blank_wall(), own / "wall.png")
    (own / "results").mkdir()
    with pytest.raises(HandcraftError):
        handcraft.open(own / "new").build_vocabulary(wall, SMALL, output=own / "results" / "mine.h5")
    assert (own / "results").exists()


def test_nothing_is_left_where_the_store_to_train_on_is_missing(own: Path) -> None:
    before = sorted(own.rglob("*"))
    with pytest.raises(StoreError):
        handcraft.open(own / "new").build_vocabulary(options=SMALL, from_store=own / "absent")
    assert sorted(own.rglob("*")) == before


# --- going on after an interruption ---


@pytest.mark.parametrize(
    ("stage", "share"),
    [
        ("extracting", 0.5),
        ("training", 0.0),
        ("training", 0.45),
        ("training", 0.55),
        ("training", 1.0),
        ("re-indexing", 0.0),
        ("re-indexing", 1.0),
    ],
)
def test_a_training_goes_on_after_kill_9(
    own: Path, apart: Path, expected: VocabularyTree, stage: str, share: float
) -> None:
    store = handcraft.open(own / ".handcraft")
    words, before = store.info().words, ranking(store.query(own / "query.jpg", options=ONCE))
    command = [sys.executable, "-c", INTERRUPTED, str(store.path), str(apart), stage, str(share)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    store.refresh()
    assert store.check().problems == ()
    assert store.info().words == words
    assert ranking(store.query(own / "query.jpg", options=ONCE)) == before
    if stage != "extracting":
        spoil(apart)  # so that it shows if they are read again
    report = store.build_vocabulary(apart, SMALL)
    assert_same(report.tree, expected)
    assert (report.reindexed, report.unreadable) == (PHOTOS, ())
    assert report.tree.training.distortion == expected.training.distortion
    assert report.tree.training.balance == expected.training.balance
    assert store.check().problems == ()
    assert leftovers(own) == []


def test_an_output_goes_on_too(own: Path, apart: Path, expected: VocabularyTree) -> None:
    store = handcraft.open(own / "new")
    with pytest.raises(KeyboardInterrupt):
        store.build_vocabulary(apart, SMALL, output=own / "mine.h5", progress=stop_in_training)
    assert not (own / "mine.h5").exists()
    spoil(apart)
    report = store.build_vocabulary(apart, SMALL, output=own / "mine.h5")
    assert_same(report.tree, expected)
    assert leftovers(own) == []


def test_a_level_that_was_made_is_not_made_again(own: Path, apart: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    interrupt(store, apart)
    seen: list[float] = []

    def note(stage: str, done: int, total: int) -> None:
        assert stage != "extracting"
        if stage == "training":
            seen.append(done / total)

    store.build_vocabulary(apart, SMALL, progress=note)
    assert seen[0] > 0.5
    assert seen[-1] == 1


def test_a_training_from_a_store_goes_on(own: Path, expected: VocabularyTree) -> None:
    """And says what it was made of as if it had not been interrupted."""
    store = handcraft.open(own / "new")
    with pytest.raises(KeyboardInterrupt):
        store.build_vocabulary(options=SMALL, from_store=own / ".handcraft", progress=stop_in_training)
    report = store.build_vocabulary(options=SMALL, from_store=own / ".handcraft")
    assert_same(report.tree, expected)
    assert (report.reused, report.tree.training.photos) == (PHOTOS, PHOTOS)


def test_unreadable_photos_are_listed_after_an_interruption(own: Path, apart: Path) -> None:
    (apart / "words.jpg").write_text("no photo", encoding="utf-8")
    store = handcraft.open(own / ".handcraft")
    interrupt(store, apart)
    (error,) = store.build_vocabulary(apart, SMALL).unreadable
    assert str(error).startswith(f"{apart / 'words.jpg'} is not a JPEG")


@pytest.mark.parametrize(
    "change", [{"words": 50}, {"seed": 3}, {"sample": 1000}, {"iterations": 1}, {"depth": 3}], ids=str
)
def test_another_training_is_not_taken_for_the_interrupted_one(
    own: Path, apart: Path, change: dict[str, int]
) -> None:
    options = VocabularyOptions(**{"words": 200, "depth": 2, **change})
    store = handcraft.open(own / ".handcraft")
    interrupt(store, apart)
    assert_same(store.build_vocabulary(apart, options).tree, fresh_tree(own, apart, options))


def changed_photo(own: Path) -> None:
    save(scene(70), own / "apart" / "scene-0.jpg")


def added_photo(own: Path) -> None:
    save(scene(70), own / "apart" / "new.jpg")


def removed_photo(own: Path) -> None:
    (own / "apart" / "scene-0.jpg").unlink()


@pytest.mark.parametrize("change", [changed_photo, added_photo, removed_photo])
def test_other_photos_are_not_taken_for_the_interrupted_ones(
    own: Path, apart: Path, change: Callable[[Path], None]
) -> None:
    store = handcraft.open(own / ".handcraft")
    interrupt(store, apart)
    change(own)
    assert_same(store.build_vocabulary(apart, SMALL).tree, fresh_tree(own, apart))


def test_a_store_that_changed_is_not_taken_for_the_one_before(own: Path, apart: Path) -> None:
    source, store = handcraft.open(own / ".handcraft"), handcraft.open(own / "new")
    with pytest.raises(KeyboardInterrupt):
        store.build_vocabulary(options=SMALL, from_store=source.path, progress=stop_in_training)
    source.remove(own / "photos" / "scene-0.jpg")
    removed_photo(own)
    report = store.build_vocabulary(options=SMALL, from_store=source.path)
    assert_same(report.tree, fresh_tree(own, apart))


def test_a_store_that_was_made_anew_is_not_taken_for_the_one_before(own: Path, apart: Path) -> None:
    store = handcraft.open(own / "new")
    with pytest.raises(KeyboardInterrupt):
        store.build_vocabulary(options=SMALL, from_store=own / ".handcraft", progress=stop_in_training)
    shutil.rmtree(own / ".handcraft")
    for folder in (own / "photos", apart):
        save(scene(70), folder / "scene-0.jpg")
    handcraft.open(own / ".handcraft").add(own / "photos")
    report = store.build_vocabulary(options=SMALL, from_store=own / ".handcraft")
    assert_same(report.tree, fresh_tree(own, apart))


@pytest.mark.parametrize(("name", "words"), [("absent", 200), ("apart", 0)])
def test_a_slip_of_the_pen_does_not_undo_an_interrupted_training(
    own: Path, apart: Path, expected: VocabularyTree, name: str, words: int
) -> None:
    store = handcraft.open(own / ".handcraft")
    interrupt(store, apart)
    with pytest.raises(HandcraftError):
        store.build_vocabulary(own / name, VocabularyOptions(words=words))
    spoil(apart)
    report = store.build_vocabulary(apart, SMALL)
    assert report.unreadable == ()
    assert_same(report.tree, expected)


@pytest.mark.parametrize("name", ["sample.h5", "levels.h5"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_what_is_damaged_is_made_again(
    own: Path, apart: Path, expected: VocabularyTree, name: str, share: float
) -> None:
    store = handcraft.open(own / ".handcraft")
    interrupt(store, apart)
    (folder,) = leftovers(own)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(share * len(data))])
    report = store.build_vocabulary(apart, SMALL)
    assert_same(report.tree, expected)
    assert leftovers(own) == []


# --- beside other work ---


def test_a_store_is_searched_and_checked_meanwhile(own: Path, apart: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    before = ranking(store.query(own / "query.jpg", options=ONCE, verify=True))
    stages: set[str] = set()

    def look(stage: str, done: int, total: int) -> None:
        if stage in stages:
            return
        stages.add(stage)
        reader = handcraft.open(own / ".handcraft")
        assert reader.check().problems == ()
        assert ranking(reader.query(own / "query.jpg", options=ONCE, verify=True)) == before

    store.build_vocabulary(apart, SMALL, progress=look)
    assert stages == {"reading", "extracting", "training", "re-indexing"}


@pytest.fixture
def held(own: Path, apart: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that trains a vocabulary for the store of `own`, and waits before the first level."""
    command = [sys.executable, "-c", HELD, str(own / ".handcraft"), str(apart)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_training_is_told_who_the_first_is(own: Path, held: subprocess.Popen[str]) -> None:
    store = handcraft.open(own / ".handcraft")
    with pytest.raises(StoreLockedError) as error:
        store.build_vocabulary(own / "photos", SMALL)
    assert f"is being written by process {held.pid} on " in str(error.value)
    assert "(build-vocab, since " in str(error.value)
    assert str(error.value).endswith("; wait until it has ended.")
    held.communicate()
    assert held.returncode == 0
    store.refresh()
    assert store.info().words == 200
    assert store.check().problems == ()
    assert leftovers(own) == []


def test_a_training_with_an_output_of_its_own_need_not_wait(
    own: Path, held: subprocess.Popen[str], expected: VocabularyTree
) -> None:
    store = handcraft.open(own / ".handcraft")
    report = store.build_vocabulary(own / "photos", SMALL, output=own / "mine.h5")
    assert_same(report.tree, expected)


def test_photos_that_are_added_during_a_training_get_the_new_words(
    own: Path, held: subprocess.Popen[str]
) -> None:
    store = handcraft.open(own / ".handcraft")
    assert store.add(save(scene(80), own / "new.jpg")).added == 1
    held.communicate()
    assert held.returncode == 0
    store.refresh()
    assert (store.info().words, len(store)) == (200, PHOTOS + 1)
    assert store.check().problems == ()
    assert store.query(own / "new.jpg", verify=True).hits[0].name == "new.jpg"


def test_a_photo_of_both_sources_counts_once(own: Path) -> None:
    store = handcraft.open(own / ".handcraft")
    both = store.build_vocabulary(own / "photos", SMALL, from_store=store.path, output=own / "both.h5")
    one = store.build_vocabulary((), SMALL, from_store=store.path, output=own / "one.h5")
    assert both.tree.training.photos == one.tree.training.photos == PHOTOS
    assert (both.tree.centroids == one.tree.centroids).all()
