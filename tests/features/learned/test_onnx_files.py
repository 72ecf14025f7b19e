"""Networks in ONNX files: found, told apart, refused with one sentence, and run alike by every runtime."""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from networks import (
    IMAGE,
    constant_keypoints,
    content,
    features_by,
    network,
    options_of,
    saved,
    scenery,
    tiny,
)

from handcraft.errors import DependencyError, HandcraftError, ModelError
from handcraft.features import registry
from handcraft.features.extraction import opencv_threads
from handcraft.features.learned.onnx_files import SETTINGS, open_network
from handcraft.features.registry import fingerprint_of

OWNER = "the extractor delf"
OUTPUTS = ("features", "attention")
RUNTIMES = ("onnxruntime", "opencv")

OWNERS = {  # of each extractor and descriptor that runs an ONNX file
    "delf": ("delf", "rootsift"),
    "onnx": ("onnx", "rootsift"),
    "hardnet": ("hessian-affine", "hardnet"),
}
NAMES = {"delf": "the extractor delf", "onnx": "the extractor onnx", "hardnet": "the descriptor hardnet"}


@pytest.fixture
def delf(tmp_path: Path) -> str:
    return tiny("delf", tmp_path)


def image(seed: int = 0, height: int = 97, width: int = 130) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)


def refusal(owner: str, model: str, **settings: str) -> str:
    """The sentence with which an extractor or descriptor refuses a file."""
    extractor, descriptor = OWNERS[owner]
    with pytest.raises(ModelError) as caught:
        fingerprint_of(options_of(extractor, model, descriptor=descriptor, **settings))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


# --- which file ---


@pytest.mark.parametrize("owner", OWNERS)
def test_a_missing_file_is_told(owner: str) -> None:
    assert refusal(owner, "/nowhere/net.onnx") == (
        f"There is no file /nowhere/net.onnx for {NAMES[owner]}; give its place with --set, or name the "
        "folder that it is in with HANDCRAFT_MODELS."
    )


@pytest.mark.parametrize("owner", OWNERS)
def test_a_file_must_be_named(owner: str) -> None:
    assert refusal(owner, "") == (
        f"There is no network for {NAMES[owner]}; name its ONNX file with --set model=FILE."
    )


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refusal("delf", str(tmp_path)).startswith(f"There is no file {tmp_path} for the extractor delf;")


