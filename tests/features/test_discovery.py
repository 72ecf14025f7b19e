"""Which photos are found below the paths that a user gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from permissions import a_common_user

from handcraft.features.discovery import find_photos


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path, *paths: Path) -> list[str]:
    """The photos found, relative to the folder; there must be no errors."""
    discovery = find_photos(paths or [folder])
    assert discovery.errors == ()
    return [path.relative_to(folder).as_posix() for path in discovery.photos]


# --- what is taken ---


def test_every_suffix_in_any_case(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpeg", "c.png", "d.tif", "e.tiff", "f.webp", "g.bmp", "h.JPG", "i.Png", "j.TIFF"]
    touch(tmp_path, *names, "notes.txt", "clip.gif", "raw.cr2", "jpg", "a.jpg.part")
    assert found(tmp_path) == names


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", ".handcraft/c.jpg", "d/.e/f.jpg", "d/.g.jpg", "d/h.jpg")
    assert found(tmp_path) == ["a.jpg", "d/h.jpg"]


def test_a_hidden_folder_that_is_named_is_walked(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden/a.jpg", ".b.jpg")
    assert found(tmp_path, tmp_path / ".hidden", tmp_path / ".b.jpg") == [".hidden/a.jpg", ".b.jpg"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "photo.dat", "photo")
    assert found(tmp_path, tmp_path / "photo.dat", tmp_path / "photo") == ["photo.dat", "photo"]


def test_an_empty_folder_gives_none(tmp_path: Path) -> None:
    touch(tmp_path, "below/notes.txt")
    assert found(tmp_path) == []
    assert find_photos([]).photos == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_no_photo(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in find_photos([tmp_path]).photos] == ["a.jpg"]


# --- their order ---


def test_photos_are_sorted_within_each_folder(tmp_path: Path) -> None:
    touch(tmp_path, "c.jpg", "a.jpg", "B.jpg", "z/b.jpg", "z/a.jpg", "b/z/x.jpg", "b/a.jpg", "b/c.jpg")
    assert found(tmp_path) == [
        *("B.jpg", "a.jpg", "c.jpg"),
        *("b/a.jpg", "b/c.jpg", "b/z/x.jpg"),
        *("z/a.jpg", "z/b.jpg"),
    ]


def test_paths_keep_the_order_of_the_user(tmp_path: Path) -> None:
    touch(tmp_path, "z/b.jpg", "z/a.jpg", "m.jpg", "a/c.jpg")
    paths = [tmp_path / "z", tmp_path / "m.jpg", tmp_path / "a"]
    assert found(tmp_path, *paths) == ["z/a.jpg", "z/b.jpg", "m.jpg", "a/c.jpg"]


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/b.jpg", "c.jpg")
    monkeypatch.chdir(tmp_path / "a")
    assert find_photos([Path(), Path("../c.jpg")]).photos == (tmp_path / "a/b.jpg", tmp_path / "c.jpg")


# --- each once ---


def test_the_same_path_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/b.jpg", "a/c.jpg", "d.jpg")
    monkeypatch.chdir(tmp_path)
    again = [tmp_path, Path("a"), tmp_path / "a", tmp_path / "a" / ".." / "d.jpg", Path("a/c.jpg")]
    assert found(tmp_path, *again) == ["d.jpg", "a/b.jpg", "a/c.jpg"]


def test_a_photo_that_was_named_first_stays_first(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    assert found(tmp_path, tmp_path / "b.jpg", tmp_path) == ["b.jpg", "a.jpg"]


def test_links_are_followed_but_no_folder_is_entered_twice(tmp_path: Path) -> None:
    touch(tmp_path, "shelf/real/a.jpg", "elsewhere/b.jpg", "elsewhere/c.jpg")
    shelf = tmp_path / "shelf"
    (shelf / "back").symlink_to(shelf)
    (shelf / "real" / "up").symlink_to("..")
    (shelf / "room").symlink_to(tmp_path / "elsewhere")
    (shelf / "second room").symlink_to(tmp_path / "elsewhere")
    (shelf / "b.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    assert found(tmp_path, shelf) == [
        "shelf/b.jpg",
        "shelf/real/a.jpg",
        "shelf/room/b.jpg",
        "shelf/room/c.jpg",
    ]


def test_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.jpg")
    (tmp_path / "b.jpg").symlink_to("elsewhere/a.jpg")
    (tmp_path / "room").symlink_to("elsewhere")
    assert found(tmp_path, tmp_path / "b.jpg", tmp_path / "room") == ["b.jpg", "room/a.jpg"]


def test_a_link_to_itself_does_not_hide_the_photos(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "below/b.jpg")
    (tmp_path / "loop").symlink_to("loop")
    discovery = find_photos([tmp_path])
    assert [path.name for path in discovery.photos] == ["a.jpg", "b.jpg"]
    assert all(str(tmp_path / "loop") in str(error) for error in discovery.errors)


# --- what cannot be looked at ---


def test_a_missing_path(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    discovery = find_photos([tmp_path / "missing", tmp_path])
    assert discovery.photos == (tmp_path / "a.jpg",)
    assert [str(error) for error in discovery.errors] == [
        f"There is no file or folder {tmp_path / 'missing'}; check the name."
    ]


def test_a_name_too_long_to_exist(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    path = tmp_path / ("x" * 300)
    discovery = find_photos([path, tmp_path])
    assert discovery.photos == (tmp_path / "a.jpg",)
    (error,) = discovery.errors
    assert str(path) in str(error)


def test_a_folder_without_permission(open_folder: Path) -> None:
    touch(open_folder, "a.jpg", "shut/b.jpg", "z/c.jpg")
    (open_folder / "shut").chmod(0)
    try:
        with a_common_user():
            discovery = find_photos([open_folder])
    finally:
        (open_folder / "shut").chmod(0o755)
    assert discovery.photos == (open_folder / "a.jpg", open_folder / "z/c.jpg")
    assert [str(error) for error in discovery.errors] == [
        f"No permission to look into {open_folder / 'shut'}; change its mode or your user."
    ]


@pytest.mark.parametrize("name", ["shut/b.jpg", "shut/below"])
def test_a_path_in_a_folder_without_permission(name: str, open_folder: Path) -> None:
    touch(open_folder, "a.jpg", "shut/b.jpg", "shut/below/c.jpg")
    (open_folder / "shut").chmod(0)
    try:
        with a_common_user():
            discovery = find_photos([open_folder / name, open_folder / "a.jpg"])
    finally:
        (open_folder / "shut").chmod(0o755)
    assert discovery.photos == (open_folder / "a.jpg",)
    (error,) = discovery.errors
    assert str(error).startswith("No permission")
    assert str(open_folder / name) in str(error)


# --- names ---


def test_odd_names(tmp_path: Path) -> None:
    names = ["250" + "x" * 243 + ".jpg", "a b.jpg", "a\nb.jpg", "ü.jpg", "写真.jpg"]
    touch(tmp_path, *names)
    assert sorted(found(tmp_path)) == sorted(names)


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        touch(tmp_path, name)
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    assert found(tmp_path) == [name]
