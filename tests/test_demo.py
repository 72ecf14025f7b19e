"""The photos of the demo: what is written, what is left out, and that queries show their photos."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handcraft import demo
from handcraft.demo import DemoPhotos, make_demo_photos
from handcraft.errors import DependencyError, HandcraftError
from handcraft.features.images import read_photo

TREATMENTS = sorted(set(demo._TREATMENTS.values()), key=lambda treatment: treatment.description)


def installed(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> DemoPhotos:
    installed("skimage"), installed("sklearn")
    return make_demo_photos(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for site-packages: an skimage with two photos, an sklearn with one."""
    folder = tmp_path / "packages"
    for package, data, names in (
        ("skimage", "data", ("astronaut.png", "motorcycle_right.png")),
        ("sklearn", "datasets/images", ("flower.jpg",)),
    ):
        (folder / package / data).mkdir(parents=True)
        for name in names:
            shutil.copyfile(installed(package) / data / name, folder / package / data / name)

    def find_stand_in(package: str) -> ModuleSpec:
        spec = ModuleSpec(package, None, is_package=True)
        spec.submodule_search_locations = [str(folder / package)]
        return spec

    monkeypatch.setattr(demo, "find_spec", find_stand_in)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_collection_is_photos_that_can_be_read(photos: DemoPhotos) -> None:
    paths = sorted(photos.collection.iterdir())
    assert len(paths) >= 12
    for path in paths:
        assert min(read_photo(path, max_size=512).pixels.shape) > 50


def test_the_installed_libraries_hold_every_photo(photos: DemoPhotos) -> None:
    assert photos.left_out == ()
    assert len(list(photos.collection.iterdir())) == 21


def test_every_query_can_be_read_and_its_photo_is_in_the_collection(photos: DemoPhotos) -> None:
    assert 10 <= len(photos.queries) <= 16
    assert len({query.path for query in photos.queries}) == len(photos.queries)
    for query in photos.queries:
        assert query.description
        assert query.path.parent.name == "queries"
        assert (photos.collection / query.expected).is_file()
        assert min(read_photo(query.path, max_size=512).pixels.shape) > 50


def test_no_query_is_a_copy_of_its_photo(photos: DemoPhotos) -> None:
    for query in photos.queries:
        seen = read_photo(query.path, max_size=512).pixels.astype(int)
        source = read_photo(photos.collection / query.expected, max_size=512).pixels.astype(int)
        assert seen.shape != source.shape or np.abs(seen - source).mean() > 5, query.path.name


def test_a_query_shows_a_good_part_of_its_photo(photos: DemoPhotos) -> None:
    for query in photos.queries[:-1]:  # the last is the second view
        seen = read_photo(query.path, max_size=2000).pixels
        source = read_photo(photos.collection / query.expected, max_size=2000).pixels
        assert 0.4 < seen.size / source.size < 0.8, query.path.name


def test_the_second_view_is_a_query_and_not_in_the_collection(photos: DemoPhotos) -> None:
    query = photos.queries[-1]
    assert query.path.name == "motorcycle-second-view.jpg"
    assert query.expected == "motorcycle_left.png"
    assert not (photos.collection / "motorcycle_right.png").exists()


def test_two_runs_write_the_same_bytes(photos: DemoPhotos, tmp_path: Path) -> None:
    again = make_demo_photos(tmp_path / "not" / "there" / "yet")
    assert content(again.collection.parent) == content(photos.collection.parent)
    assert make_demo_photos(tmp_path / "not" / "there" / "yet") == again


@pytest.mark.parametrize("treatment", TREATMENTS, ids=lambda treatment: treatment.description)
@pytest.mark.parametrize("size", [(200, 200), (300, 120), (120, 300)])
def test_a_query_shows_nothing_but_its_photo(treatment: demo._Treatment, size: tuple[int, int]) -> None:
    bright = dataclasses.replace(treatment, exposure=1.0, gamma=1.0)
    seen = np.asarray(demo._treat(Image.new("L", size, 255), bright))
    assert seen.min() == 255  # a pixel from outside of the photo would be black


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_photo_turns_clockwise(quarters: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    turned = demo._treat(Image.fromarray(pixels), demo._Treatment("", "", turn=90 * quarters))
    np.testing.assert_allclose(np.asarray(turned).astype(int), np.rot90(pixels, -quarters), atol=1)


def test_a_crop_shows_the_named_part() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 100), np.uint8)
    corners = ((0.1, 0.2), (0.7, 0.2), (0.7, 0.8), (0.1, 0.8))
    cropped = demo._treat(Image.fromarray(pixels), demo._Treatment("", "", corners))
    np.testing.assert_allclose(np.asarray(cropped).astype(int), pixels[10:40, 10:70], atol=1)


def test_a_side_seen_from_nearby_is_enlarged() -> None:
    corners = np.array([(10.0, 20.0), (90.0, 10.0), (80.0, 90.0), (15.0, 70.0)])
    width, height = demo._size_of(corners)
    a, b, c, d, e, f, g, h = demo._perspective(width, height, corners)
    for (x, y), corner in zip(((0, 0), (width, 0), (width, height), (0, height)), corners, strict=True):
        depth = g * x + h * y + 1
        np.testing.assert_allclose([(a * x + b * y + c) / depth, (d * x + e * y + f) / depth], corner)


def test_darkening_keeps_black_and_dims_white() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    dark = np.asarray(demo._treat(Image.fromarray(ramp), demo._Treatment("", "", exposure=0.4, gamma=1.2)))
    assert dark[0, 0] == 0
    assert dark[-1, -1] == round(0.4 * 255)
    assert np.all(np.diff(dark.ravel().astype(int)) >= 0)


@pytest.mark.parametrize(("package", "project"), [("skimage", "scikit-image"), ("sklearn", "scikit-learn")])
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    package: str, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("skimage"), installed("sklearn")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError) as caught:
        make_demo_photos(tmp_path / "demo")
    assert str(caught.value) == (
        f'The demo shows photos of {project}, which is not installed: pip install "handcraft[demo]".'
    )
    assert not (tmp_path / "demo").exists()


def test_photos_that_an_installation_lacks_are_left_out(packages: Path, tmp_path: Path) -> None:
    photos = make_demo_photos(tmp_path / "demo")
    assert sorted(path.name for path in photos.collection.iterdir()) == ["astronaut.png", "flower.jpg"]
    assert [query.expected for query in photos.queries] == ["astronaut.png", "flower.jpg"]
    missing, second_view = photos.left_out
    assert "brick.png" in missing
    assert "motorcycle_left.png" in missing
    assert "astronaut.png" not in missing
    assert second_view.startswith("The second view of the motorcycle is left out")


def test_an_installation_without_photos_is_an_error(packages: Path, tmp_path: Path) -> None:
    shutil.rmtree(packages / "skimage" / "data")
    with pytest.raises(DependencyError, match="scikit-image, but the one that is installed holds none"):
        make_demo_photos(tmp_path / "demo")


def test_a_folder_that_cannot_be_made_is_an_error(photos: DemoPhotos, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(HandcraftError, match=r"The photos of the demo cannot be made in .*file"):
        make_demo_photos(file)


def test_neither_library_is_imported() -> None:
    program = "import sys, handcraft.demo as d; print({'skimage', 'sklearn', 'cv2'} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "set()"
