"""Writers that are killed, that meet a full disk, that meet each other, and readers meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from photographs import ONCE, SCENES, copy_of, ranking, save, scene, segment_bytes
from PIL import Image

import handcraft
from handcraft.errors import StoreError, StoreLockedError
from handcraft.options import FeatureOptions, IndexOptions, SignatureOptions, VocabularyOptions
from handcraft.storage.locks import LOCK_FILE

PHOTOS = SCENES + 2
PARTS = ("index", "signatures", "features")  # the files of a segment
KILLED_WRITER = Path(__file__).with_name("killed_writer.py")
PER_COMMIT = IndexOptions(photos_per_commit=2)  # as in killed_writer.py
METHODS = {
    "asmk": PER_COMMIT,
    "single": replace(PER_COMMIT, signatures=SignatureOptions(aggregated=False)),
    "vlad": replace(PER_COMMIT, method="vlad"),
}
SMALL = VocabularyOptions(words=300)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten small photos in photos/, query.jpg, and in template/ a store of few words
    and no photos."""
    folder = tmp_path_factory.mktemp("crashes")
    (folder / "photos").mkdir()
    scenes = [scene(number, 200, 150) for number in range(PHOTOS)]
    for number, image in enumerate(scenes):
        save(image, folder / "photos" / f"scene-{number}.jpg")
    save(scenes[5].rotate(20, Image.Resampling.BICUBIC), folder / "query.jpg")
    new_store(folder / "template").build_vocabulary(folder / "photos", SMALL)
    return folder


def new_store(path: Path) -> handcraft.Store:
    """One of few features, so that it is quick."""
    return handcraft.open(path, features=FeatureOptions(max_features=200))


def copy_with(photos: Path, folder: Path) -> Path:
    """A copy of the photos and the template in a folder of its own."""
    return Path(shutil.copytree(photos, folder / "case"))


def kill(job: str, folder: Path, moments: int) -> list[dict[str, object]]:
    """What killed_writer.py did."""
    done = subprocess.run(
        [sys.executable, str(KILLED_WRITER), job, str(folder), str(moments)],
        check=True,
        capture_output=True,
        text=True,
    )
    report = json.loads(done.stdout)
    assert report["calls"] >= moments
    return list(report["kills"])


def rankings(store: handcraft.Store, folder: Path, method: str = "") -> list[object]:
    """By a method, or by the store's own."""
    query, options = folder / "query.jpg", replace(ONCE, method=method)
    return [ranking(store.query(query, options=options, verify=verify)) for verify in (False, True)]


def assert_no_litter(store: handcraft.Store) -> None:
    """On disk is what the manifest names, and nothing that a killed writer left."""
    on_disk = {path.relative_to(store.path).as_posix() for path in store.path.rglob("*") if path.is_file()}
    named = {entry.name for entry in store.snapshot.manifest.files}
    assert on_disk == {*named, "manifest.json", LOCK_FILE}


# --- kill -9 ---


def test_index_goes_on_after_kill_9(photos: Path, tmp_path: Path) -> None:
    folder = copy_with(photos, tmp_path)
    expected = new_store(folder / "expected")
    expected.build_vocabulary(folder / "photos", SMALL)
    expected.add(folder / "photos", options=PER_COMMIT)
    kills = kill("index", folder, 10)
    assert {report["signal"] for report in kills} == {9}
    committed = [report["committed"] for report in kills]
    assert set(committed) == {0, 2, 4, 6, 8, 10}  # the moments are spread over the whole run
    for report in kills:
        store = handcraft.open(str(report["store"]))
        assert store.check().problems == ()
        assert len(store) == report["committed"]
        assert store.names == expected.names[: len(store)]
        again = store.add(folder / "photos", options=PER_COMMIT)
        assert (again.unchanged, again.added) == (report["committed"], PHOTOS - again.unchanged)
        assert store.check().problems == ()
        assert rankings(store, folder) == rankings(expected, folder)
        assert_no_litter(store)


def test_a_first_run_goes_on_after_kill_9(photos: Path, tmp_path: Path) -> None:
    """There may be no store at all yet."""
    folder = copy_with(photos, tmp_path)
    shutil.rmtree(folder / "template")
    for report in kill("index", folder, 3):
        store = handcraft.open(str(report["store"]))
        if store.exists:
            assert store.check().problems == ()
        assert len(store) == report["committed"]
        assert store.add(folder / "photos", options=PER_COMMIT).unchanged == report["committed"]
        assert len(store) == PHOTOS
        assert store.check().problems == ()
        assert_no_litter(store)


