"""Bad input ends in one clear sentence, the right exit code, and a store that is whole."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import run, run_process, sentence
from permissions import NOBODY, a_common_user
from photographs import SCENES, blank_wall, copy_of, save, scene
from PIL import Image

from handcraft.types import Fingerprint
from handcraft.vocabulary.files import write_vocabulary
from handcraft.vocabulary.tree import Training, VocabularyTree

PHOTOS = SCENES + 2
LONG_NAME = "photo-" + "x" * 240 + ".jpg"  # 250 bytes, of the 255 that a name may have
WRONG_BYTES = b"caf\xe9-\xff.jpg"  # no UTF-8


def assert_whole(photos: int, store: str = ".handcraft") -> None:
    """`check` finds nothing, and the photos committed before are all there."""
    report = run("check", "--store", store, "--json").data
    assert (report["whole"], report["photos"]) == (True, photos)
    if photos >= PHOTOS:
        hit = run("query", "query.jpg", "--store", store, "--verify", "--json").data["hits"][0]
        assert hit["inliers"] > 10


# --- photos that cannot be read ---


def test_an_empty_folder(own: Path) -> None:
    (own / "empty").mkdir()
    formats = ".bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp"
    expected = f"There are no photos in empty; handcraft reads {formats}."
    assert sentence(run("index", "empty", code=1)) == expected
    assert sentence(run("build-vocab", "empty", code=1)) == expected
    assert_whole(PHOTOS)
    assert sentence(run("index", "empty", "--store", "fresh", code=1)) == expected
    assert not (own / "fresh").exists()


def test_a_folder_or_file_that_is_missing(own: Path) -> None:
    expected = "There is no file or folder absent; check the name."
    assert sentence(run("index", "absent", code=1)) == expected
    assert_whole(PHOTOS)


BROKEN = {
    "text": lambda data: b"this is no photo, it is a text\n",
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "header": lambda data: data[:20],
    "magic": lambda data: data[:3],
}
REASONS = {
    "text": "is not a JPEG, PNG, TIFF, WebP or BMP photo, whatever its name says.",
    "empty": "is an empty file.",
    "truncated": "is truncated or damaged: its pixels cannot be decoded.",
    "header": "is damaged: its header cannot be read.",
    "magic": "is damaged: its header cannot be read.",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_photo(own: Path, kind: str) -> None:
    broken = own / "photos" / "broken.jpg"
    broken.write_bytes(BROKEN[kind]((own / "photos" / "scene-0.jpg").read_bytes()))
    save(scene(96), own / "photos" / "zebra.jpg")  # comes after it and is indexed all the same
    outcome = run("index", "photos", code=3)
    assert outcome.out.startswith("1 photo added, 0 updated, 10 unchanged in ")
    assert outcome.err == f"1 photo could not be read:\n  {broken} {REASONS[kind]}\n"
    assert_whole(PHOTOS + 1)
    assert sentence(run("query", "photos/broken.jpg", code=1)) == f"photos/broken.jpg {REASONS[kind]}"
    only = run("index", "photos/broken.jpg", "--store", "fresh", code=3)
    assert only.out.endswith("; fresh holds 0 photos.\n")
    assert_whole(0, "fresh")


def test_a_photo_without_features(own: Path) -> None:
    """It is one of the store's photos, so that it is not read again, but nothing finds it."""
    save(blank_wall(), own / "photos" / "wall.png")
    assert run("index", "photos").out.startswith("1 photo added, ")
    assert run("index", "photos").out.startswith("0 photos added, 0 updated, 11 unchanged")
    assert "photos/wall.png" in run("info", "--photos").out
    hits = run("query", "query.jpg", "--verify", "--top", "99", "--json").data["hits"]
    assert len(hits) == PHOTOS
    assert sentence(run("query", "photos/wall.png", code=1)) == (
        "No features were found in photos/wall.png: it shows too little texture to search with."
    )
    assert_whole(PHOTOS + 1)


def test_index_says_how_many_photos_have_no_features(own: Path) -> None:
    """Otherwise their owner will wonder why they are never found."""
    save(blank_wall(), own / "photos" / "wall.png")
    outcome = run("index", "photos")
    assert "wall.png" in outcome.out + outcome.err