def test_a_file_is_found_by_its_name_in_the_folder_of_models(
    delf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDCRAFT_MODELS", str(Path(delf).parent))
    settings = {**SETTINGS, "model": f"/elsewhere/{Path(delf).name}"}
    assert open_network(OWNER, settings, OUTPUTS).parameters["model"] == delf
    settings["model"] = "/elsewhere/another.onnx"
    with pytest.raises(
        ModelError, match=r"There is no file /elsewhere/another\.onnx for the extractor delf;"
    ):
        open_network(OWNER, settings, OUTPUTS)


def test_a_file_where_it_says_comes_before_the_folder_of_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    here = tiny("delf", tmp_path / "here")
    tiny("delf", tmp_path / "there", seed=1)
    monkeypatch.setenv("HANDCRAFT_MODELS", str(tmp_path / "there"))
    assert open_network(OWNER, {**SETTINGS, "model": here}, OUTPUTS).parameters["model"] == here


def test_a_relative_name_is_remembered_as_a_whole(delf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(delf).parent)
    settings = {**SETTINGS, "model": Path(delf).name}
    assert open_network(OWNER, settings, OUTPUTS).parameters["model"] == delf


def test_the_digest_is_that_of_the_file(delf: str) -> None:
    digest = hashlib.sha256(Path(delf).read_bytes()).hexdigest()[:16]
    settings = {**SETTINGS, "model": delf}
    assert open_network(OWNER, settings, OUTPUTS).parameters["weights"] == digest
    settings["weights"] = digest
    assert open_network(OWNER, settings, OUTPUTS).parameters["weights"] == digest


@pytest.mark.parametrize("owner", OWNERS)
def test_another_digest_is_refused(owner: str, tmp_path: Path) -> None:
    path = tiny({"onnx": "keypoints"}.get(owner, owner), tmp_path)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    assert refusal(owner, path, weights="0123456789abcdef") == (
        f"{path} is not the network that {NAMES[owner]} made these features with: its digest is {digest}, "
        "not 0123456789abcdef; put that network there, or in the folder that HANDCRAFT_MODELS names."
    )


def test_a_file_that_is_replaced_is_opened_anew(tmp_path: Path) -> None:
    path = tiny("delf", tmp_path)
    before = open_network(OWNER, {**SETTINGS, "model": path}, OUTPUTS).run(image())["features"]
    assert tiny("delf", tmp_path, seed=1) == path
    after = open_network(OWNER, {**SETTINGS, "model": path}, OUTPUTS).run(image())["features"]
    assert np.abs(before - after).max() > 0.01


# --- what is in it ---


@pytest.fixture(params=["junk", "empty", "truncated", "custom", "photo"])
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file that is no network, or one that no runtime knows the operators of."""
    path = tmp_path / f"{request.param}.onnx"
    if request.param == "custom":
        magic = ("Magic", "image", "features", {"domain": "elsewhere"})
        return saved(network([magic, ("Abs", "features", "attention")], OUTPUTS), path)
    whole = Path(tiny("delf", tmp_path)).read_bytes()
    contents = {
        "junk": b"hello",
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "photo": b"\x89PNG\r\n",
    }
    path.write_bytes(contents[request.param])
    return str(path)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("owner", OWNERS)
def test_what_is_no_network_is_refused(
    owner: str, runtime: str, damaged: str, capfd: pytest.CaptureFixture[str]
) -> None:
    sentence = refusal(owner, damaged, runtime=runtime)
    assert sentence.startswith(f"{damaged} is not a network that {NAMES[owner]} can run: ")
    assert sentence.endswith("; export it again, with standard operators only.")
    assert ".cpp" not in sentence
    assert capfd.readouterr() == ("", "")


def test_the_operator_that_onnxruntime_does_not_know_is_named(tmp_path: Path) -> None:
    magic = ("Magic", "image", "features", {"domain": "elsewhere"})
    path = saved(network([magic], ["features"]), tmp_path / "custom.onnx")
    assert "elsewhere:Magic" in refusal("delf", path)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_other_outputs_are_refused(runtime: str, tmp_path: Path) -> None:
    path = saved(network([("Abs", "image", "map")], ["map"]), tmp_path / "map.onnx")
    assert refusal("delf", path, runtime=runtime) == (
        f"{path} is not a network for the extractor delf: it has 1 inputs and the outputs map in place of "
        "one input and features, attention; export it again with these."
    )
    assert "in place of one input and keypoints, scores, descriptors;" in refusal(
        "onnx", path, runtime=runtime
    )


@pytest.mark.parametrize("owner", OWNERS)
def test_two_inputs_are_refused(owner: str, tmp_path: Path) -> None:
    two = network([("Add", "image other", "sum")], ["sum"], inputs={**IMAGE, "other": [1, 3, "h", "w"]})
    sentence = refusal(owner, saved(two, tmp_path / "two.onnx"))
    assert f"is not a network for {NAMES[owner]}: it has 2 inputs and the outputs sum in place of" in sentence


def test_a_network_of_another_input_is_refused_before_any_photo(tmp_path: Path) -> None:
    grey = network(
        [("Conv", "image filter", "features"), ("Abs", "features", "attention")],
        OUTPUTS,
        {"filter": np.ones((1, 1, 1, 1), np.float32)},
        inputs={"image": [1, 1, "h", "w"]},
    )
    sentence = refusal("delf", saved(grey, tmp_path / "grey.onnx"))
    assert sentence.startswith("The network of the extractor delf cannot be run: ")
    assert sentence.endswith("; export it again, with a float32 input of any size.")


@pytest.mark.parametrize("owner", OWNERS)
def test_a_network_of_one_size_is_refused(owner: str, tmp_path: Path) -> None:
    one_size = {"image": [1, 3, 20, 20]}
    outputs = {"delf": OUTPUTS, "onnx": ("keypoints", "scores", "descriptors"), "hardnet": ("d",)}[owner]
    nodes = [("Abs", "image", output) for output in outputs]
    path = saved(network(nodes, outputs, inputs=one_size), tmp_path / "one.onnx")
    assert refusal(owner, path).startswith(f"The network of {NAMES[owner]} cannot be run: ")


def test_a_network_of_half_precision_is_refused(tmp_path: Path) -> None:
    nodes = [("Cast", "image", output, {"to": 1}) for output in OUTPUTS]
    path = saved(network(nodes, OUTPUTS, kind=10), tmp_path / "half.onnx")
    assert refusal("delf", path).startswith("The network of the extractor delf cannot be run: ")


# --- what runs it ---


@pytest.mark.parametrize("owner", OWNERS)
def test_an_unknown_runtime_lists_the_known(owner: str, tmp_path: Path) -> None:
    extractor, descriptor = OWNERS[owner]
    model = tiny({"onnx": "keypoints"}.get(owner, owner), tmp_path)
    with pytest.raises(HandcraftError) as caught:
        fingerprint_of(options_of(extractor, model, descriptor=descriptor, runtime="tensorflow"))
    assert str(caught.value) == (
        "There is no runtime 'tensorflow' for networks; the runtimes are onnxruntime, opencv."
    )


@pytest.mark.parametrize("owner", OWNERS)
def test_onnxruntime_that_is_missing_is_named(
    owner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny({"onnx": "keypoints"}.get(owner, owner), tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    extractor, descriptor = OWNERS[owner]
    with pytest.raises(DependencyError) as caught:
        fingerprint_of(options_of(extractor, model, descriptor=descriptor))
    assert str(caught.value) == (
        f"{NAMES[owner].capitalize()} needs onnxruntime; install what it needs with "
        '`pip install "handcraft[learned]"`.'
    )


def test_onnxruntime_that_does_not_load_is_named(delf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DependencyError) as caught:
        open_network(OWNER, {**SETTINGS, "model": delf}, OUTPUTS)
    assert str(caught.value) == (
        "The network of the extractor delf needs onnxruntime to run; install it with "
        '`pip install "handcraft[learned]"`.'
    )


def test_a_device_that_onnxruntime_does_not_know_is_told(delf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setenv("HANDCRAFT_DEVICE", "cuda")
    with pytest.raises(DependencyError) as caught:
        open_network(OWNER, {**SETTINGS, "model": delf}, OUTPUTS)
    assert str(caught.value) == (
        "This onnxruntime cannot run the network of the extractor delf on cuda; install it with "
        "`pip install onnxruntime-gpu`, or leave HANDCRAFT_DEVICE out."
    )


@pytest.mark.parametrize("size", [(32, 32), (97, 130), (256, 200)])
def test_every_runtime_gives_the_same_maps(size: tuple[int, int], delf: str) -> None:
    maps = [
        open_network(OWNER, {**SETTINGS, "model": delf, "runtime": runtime}, OUTPUTS).run(image(0, *size))
        for runtime in RUNTIMES
    ]
    for name in OUTPUTS:
        assert maps[0][name].shape == maps[1][name].shape
        np.testing.assert_allclose(maps[0][name], maps[1][name], atol=1e-4)


def test_every_runtime_gives_the_same_features(delf: str) -> None:
    first, second = (features_by("delf", delf, scenery(), threshold=0.5, runtime=name) for name in RUNTIMES)
    assert len(first) > 100
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_allclose(first.descriptors, second.descriptors, atol=1e-4)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_several_threads_get_the_same_bytes(runtime: str, delf: str) -> None:
    run = open_network(OWNER, {**SETTINGS, "model": delf, "runtime": runtime}, OUTPUTS).run
    images = [image(seed, 64 + 32 * seed, 96) for seed in range(4)]

    def bytes_of(one: np.ndarray) -> bytes:
        outputs = run(one)
        return b"".join(outputs[name].tobytes() for name in OUTPUTS)

    alone = [bytes_of(one) for one in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(bytes_of, images * 5)) == alone * 5


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_threads_of_opencv_change_nothing(runtime: str, delf: str) -> None:
    """They are many for a query, and one for each of the photos that are indexed."""
    contents = []
    for threads in (1, 2, 4):
        with opencv_threads(threads):
            contents.append(content(features_by("delf", delf, scenery(), threshold=0.5, runtime=runtime)))
    assert contents[0] == contents[1] == contents[2]


def test_the_network_is_not_asked_for_what_it_gave_before(delf: str) -> None:
    """What OpenCV gives is its own memory, which the next image would overwrite."""
    run = open_network(OWNER, {**SETTINGS, "model": delf, "runtime": "opencv"}, OUTPUTS).run
    first = run(image(0))["features"]
    before = first.copy()
    run(image(1))
    np.testing.assert_array_equal(first, before)


def test_the_runtime_is_of_the_parameters_and_not_of_the_space(tmp_path: Path) -> None:
    model = saved(constant_keypoints([[1, 2]], [1], [[1, 0]]), tmp_path / "constant.onnx")
    spaces = [fingerprint_of(options_of("onnx", model, runtime=runtime)) for runtime in RUNTIMES]
    assert spaces[0].same_space(spaces[1])
    assert spaces[0] != spaces[1]


def test_an_extractor_is_kept(delf: str) -> None:
    options = options_of("delf", delf)
    assert registry.extractor_of(options) is registry.extractor_of(options_of("delf", delf))