@pytest.mark.parametrize(
    ("methods", "moments"), [(("asmk", "vlad"), 10), (("single",), 4)], ids=["vectors too", "single"]
)
def test_optimize_goes_on_after_kill_9(
    photos: Path, tmp_path: Path, methods: tuple[str, ...], moments: int
) -> None:
    folder = copy_with(photos, tmp_path)
    template = handcraft.open(folder / "template")
    for method in methods:
        template.add(folder / "photos", options=METHODS[method])
    template.remove(folder / "photos" / "scene-4.jpg")

    def answers(store: handcraft.Store) -> list[object]:
        return [rankings(store, folder, method) for method in store.info().methods]

    before = answers(template)
    kills = kill("optimize", folder, moments)
    assert {report["signal"] for report in kills} == {9}
    segments = set()
    for report in kills:
        store = handcraft.open(str(report["store"]))
        assert store.check().problems == ()
        segments.add(len(store.info().segments))
        assert answers(store) == before
        store.optimize()
        assert store.check().problems == ()
        assert [(s.photos, s.removed) for s in store.info().segments] == [(PHOTOS - 1, 0)]
        assert answers(store) == before
        assert_no_litter(store)
    assert segments == {5, 1}  # killed before the commit, and after it


def test_adding_signatures_goes_on_after_kill_9(photos: Path, tmp_path: Path) -> None:
    folder = copy_with(photos, tmp_path)
    template = handcraft.open(folder / "template")
    template.add(folder / "photos", options=IndexOptions(method="bow", photos_per_commit=5))
    expected = handcraft.open(shutil.copytree(template.path, folder / "expected"))
    expected.add(folder / "photos", options=IndexOptions(method="asmk"))
    after = rankings(expected, folder, "asmk")
    kills = kill("add_signatures", folder, 6)
    assert {report["signal"] for report in kills} == {9}
    methods = []
    for report in kills:
        store = handcraft.open(str(report["store"]))
        assert store.check().problems == ()
        methods.append(tuple(store.info().methods))
        assert rankings(store, folder, "bow")[0] == rankings(template, folder, "bow")[0]  # by votes
        assert store.add(folder / "photos", options=IndexOptions(method="asmk")).unchanged == PHOTOS
        assert store.check().problems == ()
        assert rankings(store, folder, "asmk") == after
        assert_no_litter(store)
    assert set(methods) == {("bow",), ("bow", "asmk")}


def test_adding_vectors_goes_on_after_kill_9(photos: Path, tmp_path: Path) -> None:
    """The model is written before them."""
    folder = copy_with(photos, tmp_path)
    template = handcraft.open(folder / "template")
    template.add(folder / "photos", options=IndexOptions(method="bow", photos_per_commit=5))
    before = rankings(template, folder)
    kills = kill("add_vectors", folder, 3)
    assert {report["signal"] for report in kills} == {9}
    methods, after = [], []
    for report in kills:
        store = handcraft.open(str(report["store"]))
        assert store.check().problems == ()
        methods.append(tuple(store.info().methods))
        assert rankings(store, folder) == before
        assert store.add(folder / "photos", options=IndexOptions(method="vlad")).unchanged == PHOTOS
        assert store.check().problems == ()
        assert len(list(store.path.glob("vlad-*"))) == 1
        after.append(rankings(store, folder, "vlad"))
        assert_no_litter(store)
    assert set(methods) == {("bow",), ("bow", "vlad")}
    assert after == after[:1] * len(kills)


def test_build_vocabulary_goes_on_after_kill_9(photos: Path, tmp_path: Path) -> None:
    folder = copy_with(photos, tmp_path)
    template = handcraft.open(folder / "template")
    template.add(folder / "photos", options=IndexOptions(photos_per_commit=5))
    before = rankings(template, folder)
    shutil.copytree(folder / "template", folder / "expected")
    options = VocabularyOptions(words=60)  # as in killed_writer.py
    handcraft.open(folder / "expected").build_vocabulary(folder / "photos", options)
    after = rankings(handcraft.open(folder / "expected"), folder)
    kills = kill("build_vocabulary", folder, 6)
    assert {report["signal"] for report in kills} == {9}
    words = []
    for report in kills:
        store = handcraft.open(str(report["store"]))
        assert store.check().problems == ()
        words.append(store.info().words)
        assert rankings(store, folder) == (after if words[-1] == 60 else before)
        store.build_vocabulary(folder / "photos", options)
        assert store.check().problems == ()
        assert rankings(store, folder) == after
        assert_no_litter(store)
    assert words == sorted(words, reverse=True)
    assert set(words) == {300, 60}