def test_a_photo_of_one_pixel(own: Path) -> None:
    for name in ("tiny.png", "tiny.jpg", "tiny.bmp"):
        save(Image.new("RGB", (1, 1), "red"), own / "photos" / name)
    for name, size in (("wide.png", (400, 1)), ("high.png", (1, 400))):
        save(scene(3).resize(size), own / "photos" / name)
    assert run("index", "photos").out.startswith("5 photos added, ")
    assert_whole(PHOTOS + 5)
    text = sentence(run("query", "photos/tiny.png", code=1))
    assert text.startswith("No features were found in photos/tiny.png: ")


def test_a_photo_of_20000_by_20000_pixels(own: Path) -> None:
    small = scene(97).convert("1", dither=Image.Dither.NONE)
    big = Image.new("1", (20_000, 20_000))
    big.paste(small.resize((16_000, 12_000), Image.Resampling.NEAREST), (2000, 3000))
    big.save(own / "photos" / "big.png", compress_level=1)
    del big
    assert run("index", "photos").out.startswith("1 photo added, ")
    assert_whole(PHOTOS + 1)
    save(small.convert("L"), own / "small.png")
    hit = run("query", "small.png", "--verify", "--json").data["hits"][0]
    assert hit["name"] == "photos/big.png"
    region = np.array(hit["region"])
    np.testing.assert_allclose(region[0], [2000, 3000], atol=200)
    np.testing.assert_allclose(region[2], [18_000, 15_000], atol=200)


def test_a_photo_with_too_many_pixels(own: Path) -> None:
    """The header alone says so; nothing is decoded."""
    data = bytearray((own / "query.jpg").read_bytes())
    start = data.index(b"\xff\xc0") + 5  # height and width follow the frame's marker
    data[start : start + 4] = (65_000).to_bytes(2, "big") * 2
    (own / "photos" / "huge.jpg").write_bytes(data)
    outcome = run("index", "photos", code=3)
    assert "huge.jpg is too large: it has 65000 x 65000 pixels, the limit is 536,870,912" in outcome.err
    assert_whole(PHOTOS)


# --- names ---


def test_names_that_are_no_utf8(own: Path) -> None:
    raw = os.fsencode(own / "photos") + b"/" + WRONG_BYTES
    shutil.move(save(scene(98), own / "new.jpg"), raw)
    name = os.fsdecode(b"photos/" + WRONG_BYTES)
    assert run("index", "photos").out.startswith("1 photo added, ")
    assert run("index", "photos").out.startswith("0 photos added, ")
    shown = "photos/caf\\udce9-\\udcff.jpg"
    assert shown in run_process("info", "--photos", folder=own).out.splitlines()
    drawing = ("--html", "page.html", "--save-matches", "drawn")
    text = run_process("query", name, *drawing, "--top", "1", folder=own)
    assert text.out.splitlines()[1].endswith(shown)
    assert text.err == "Written: drawn\nWritten: page.html\n"
    assert "caf" in (own / "page.html").read_bytes().decode("utf-8")
    (picture,) = (own / "drawn").iterdir()
    assert re.fullmatch(r"001-caf-+\.jpg", picture.name)
    data = run("query", name, "--verify", "--json").data
    assert data["hits"][0]["name"] == name
    assert os.fsencode(data["hits"][0]["path"]) == raw
    missing = run_process("query", os.fsdecode(b"no-\xff.jpg"), folder=own, code=1)
    assert missing.err == "Error: There is no photo at no-\\udcff.jpg; check the name.\n"
    assert run("remove", name).out.startswith("1 photo removed")
    assert_whole(PHOTOS)


def test_names_in_a_locale_without_unicode(own: Path) -> None:
    save(scene(99), own / "photos" / "ümlaut-日本.jpg")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    run("index", "photos")
    outcome = run_process("query", "query.jpg", folder=own, environment=environment)
    assert "mlaut-" in outcome.out
    assert "mlaut-" in run_process("info", "--photos", folder=own, environment=environment).out


