"""handcraft demo: it runs, finds every query, and writes the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run
from photographs import WIDTH, save, scene, similarity, view

from handcraft import demo
from handcraft.demo import DemoPhotos, DemoQuery


def few_photos(folder: Path) -> DemoPhotos:
    """Two scenes and two queries, in place of the real photographs: quick, and without scikit-image."""
    collection = folder / "collection"
    (folder / "queries").mkdir(parents=True)
    collection.mkdir()
    queries = []
    for number in (1, 2):
        save(scene(number), collection / f"scene-{number}.jpg")
        turned = view(scene(number), similarity(20, 0.9, (WIDTH / 2, 120), (200, 160)), (200, 160))
        query = save(turned, folder / "queries" / f"query-{number}.jpg")
        queries.append(DemoQuery(query, "turned by 20°", f"scene-{number}.jpg"))
    return DemoPhotos(collection, tuple(queries), ("The retina is not there.",))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for a demo of few photos."""
    monkeypatch.setattr(demo, "make_demo_photos", few_photos)
    return tmp_path / "demo"


def test_every_query_finds_its_photo_first_and_verified(tmp_path: Path) -> None:
    """With the real photographs, warped, darkened and recompressed."""
    pytest.importorskip("skimage", reason="the photographs of the demo are not installed")
    folder = tmp_path / "demo"
    data = run("demo", "--folder", folder, "--json").data
    assert len(data["queries"]) >= 10
    assert [query["query"] for query in data["queries"] if not query["found"]] == []
    for query in data["queries"]:
        assert Path(query["hits"][0]["name"]).name == query["expected"]
        assert query["hits"][0]["inliers"] >= 4
    assert data["photos"] == sum(1 for path in (folder / "collection").iterdir())
    page = (folder / "demo.html").read_text(encoding="utf-8")
    assert [query["query"] for query in data["queries"] if Path(query["query"]).name not in page] == []


def test_the_table(few: Path) -> None:
    outcome = run("demo", "--folder", few)
    assert outcome.err == ""
    head, one, two, left_out, found, page = outcome.out.splitlines()
    assert head.split()[:4] == ["query", "first", "hit", "inliers"]
    for number, line in ((1, one), (2, two)):
        name, first, inliers, second = line.split()[:4]
        assert (name, first) == (f"query-{number}.jpg", f"scene-{number}.jpg")
        assert int(inliers) > 10
        assert int(second) == 0
        assert line.endswith("  turned by 20°")
    assert left_out == "The retina is not there."
    assert found.startswith("2 of 2 queries found their photo first, verified, among 2 photos in ")
    assert page.endswith("demo.html to see the proof.")


def test_the_same_in_json(few: Path) -> None:
    data = run("demo", "--folder", few, "--json").data
    assert (data["photos"], data["found"]) == (2, 2)
    assert data["page"] == str(few / "demo.html")
    assert data["left_out"] == ["The retina is not there."]
    first = data["queries"][0]
    assert first["query"] == str(few / "queries" / "query-1.jpg")
    assert (first["expected"], first["found"]) == ("scene-1.jpg", True)
    assert first["hits"][0]["name"].endswith("scene-1.jpg")
    assert first["milliseconds"] > 0


def test_the_page_and_the_store(few: Path) -> None:
    run("demo", "--folder", few)
    page = (few / "demo.html").read_text(encoding="utf-8")
    for text in ("query-1.jpg", "query-2.jpg", "turned by 20°", "data:image/"):
        assert text in page
    report = run("check", "--store", few / ".handcraft", "--json").data
    assert (report["whole"], report["photos"]) == (True, 2)


def test_a_query_that_is_not_found_is_an_exit_code(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_wrong(folder: Path) -> DemoPhotos:
        photos = few_photos(folder)
        first, second = photos.queries
        wrong = DemoQuery(second.path, second.description, "scene-1.jpg")
        return DemoPhotos(photos.collection, (first, wrong))

    monkeypatch.setattr(demo, "make_demo_photos", one_wrong)
    outcome = run("demo", "--folder", few, code=1)
    assert "(should be scene-1.jpg)" in outcome.out.splitlines()[2]
    assert "1 of 2 queries found their photo first" in outcome.out


def test_the_folder_of_an_earlier_demo_is_made_anew(few: Path) -> None:
    run("demo", "--folder", few)
    (few / "demo.html").write_text("old", encoding="utf-8")
    run("demo", "--folder", few)
    assert "scene-1.jpg" in (few / "demo.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["photos", "store"])
def test_a_folder_of_the_users_own_is_left_alone(few: Path, kind: str) -> None:
    """Even one with a store and a folder called collection: it is not the demo's to remove."""
    (few / "collection").mkdir(parents=True)
    photo = save(scene(1), few / "collection" / "holiday.jpg")
    if kind == "store":
        run("index", few / "collection", "--store", few / ".handcraft")
    outcome = run("demo", "--folder", few, code=2)
    assert "is not the folder of an earlier demo; name another with --folder." in outcome.err
    assert photo.exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text", encoding="utf-8")
    assert "is a file" in run("demo", "--folder", tmp_path / "file", code=2).err