def test_an_indexing_process_is_killed_from_outside(photos: Path, tmp_path: Path) -> None:
    """The signal comes when it comes: as soon as the first segment is committed."""
    folder = copy_with(photos, tmp_path)
    code = (
        "import sys, handcraft\n"
        "from handcraft.options import IndexOptions\n"
        "store = handcraft.open(sys.argv[1], threads=1)\n"
        "report = lambda stage, done, total: print(done, flush=True)\n"
        "store.add(sys.argv[2], options=IndexOptions(photos_per_commit=2), progress=report)\n"
    )
    for seen in (3, 7):
        store = handcraft.open(shutil.copytree(folder / "template", folder / f"store-{seen}"))
        command = [sys.executable, "-c", code, str(store.path), str(folder / "photos")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) == seen:
                    process.kill()
                    break
        assert process.returncode == -9
        assert store.check().problems == ()
        kept = len(store)
        assert kept >= seen - 1
        assert kept % 2 == 0
        assert store.add(folder / "photos", options=PER_COMMIT).unchanged == kept
        assert len(store) == PHOTOS
        assert store.check().problems == ()
        assert_no_litter(store)


# --- a second writer ---


@pytest.fixture
def held(collection: Path, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A copy of the collection, and a process that is writing to its store."""
    own = copy_of(collection, tmp_path)
    code = (
        "import sys, pathlib\n"
        "from handcraft.engine.writing import writer\n"
        "with writer(pathlib.Path(sys.argv[1]), 'index'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(own / ".handcraft")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield own, process
        process.kill()


def test_a_second_writer_is_told_who_the_first_is(held: tuple[Path, subprocess.Popen[str]]) -> None:
    own, process = held
    store = handcraft.open(own / ".handcraft")
    for write in (
        lambda: store.add(own / "photos"),
        lambda: store.remove(own / "photos"),
        store.optimize,
        lambda: store.build_vocabulary(own / "photos" / "views", VocabularyOptions(words=20)),
    ):
        with pytest.raises(StoreLockedError) as error:
            write()
        sentence = str(error.value)
        assert sentence.startswith(f"The store {store.path} is being written by process {process.pid} on ")
        assert "(index, since " in sentence
        assert sentence.endswith("; wait until it has ended.")
    assert len(store) == PHOTOS


def test_reading_goes_on_while_another_process_writes(held: tuple[Path, subprocess.Popen[str]]) -> None:
    own, _ = held
    store = handcraft.open(own / ".handcraft")
    assert store.query(own / "query.jpg", verify=True).hits[0].match is not None
    assert store.check().problems == ()
    assert store.info().photos == PHOTOS


def test_the_lock_of_a_killed_process_is_free(held: tuple[Path, subprocess.Popen[str]]) -> None:
    own, process = held
    process.kill()
    process.wait()
    store = handcraft.open(own / ".handcraft")
    assert store.remove(own / "photos" / "scene-0.jpg") == 1
    assert store.check().problems == ()
    assert_no_litter(store)


def test_the_lock_is_free_after_an_error(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    store = handcraft.open(own / ".handcraft")
    with pytest.raises(StoreError):
        store.remove(own / "absent.jpg")
    assert store.remove(own / "photos" / "scene-0.jpg") == 1


# --- readers while another process commits ---


def test_a_reader_keeps_its_generation(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    reader = handcraft.open(own / ".handcraft")
    before = rankings(reader, own)
    names = reader.names
    save(scene(80), own / "photos" / "new.jpg")
    code = (
        "import sys, pathlib, handcraft\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "store = handcraft.open(folder / '.handcraft')\n"
        "store.remove(folder / 'photos' / 'scene-3.jpg')\n"
        "store.add(folder / 'photos' / 'new.jpg')\n"
        "store.optimize()\n"
        "store.build_vocabulary(folder / 'photos', handcraft.VocabularyOptions(words=50))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(own)], check=True)
    assert rankings(reader, own) == before
    assert reader.names == names
    assert reader.info().photos == PHOTOS
    reader.refresh()
    assert reader.info().words == 50
    assert set(names) - set(reader.names) == {"photos/scene-3.jpg"}
    assert set(reader.names) - set(names) == {"photos/new.jpg"}


def test_a_writer_sees_its_own_commits(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    store = handcraft.open(own / ".handcraft")
    assert len(store) == PHOTOS
    store.add(save(scene(81), own / "new.jpg"))
    assert len(store) == PHOTOS + 1
    assert store.query(own / "new.jpg").hits[0].name == "new.jpg"
    store.remove(own / "new.jpg")
    assert "new.jpg" not in [hit.name for hit in store.query(own / "new.jpg").hits]


def test_a_writer_builds_on_what_others_committed(collection: Path, tmp_path: Path) -> None:
    """Even if it had opened the store before."""
    own = copy_of(collection, tmp_path)
    one, two = handcraft.open(own / ".handcraft"), handcraft.open(own / ".handcraft")
    assert len(one) == len(two) == PHOTOS
    one.add(save(scene(82), own / "one.jpg"))
    two.add(save(scene(83), own / "two.jpg"))
    assert {"one.jpg", "two.jpg"} <= set(two.names)
    one.refresh()
    assert one.names == two.names


# --- a full disk ---


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 3 MB, not below tmp_path, which pytest could not clean up if this was killed."""
    with tempfile.TemporaryDirectory() as disk:
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]
        if sys.platform != "linux" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a small file system can be mounted by root only")
        try:
            yield Path(disk)
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("free", [0, 4096, 20_000, 60_000, 200_000, 300_000])
def test_index_on_a_full_disk(photos: Path, small_disk: Path, free: int) -> None:
    shutil.copytree(photos / "template", small_disk / "store")
    store = handcraft.open(small_disk / "store")
    store.add([photos / "photos" / "scene-0.jpg", photos / "photos" / "scene-1.jpg"])
    names = store.names
    filler = small_disk / "filler"
    space = os.statvfs(small_disk)
    filler.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - free)))
    with pytest.raises(StoreError) as error:
        store.add(photos / "photos", options=PER_COMMIT)
    assert str(error.value).startswith(f"No space is left to write {store.path}")
    assert str(error.value).endswith(
        "; free some and run the same command again: what was committed before is whole."
    )
    store.refresh()
    assert store.check().problems == ()
    assert store.names[:2] == names
    assert (len(store) > 2) == (free >= 200_000)
    kept = len(store)
    filler.unlink()
    again = store.add(photos / "photos", options=PER_COMMIT)
    assert (again.unchanged, again.added) == (kept, PHOTOS - kept)
    assert store.check().problems == ()
    assert_no_litter(store)