def test_names_of_250_characters(own: Path) -> None:
    assert len(LONG_NAME) == 250
    save(scene(98), own / "photos" / LONG_NAME)
    assert run("index", "photos").out.startswith("1 photo added, ")
    assert f"photos/{LONG_NAME}" in run("info", "--photos").out.splitlines()
    arguments = ("query", f"photos/{LONG_NAME}", "--verify", "--html", "page.html", "--save-matches", "drawn")
    assert run(*arguments).out.splitlines()[1].endswith(f"photos/{LONG_NAME}")
    assert LONG_NAME in (own / "page.html").read_text(encoding="utf-8")
    assert len(list((own / "drawn").iterdir())) == PHOTOS + 1
    assert run("query", f"photos/{LONG_NAME}", "--json").data["hits"][0]["name"] == f"photos/{LONG_NAME}"
    assert_whole(PHOTOS + 1)


def test_a_name_that_is_too_long_for_the_disk(own: Path) -> None:
    name = "x" * 300
    for command in ("index", "query"):
        assert "x" * 300 in sentence(run(command, name, code=1))
    assert_whole(PHOTOS)


# --- folders ---


def test_a_symlink_loop(own: Path) -> None:
    (own / "photos" / "again").symlink_to(own / "photos")
    (own / "photos" / "views" / "up").symlink_to("..")
    save(scene(96), own / "photos" / "new.jpg")
    assert run("index", "photos").out.startswith("1 photo added, 0 updated, 10 unchanged")
    (own / "photos" / "ouroboros.jpg").symlink_to("ouroboros.jpg")
    outcome = run("index", "photos", code=3)
    assert outcome.out.startswith("0 photos added, 0 updated, 11 unchanged")
    assert str(own / "photos" / "ouroboros.jpg") in outcome.err
    assert outcome.err.startswith("1 photo could not be read:\n")
    assert len(outcome.err.splitlines()) == 2
    assert_whole(PHOTOS + 1)


def test_a_link_to_nowhere(own: Path) -> None:
    (own / "photos" / "dangling.jpg").symlink_to("nowhere.jpg")
    outcome = run("index", "photos", code=3)
    assert f"There is no photo at {own / 'photos' / 'dangling.jpg'}; check the name." in outcome.err
    assert_whole(PHOTOS)