def test_a_new_store_on_a_full_disk(photos: Path, small_disk: Path) -> None:
    """The shipped vocabulary alone does not fit."""
    store = handcraft.open(small_disk / "store")
    with pytest.raises(StoreError, match="No space is left to write"):
        store.add(photos / "photos")
    assert not store.exists
    assert list(small_disk.rglob("*.h5")) == []


@pytest.mark.parametrize("job", ["optimize", "build_vocabulary", "remove"])
def test_other_writers_on_a_full_disk(photos: Path, small_disk: Path, job: str) -> None:
    shutil.copytree(photos / "template", small_disk / "store")
    store = handcraft.open(small_disk / "store")
    store.add(photos / "photos", options=IndexOptions(photos_per_commit=5))
    before = rankings(store, photos)
    space = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(space.f_bavail * space.f_frsize))
    write = {
        "optimize": store.optimize,
        "build_vocabulary": lambda: store.build_vocabulary(photos / "photos", VocabularyOptions(words=100)),
        "remove": lambda: store.remove(photos / "photos" / "scene-0.jpg"),
    }[job]
    with pytest.raises(StoreError, match="No space is left to write"):
        write()
    store.refresh()
    assert store.check().problems == ()
    assert rankings(store, photos) == before


def test_a_limit_on_the_size_of_files(photos: Path, tmp_path: Path) -> None:
    folder = copy_with(photos, tmp_path)
    store = handcraft.open(folder / "template")
    store.add([folder / "photos" / "scene-0.jpg", folder / "photos" / "scene-1.jpg"])
    code = (
        "import resource, sys, handcraft\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    handcraft.open(sys.argv[1]).add(sys.argv[2])\n"
        "except handcraft.HandcraftError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", code, str(store.path), str(folder / "photos")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(f"No space is left to write {store.path / 'segments'}")
    assert store.check().problems == ()
    assert len(store) == 2
    assert segment_bytes(store.path).keys() == {f"000001.{part}.h5" for part in PARTS}
    assert store.add(folder / "photos").added == PHOTOS - 2