@pytest.fixture
def open_folder(collection: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the collection that a common user may read and write, as the current folder."""
    monkeypatch.delenv("HANDCRAFT_STORE", raising=False)
    with tempfile.TemporaryDirectory() as name:
        folder = copy_of(collection, Path(name))
        for path in (Path(name), folder, *folder.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            path.chmod(0o755 if path.is_dir() else 0o644)
        monkeypatch.chdir(folder)
        yield folder
        monkeypatch.undo()


def test_a_folder_without_permission(open_folder: Path) -> None:
    views = open_folder / "photos" / "views"
    save(scene(96), open_folder / "photos" / "new.jpg")
    views.chmod(0o000)
    try:
        with a_common_user():
            outcome = run("index", "photos", code=3)
            assert outcome.out.startswith("1 photo added, 0 updated, 8 unchanged")
            line = f"No permission to look into {views}; change its mode or your user."
            assert outcome.err == f"1 photo could not be read:\n  {line}\n"
            assert sentence(run("index", "photos/views", code=1)) == line
            inside = sentence(run("index", "photos/views/near.jpg", code=1))
            assert "ermission" in inside
            text = sentence(run("query", "photos/views/near.jpg", code=1))
            assert text == "No permission to read photos/views/near.jpg; change its mode or your user."
    finally:
        views.chmod(0o755)
    assert_whole(PHOTOS + 1)


def test_photos_that_cannot_be_looked_at_are_not_missing(open_folder: Path) -> None:
    views = open_folder / "photos" / "views"
    views.chmod(0o000)
    try:
        with a_common_user():
            outcome = run("remove", "--missing", code=0)
            assert outcome.out.startswith("0 photos removed")
    finally:
        views.chmod(0o755)
    assert_whole(PHOTOS)


def test_a_photo_without_permission(open_folder: Path) -> None:
    photo = save(scene(96), open_folder / "photos" / "new.jpg")
    photo.chmod(0o000)
    with a_common_user():
        outcome = run("index", "photos", code=3)
    expected = f"No permission to read {photo}; change its mode or your user."
    assert outcome.err == f"1 photo could not be read:\n  {expected}\n"
    assert_whole(PHOTOS)


def test_a_store_that_may_not_be_written(open_folder: Path) -> None:
    for folder in (open_folder / ".handcraft", open_folder / ".handcraft" / "segments", open_folder):
        folder.chmod(0o555)
    save(scene(96), open_folder / "photos" / "new.jpg")
    try:
        with a_common_user():
            text = sentence(run("remove", "photos/scene-0.jpg", code=1))
            assert text.startswith(f"No permission to write {open_folder / '.handcraft'}")
            assert text.endswith("; change its mode, or choose another place.")
            assert sentence(run("index", "photos", code=1)).startswith("No permission to write ")
            assert len(run("query", "query.jpg", "--json").data["hits"]) == PHOTOS  # reading goes on
            assert sentence(run("index", "photos", "--store", "new", code=1)).startswith(
                f"No permission to write {open_folder / 'new'}"
            )
    finally:
        for folder in (open_folder, open_folder / ".handcraft", open_folder / ".handcraft" / "segments"):
            folder.chmod(0o755)
    assert_whole(PHOTOS)


def test_a_user_without_a_place_for_compiled_kernels(own: Path) -> None:
    """As in a container: no home, and a package that somebody else has installed. Numba tries its
    folders by making a temporary file there."""
    code = (
        "import tempfile, handcraft.cli\n"
        "def refuse(*arguments, **options):\n"
        "    raise PermissionError(13, 'Permission denied')\n"
        "tempfile.TemporaryFile = refuse\n"
        "handcraft.cli.main()\n"
    )
    outcome = run_process("info", "--json", folder=own, program=(sys.executable, "-c", code))
    assert outcome.data["photos"] == PHOTOS


def test_a_page_that_may_not_be_written(open_folder: Path) -> None:
    (open_folder / "photos").chmod(0o555)
    try:
        with a_common_user():
            text = sentence(run("query", "query.jpg", "--html", "photos/page.html", code=1))
    finally:
        (open_folder / "photos").chmod(0o755)
    assert text.startswith("No permission to write photos/page.html")
    assert "--store" not in text  # another store would not help


# --- stores ---


def test_a_store_of_a_newer_format(own: Path) -> None:
    manifest = own / ".handcraft" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    newer = text.replace('"format": 3', '"format": 7')
    assert newer != text
    manifest.write_text(newer, encoding="utf-8")
    expected = (
        f"The store {own / '.handcraft'} has format 7, this handcraft reads up to 3; "
        "install a newer handcraft."
    )
    for arguments in (("query", "query.jpg"), ("index", "photos"), ("info",), ("check",), ("optimize",)):
        assert sentence(run(*arguments, code=1)) == expected
    manifest.write_text(text, encoding="utf-8")
    assert_whole(PHOTOS)


def test_a_damaged_manifest(own: Path) -> None:
    manifest = own / ".handcraft" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:100])
    expected = f"{manifest} is damaged; index the photos again into a new store."
    for arguments in (("query", "query.jpg"), ("index", "photos"), ("info",), ("check",), ("optimize",)):
        assert sentence(run(*arguments, code=1)) == expected


@pytest.mark.parametrize(
    "fingerprint",
    [
        Fingerprint("deep", 64, "float32"),
        Fingerprint("hessian-affine-rootsift", 64, "uint8"),
        Fingerprint("hessian-affine-rootsift", 128, "float32"),
        Fingerprint("sift-rootsift", 128, "uint8"),
    ],
    ids=str,
)
def test_a_vocabulary_of_another_extractor(own: Path, fingerprint: Fingerprint) -> None:
    centroids = np.zeros((3, fingerprint.dimension), fingerprint.dtype)
    centroids[1:] = [[1], [9]]
    tree = VocabularyTree.of(
        centroids, np.array([2, 0, 0], np.uint32), fingerprint, Training("nothing", 1, 2, 0.0)
    )
    write_vocabulary(own / "deep.h5", tree)
    text = sentence(run("index", "photos", "--store", "fresh", "--vocabulary", "deep.h5", code=1))
    assert text.startswith(
        f"The vocabulary is for {fingerprint}, the photos give hessian-affine-rootsift (128 x"
    )
    assert text.endswith("; train one for them with `handcraft build-vocab`.")
    run("index", "photos", "--store", "fresh")
    assert_whole(PHOTOS, "fresh")


def test_a_truncated_vocabulary(own: Path) -> None:
    run("build-vocab", "photos", "--words", "50", "--output", "mine.h5")
    data = (own / "mine.h5").read_bytes()
    for length in (0, 7, 100, len(data) // 3, len(data) // 2, len(data) - 1):
        (own / "mine.h5").write_bytes(data[:length])
        expected = "mine.h5 is truncated or damaged; make it again."
        assert sentence(run("vocab", "info", "mine.h5", code=1)) == expected
        arguments = ("photos", "--store", "fresh", "--vocabulary", "mine.h5")
        assert sentence(run("index", *arguments, code=1)) == expected
        assert not (own / "fresh" / "manifest.json").exists()


def test_a_truncated_vocabulary_of_a_store(own: Path) -> None:
    file = own / ".handcraft" / "vocabulary-000001.h5"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:1000])
    expected = f"{file} has 1000 bytes instead of {size}; run `handcraft check`."
    for arguments in (("vocab", "info"), ("query", "query.jpg"), ("index", "photos")):
        assert sentence(run(*arguments, code=1)) == expected
    for arguments in (("photos",), ("--from", ".handcraft")):
        assert sentence(run("build-vocab", *arguments, "--words", "50", code=1)) == expected


# --- vocabularies that cannot be trained ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos", "--words", "0"), "A vocabulary of 0 words cannot be trained; ask for 2 to 100,000,000."),
        (
            ("photos", "--words", "1000000000"),
            "A vocabulary of 1000000000 words cannot be trained; ask for 2 to 100,000,000.",
        ),
        (
            ("photos", "--iterations", "0"),
            "A vocabulary needs a depth of 0 or more and 1 iteration or more.",
        ),
        (
            ("wall.png", "--words", "20"),
            "0 descriptors are too few for 20 words; give more photos or ask for fewer words with --words.",
        ),
    ],
)
@pytest.mark.parametrize("place", [("--store", ".handcraft"), ("--store", "fresh"), ("--output", "mine.h5")])
def test_a_vocabulary_that_cannot_be_trained(
    own: Path, arguments: tuple[str, ...], message: str, place: tuple[str, str]
) -> None:
    save(blank_wall(), own / "wall.png")
    before = sorted(own.rglob("*"))
    assert sentence(run("build-vocab", *arguments, *place, code=1)) == message
    assert sorted(own.rglob("*")) == before
    assert_whole(PHOTOS)


@pytest.mark.parametrize(
    "arguments", [("--depth", "-1"), ("--sample", "0"), ("--words", "many"), ("--seed", "-1")]
)
def test_numbers_that_no_training_takes_are_wrong_usage(own: Path, arguments: tuple[str, str]) -> None:
    outcome = run("build-vocab", "photos", *arguments, code=2)
    assert outcome.err.splitlines()[-1].startswith(f"Error: Invalid value for '{arguments[0]}': ")
    assert_whole(PHOTOS)


def test_a_sample_that_no_memory_holds_is_what_there_is(own: Path) -> None:
    arguments = ("build-vocab", "photos", "--words", "20", "--iterations", "1", "--json")
    usual = run(*arguments).data["descriptors"]
    assert run(*arguments, "--sample", str(10**12)).data["descriptors"] == usual


def test_a_training_in_a_store_that_may_not_be_written(open_folder: Path) -> None:
    store = open_folder / ".handcraft"
    store.chmod(0o555)
    try:
        with a_common_user():
            text = sentence(run("build-vocab", "photos", "--words", "20", code=1))
            run("build-vocab", "photos", "--words", "20", "--output", "photos/mine.h5")
    finally:
        store.chmod(0o755)
    assert text.startswith(f"No permission to write {store}")
    assert text.endswith("; change its mode, or choose another place.")
    assert_whole(PHOTOS)


def test_an_interrupted_training_goes_on(own: Path) -> None:
    """Ctrl-C as soon as the sample is there; the photos are not read again."""
    shutil.copytree(own / "photos", own / "apart")
    command = [sys.executable, "-m", "handcraft", "build-vocab", "apart", "--words", "2000", "--depth", "1"]
    sample = own / ".handcraft" / "vocabulary.training" / "sample.h5"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not sample.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err == "Interrupted; the store keeps all that was committed.\n"
    assert_whole(PHOTOS)
    assert run("build-vocab", "apart", "--words", "2000", "--depth", "1").out.startswith("2,000 words ")
    assert not sample.parent.exists()
    assert_whole(PHOTOS)


def test_another_vocabulary_for_a_store_that_has_one(own: Path) -> None:
    run("build-vocab", "photos", "--words", "50", "--output", "mine.h5")
    save(scene(96), own / "photos" / "new.jpg")
    text = sentence(run("index", "photos", "--vocabulary", "mine.h5", code=1))
    assert "`handcraft build-vocab`" in text
    assert_whole(PHOTOS)


def test_a_second_writer(own: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from handcraft.engine.writing import writer\n"
        "with writer(pathlib.Path('.handcraft'), 'optimize'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        text = sentence(run("index", "photos", code=1))
        assert f"is being written by process {holder.pid} on " in text
        assert "(optimize, since " in text
        assert_whole(PHOTOS)
        holder.communicate()
    assert run("index", "photos").out.endswith(" .handcraft holds 10 photos.\n")


def test_a_limit_on_the_size_of_files_is_a_full_disk(own: Path) -> None:
    save(scene(96), own / "photos" / "new.jpg")
    limited = (
        sys.executable,
        "-c",
        "import resource, handcraft.cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "handcraft.cli.main()\n",
    )
    outcome = run_process("index", "photos", folder=own, program=limited, code=1)
    text = sentence(outcome)
    assert text.startswith(f"No space is left to write {own / '.handcraft'}")
    assert_whole(PHOTOS)
    assert run("index", "photos").out.startswith("1 photo added, ")


# --- being stopped ---


def test_interrupting_ends_with_a_sentence(own: Path) -> None:
    (own / "many").mkdir()
    photo = save(scene(3).resize((1600, 1200)), own / "one.png")
    for number in range(200):
        (own / "many" / f"{number}.png").hardlink_to(photo)
    command = [sys.executable, "-m", "handcraft", "index", "many", "--store", "fresh", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (own / "fresh" / "manifest.json").exists():  # from here on it reads photos
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err == "Interrupted; the store keeps all that was committed.\n"
    assert_whole(0, "fresh")
    shutil.rmtree(own / "many")
    run("index", "photos", "--store", "fresh")
    assert_whole(PHOTOS, "fresh")


def test_debug_shows_the_traceback(own: Path) -> None:
    outcome = run_process("--debug", "query", "absent.jpg", folder=own, code=1)
    assert outcome.err.startswith("Traceback (most recent call last):\n")
    assert "PhotoError: There is no photo at absent.jpg" in outcome.err


def test_a_closed_pipe_is_no_traceback(own: Path) -> None:
    command = f"{sys.executable} -m handcraft info --photos | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


# --- OpenCV without its library ---


def test_a_missing_libgl(own: Path) -> None:
    fake = own / "fake" / "cv2"
    fake.mkdir(parents=True)
    reason = "libGL.so.1: cannot open shared object file: No such file or directory"
    (fake / "__init__.py").write_text(f"raise ImportError({reason!r})\n", encoding="utf-8")
    environment = {"PYTHONPATH": str(fake.parent)}
    for arguments in (("query", "query.jpg"), ("index", "photos")):
        text = sentence(run_process(*arguments, folder=own, environment=environment, code=1))
        assert reason in text
        assert "libgl1" in text
        assert "opencv-contrib-python-headless" in text
    shown = run_process("--help", folder=own, environment=environment)
    assert "handcraft query photo.jpg --verify" in shown.out
    assert shown.err == ""


def test_the_api_says_the_same_of_a_missing_libgl(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: no such file')\n", encoding="utf-8")
    code = (
        "import handcraft\n"
        "try:\n"
        "    handcraft.open('x')\n"
        "except handcraft.HandcraftError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("OpenCV cannot be loaded (libGL.so.1: no such file); install ")
