"""What is plugged in: how it is found, what it may be told, and how a store knows it again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import ONCE, copy_of, ranking, save, scene
from plugs import CELLS, REGIONS, Patches, write_package

import handcraft
from handcraft.engine.snapshot import open_snapshot
from handcraft.errors import DependencyError, HandcraftError
from handcraft.features import plugins, registry
from handcraft.features.extractor import (
    Extractor,
    Found,
    missing,
    parameters_of,
    require_installed,
    settings_of,
)
from handcraft.features.images import DecodedPhoto
from handcraft.features.learned import onnx_files
from handcraft.features.learned.onnx_files import Network
from handcraft.features.learned.published import PublishedNetwork
from handcraft.features.plugins import (
    DESCRIPTORS,
    EXTRACTORS,
    describe_plugs,
    plug_of,
    plugs,
    register_descriptor,
    register_extractor,
    with_all_settings,
)
from handcraft.features.registry import extractor_of, fingerprint_of, options_of
from handcraft.options import FeatureOptions, Setting, VocabularyOptions
from handcraft.storage.hdf5 import read_arrays, write_arrays
from handcraft.storage.manifest import FileEntry, Manifest, write_manifest
from handcraft.types import Fingerprint

COME_WITH_HANDCRAFT = (
    *("aliked", "delf", "dense-sift", "hessian-affine", "imported", "mser", "onnx", "sift", "xfeat"),
)
ENTRIES = {
    EXTRACTORS: {
        "cells": "foreign_cells:Cells",
        "more": "foreign_cells:NeedsMore",
        "lost": "foreign_cells:Gone",
    },
    DESCRIPTORS: {"mean": "foreign_cells:Mean"},
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing of one test is known to another."""
    plugins._entries.cache_clear()
    extractor_of.cache_clear()
    yield
    plugins._entries.cache_clear()
    extractor_of.cache_clear()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package with extractors and a descriptor, for one test."""
    folder = write_package(tmp_path / "site", "foreign_cells", ENTRIES, CELLS)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("foreign_cells", None)


def sentence(act: Callable[[], object], kind: type[HandcraftError] = HandcraftError) -> str:
    with pytest.raises(kind) as error:
        act()
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def options(extractor: str, **settings: Setting) -> FeatureOptions:
    return FeatureOptions(extractor=extractor, settings=settings)


# --- what there is ---


def test_what_comes_with_handcraft() -> None:
    own = {name: plug.source for name, plug in plugs(EXTRACTORS).items()}
    assert tuple(own) == COME_WITH_HANDCRAFT  # in the order of their names
    assert set(own.values()) == {"handcraft"}
    assert list(plugs(DESCRIPTORS)) == ["hardnet", "rootsift"]
    for one in describe_plugs(EXTRACTORS) + describe_plugs(DESCRIPTORS):
        assert one.summary.endswith("."), one.name
        assert '"' not in one.summary, one.name
        assert one.error == ""
        assert not one.missing or one.install.startswith("pip install "), one.name


def test_those_of_other_packages_are_loaded_when_they_are_used(installed: Path) -> None:
    assert set(plugs(EXTRACTORS)) == {*COME_WITH_HANDCRAFT, "cells", "more", "lost"}
    assert plugs(EXTRACTORS)["cells"].source == "foreign_cells"
    fingerprint_of(FeatureOptions())
    assert "There is no extractor 'surf'" in sentence(lambda: fingerprint_of(options("surf")))
    assert "foreign_cells" not in sys.modules
    fingerprint = fingerprint_of(options("cells"))
    assert "foreign_cells" in sys.modules
    assert (fingerprint.descriptor, fingerprint.dimension, fingerprint.dtype) == ("cells", 16, "float32")


def test_networks_are_not_loaded_for_others() -> None:
    program = (
        "import sys\n"
        "from handcraft.features.registry import fingerprint_of\n"
        "from handcraft.options import FeatureOptions\n"
        "fingerprint_of(FeatureOptions(extractor='sift'))\n"
        "print([name for name in sys.modules if 'learned' in name or name in ('torch', 'onnxruntime')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_collection_is_searched_by_the_extractor_of_another_package(
    installed: Path, collection: Path, tmp_path: Path
) -> None:
    store = handcraft.open(tmp_path / "store", features=options("cells", side="16"))
    store.build_vocabulary(collection / "photos", VocabularyOptions(words=100))
    store.add(collection / "photos")
    assert store.check().problems == ()
    again = handcraft.open(tmp_path / "store")
    assert again.query(collection / "photos" / "scene-5.jpg").hits[0].name.endswith("scene-5.jpg")
    assert "side=16" in again.info().fingerprint


def test_a_store_whose_extractor_is_gone_says_so(
    installed: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = handcraft.open(tmp_path / "store", features=options("cells"))
    store.build_vocabulary(collection / "photos", VocabularyOptions(words=50))
    store.add(collection / "photos")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(installed)])
    plugins._entries.cache_clear()
    extractor_of.cache_clear()
    text = sentence(lambda: handcraft.open(tmp_path / "store").query(collection / "query.jpg"))
    assert text.startswith("The store holds cells (16 x float32, ")
    assert (
        "which this handcraft cannot make: There is no extractor 'cells'; the extractors are aliked, " in text
    )
    assert text.endswith(". Install the handcraft and the extractor that made the store.")
    assert handcraft.open(tmp_path / "store").check().problems == ()


def test_unknown_names_list_the_known(installed: Path) -> None:
    known = "aliked, cells, delf, dense-sift, hessian-affine, imported, lost, more, mser, onnx, sift, xfeat"
    assert sentence(lambda: plug_of(EXTRACTORS, "surf")) == (
        f"There is no extractor 'surf'; the extractors are {known}."
    )
    assert sentence(lambda: plug_of(DESCRIPTORS, "daisy")) == (
        "There is no descriptor 'daisy'; the descriptors are hardnet, mean, rootsift."
    )


def test_registered_ones_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", {EXTRACTORS: {}, DESCRIPTORS: {}})
    mean = Patches(8, 8, "float32", lambda patches: patches.mean(axis=1))
    register_descriptor("mean", lambda options: mean)
    register_extractor(
        "finer", lambda options: extractor_of(replace(options, extractor="sift", doubled=False))
    )
    assert plugs(EXTRACTORS)["finer"].source == plugs(DESCRIPTORS)["mean"].source == "registered"
    assert "finer, hessian-affine" in sentence(lambda: plug_of(EXTRACTORS, "surf"))
    fingerprint = fingerprint_of(FeatureOptions(extractor="sift", descriptor="mean"))
    assert (fingerprint.descriptor, fingerprint.dimension) == ("sift-mean", 8)
    assert fingerprint_of(options("finer")).descriptor == "sift-rootsift"
    listed = {one.name: one for one in describe_plugs(EXTRACTORS)}
    assert (listed["finer"].source, listed["finer"].error) == ("registered", "")


def test_one_that_is_registered_comes_before_one_that_is_installed(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_registered", {EXTRACTORS: {}, DESCRIPTORS: {}})
    register_extractor("cells", lambda options: extractor_of(replace(options, extractor="sift")))
    assert fingerprint_of(options("cells")).descriptor == "sift-rootsift"
    assert "foreign_cells" not in sys.modules


# --- what is missing or cannot be loaded ---


def test_what_is_missing_is_said_with_the_command_that_installs_it(installed: Path) -> None:
    assert sentence(lambda: fingerprint_of(options("more")), DependencyError) == (
        "The extractor more needs no_such_module and no_such_package.part; install what it needs with "
        '`pip install "foreign[network]"`.'
    )


class NoCommand(Extractor):
    """One that does not say how it is installed."""

    needs = ("no_such_module",)


def test_without_a_command_the_modules_are_named() -> None:
    assert missing(NoCommand) == ("no_such_module",)
    assert missing(object()) == ()
    assert sentence(lambda: require_installed("extractor", "net", NoCommand), DependencyError) == (
        "The extractor net needs no_such_module; install what it needs with `pip install no_such_module`."
    )


@pytest.mark.parametrize("name", ["xfeat", "aliked", "onnx", "delf"])
def test_networks_without_their_modules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    extra = {"xfeat": "xfeat", "aliked": "aliked"}.get(name, "learned")
    text = sentence(lambda: fingerprint_of(options(name)), DependencyError)
    assert text.startswith(f"The extractor {name} needs ")
    assert text.endswith(f'; install what it needs with `pip install "handcraft[{extra}]"`.')


class Spared(Extractor):
    """One that does without under a setting."""

    settings: ClassVar = {"runtime": "own"}
    needs = ("no_such_module",)
    needs_unless: ClassVar = {"runtime": "other"}
    descriptor, dimension, dtype = "spared", 4, "uint8"

    def __init__(self, options: FeatureOptions) -> None:
        self.parameters = parameters_of(options)

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        return []


def test_a_setting_may_do_without_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins._registered[EXTRACTORS], "spared", Spared)
    assert "needs no_such_module" in sentence(lambda: fingerprint_of(options("spared")))
    assert fingerprint_of(options("spared", runtime="other")).descriptor == "spared"


FAULTS = {
    "gone": ("", "foreign_cells' has no attribute 'Cells'"),
    "module": ("import no_such_module", "No module named 'no_such_module'"),
    "lines": ("raise RuntimeError('first\\nsecond.')", "first second"),
    "silent": ("raise RuntimeError", "RuntimeError"),
    "syntax": ("def", "invalid syntax"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_cannot_be_loaded_spoils_nothing_else(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, expected = FAULTS[fault]
    monkeypatch.syspath_prepend(write_package(tmp_path, "foreign_cells", ENTRIES, source))
    text = sentence(lambda: fingerprint_of(options("cells")), DependencyError)
    sys.modules.pop("foreign_cells", None)
    assert text.startswith("The extractor cells of foreign_cells cannot be loaded: ")
    assert expected in text
    assert text.endswith("; install that again.")
    listed = {one.name: one for one in describe_plugs(EXTRACTORS)}
    sys.modules.pop("foreign_cells", None)
    assert listed["cells"].error == text
    assert (listed["cells"].summary, listed["cells"].settings) == ("", {})
    assert listed["sift"].error == ""
    fingerprint_of(FeatureOptions())


def test_handcraft_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: ())
    assert sentence(lambda: fingerprint_of(FeatureOptions()), DependencyError) == (
        "handcraft is not installed; run `pip install .` in its folder."
    )


# --- settings ---


KNOWN: Mapping[str, Setting] = {"side": 20, "contrast": 1.0, "mean": True, "label": "grid"}


def test_settings_have_their_defaults_and_are_described(installed: Path) -> None:
    assert with_all_settings(options("cells")).settings == KNOWN
    assert fingerprint_of(options("cells")).parameters == {
        "extractor": "cells",
        "max_size": 1024,
        "max_features": 2000,
        **KNOWN,
    }
    (listed,) = (one for one in describe_plugs(EXTRACTORS) if one.name == "cells")
    assert listed.summary == "Cells of a grid, described by their own pixels."
    assert listed.settings == KNOWN
    (more,) = (one for one in describe_plugs(EXTRACTORS) if one.name == "more")
    assert more.missing == ("no_such_module", "no_such_package.part")
    assert more.install == 'pip install "foreign[network]"'


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("side", "32", 32),
        ("side", 32.0, 32),
        ("side", 7, 7),
        ("contrast", "2.5", 2.5),
        ("contrast", "1e-3", 0.001),
        ("contrast", 3, 3.0),
        ("mean", "false", False),
        ("mean", "True", True),
        ("mean", "0", False),
        ("mean", 1, True),
        ("label", "a=b", "a=b"),
        ("label", "", ""),
        ("label", 5, "5"),
    ],
)
def test_texts_become_what_a_setting_is(name: str, value: Setting, expected: Setting) -> None:
    found = settings_of("extractor", "cells", KNOWN, {name: value})
    assert found == {**KNOWN, name: expected}
    assert type(found[name]) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("side", "2.5", "a whole number, not '2.5'"),
        ("side", 2.5, "a whole number, not 2.5"),
        ("side", float("inf"), "a whole number, not inf"),
        ("side", "", "a whole number, not ''"),
        ("side", None, "a whole number, not None"),
        ("contrast", "much", "a number, not 'much'"),
        ("mean", "yes", "true or false, not 'yes'"),
        ("mean", 2, "true or false, not 2"),
    ],
)
def test_settings_of_other_types_are_refused(name: str, value: Any, kind: str) -> None:
    text = sentence(lambda: settings_of("extractor", "cells", KNOWN, {name: value}))
    assert text == f"The setting {name} of the extractor cells is {kind}."


def test_unknown_settings_list_the_known(installed: Path) -> None:
    assert sentence(lambda: fingerprint_of(options("cells", sides=3))) == (
        "The extractor cells has no setting 'sides'; its settings are side, contrast, mean, label."
    )
    assert sentence(lambda: fingerprint_of(options("sift", side=3))) == (
        "The extractor sift has no setting 'side'; it has no settings."
    )


@pytest.mark.parametrize("name", ["points", "detector", "extractor", "upright", "max_features"])
def test_settings_have_names_of_their_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a store would not know which of both its fingerprint tells."""
    source = CELLS.replace('"side": 20', f'"side": 20, "{name}": 1')
    monkeypatch.syspath_prepend(write_package(tmp_path, "foreign_cells", ENTRIES, source))
    text = sentence(lambda: fingerprint_of(options("cells")))
    sys.modules.pop("foreign_cells", None)
    assert text == (
        f"The extractor cells has a setting '{name}', which is a name of handcraft's own; give it "
        "another name."
    )


def test_settings_tell_features_apart(installed: Path) -> None:
    plain = fingerprint_of(options("cells"))
    assert fingerprint_of(options("cells", side="20")) == plain
    for name, value in {"side": 24, "contrast": 2.0, "mean": False, "label": "other"}.items():
        changed = fingerprint_of(options("cells", **{name: value}))
        assert changed != plain
        assert changed.same_space(plain)
        assert fingerprint_of(options_of(changed)) == changed


# --- a store knows its extractor again ---


def keypoints(values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What networks of keypoints give."""
    return {"keypoints": np.ones((2, 2)), "scores": np.ones(2), "descriptors": np.ones((2, 24))}


def maps(values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What DELF's network gives."""
    return {"features": np.ones((1, 24, 8, 8)), "attention": np.ones((1, 1, 8, 8))}


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for the networks' files and programs."""

    def open_network(owner: str, settings: Mapping[str, Setting], outputs: object) -> Network:
        parameters = {"model": str(settings["model"]), "weights": "a1b2", "runtime": str(settings["runtime"])}
        if "hardnet" in owner:
            return Network(lambda patches: {"rows": np.ones((len(patches), 24))}, parameters)
        return Network(maps if "delf" in owner else keypoints, parameters)

    monkeypatch.setattr(onnx_files, "open_network", open_network)
    monkeypatch.setattr(PublishedNetwork, "load", lambda self, options: (keypoints, {"weights": "c3d4"}))
    monkeypatch.setattr("importlib.util.find_spec", lambda module: object())


CASES = [
    *(FeatureOptions(extractor=name, upright=False, max_size=640, spread=True) for name in REGIONS),
    FeatureOptions(extractor="hessian-affine", doubled=True, max_features=77),
    FeatureOptions(extractor="sift", descriptor="hardnet", settings={"model": "h.onnx", "batch": 7}),
    FeatureOptions(
        extractor="imported", max_features=9, settings={"name": "net", "dimension": 7, "shapes": False}
    ),
    FeatureOptions(extractor="xfeat", max_size=500, settings={"threshold": 0.1}),
    FeatureOptions(extractor="aliked"),
    FeatureOptions(extractor="onnx", settings={"model": "n.onnx", "name": "mine", "runtime": "opencv"}),
    FeatureOptions(extractor="delf", max_features=500, settings={"model": "d.onnx", "scales": "1 2"}),
]


def test_every_extractor_has_its_case() -> None:
    assert {case.extractor for case in CASES} == set(COME_WITH_HANDCRAFT)


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.extractor}-{case.descriptor}")
def test_the_fingerprint_gives_the_options_back(case: FeatureOptions) -> None:
    fingerprint = fingerprint_of(case)
    found = options_of(fingerprint)
    full = with_all_settings(case)
    known = {"weights", *(name for name, value in full.settings.items() if found.settings[name] == value)}
    assert known == {"weights", *full.settings}  # which weights were found is known now
    assert replace(found, settings={}) == replace(
        full, settings={}, **{"max_size": 1024} if case.extractor == "imported" else {}
    )
    assert fingerprint_of(found) == fingerprint
    assert options_of(fingerprint_of(found)) == found
    assert registry.are_points(fingerprint) == (case.extractor in {"imported", "xfeat", "aliked", "onnx"})


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("name", REGIONS)
def test_stores_called_the_extractor_a_detector_once(name: str) -> None:
    case = FeatureOptions(extractor=name, max_features=99)
    fingerprint = fingerprint_of(case)
    assert options_of(as_it_was(fingerprint)) == options_of(fingerprint) == case


# --- stores of before ---


def as_it_was(fingerprint: Fingerprint) -> Fingerprint:
    """A fingerprint as handcraft wrote it before extractors could be plugged in."""
    parameters = dict(fingerprint.parameters)
    parameters["detector"] = parameters.pop("extractor")
    return replace(fingerprint, parameters=parameters)


def age_store(store: Path) -> None:
    """Rewrite a store as handcraft wrote it before extractors could be plugged in."""
    manifest = open_snapshot(store).manifest
    old = as_it_was(manifest.fingerprint)
    for path in (store / "segments").glob("*.h5"):
        with h5py.File(path) as file:
            kind = bytes(file.attrs["kind"]).decode()
        found = read_arrays(path, kind)
        attributes = {
            name: value for name, value in found.attributes.items() if name not in ("kind", "format")
        }
        if kind != "signatures":  # which tell what they are of by the vocabulary
            assert attributes["fingerprint"] == str(manifest.fingerprint)
            attributes["fingerprint"] = str(old)
        arrays = {name: [np.array(array)] for name, array in found.arrays.items()}
        write_arrays(path, kind, arrays, attributes)
    write_manifest(store, of_files(store, replace(manifest, fingerprint=old)))


def of_files(store: Path, manifest: Manifest) -> Manifest:
    """A manifest with the sizes and digests that the files have now."""

    def entry(file: FileEntry | None) -> FileEntry | None:
        return None if file is None else FileEntry.of(store, store / file.name)

    parts = ("index", "signatures", "vectors", "features")
    segments = tuple(
        replace(segment, **{part: entry(getattr(segment, part)) for part in parts})
        for segment in manifest.segments
    )
    return replace(manifest, segments=segments)


def test_a_store_of_before_is_asked_and_added_to(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    store = handcraft.open(own / ".handcraft")
    expected = [ranking(store.query(own / "query.jpg", options=ONCE, verify=way)) for way in (False, True)]
    age_store(own / ".handcraft")
    old = handcraft.open(own / ".handcraft")
    assert "detector=hessian-affine" in old.info().fingerprint
    assert old.check().problems == ()
    found = [ranking(old.query(own / "query.jpg", options=ONCE, verify=way)) for way in (False, True)]
    assert found == expected
    # The same options are the same, however they were called; others are not.
    same = handcraft.open(own / ".handcraft", features=FeatureOptions())
    assert same.add(own / "photos").unchanged == 10
    other = handcraft.open(own / ".handcraft", features=FeatureOptions(extractor="sift"))
    assert "detector=hessian-affine" in sentence(lambda: other.add(own / "photos"))
    save(scene(60), own / "photos" / "new.jpg")
    assert same.add(own / "photos").added == 1
    best = same.query(own / "photos" / "new.jpg", verify=True, options=ONCE).hits[0]
    assert best.name == "photos/new.jpg"
    assert same.check().problems == ()
    assert same.optimize().segments_after == 1
    assert same.check().problems == ()


def test_the_features_of_a_store_of_before_are_taken_for_its_words(collection: Path, tmp_path: Path) -> None:
    own = copy_of(collection, tmp_path)
    age_store(own / ".handcraft")
    store = handcraft.open(own / ".handcraft")
    report = store.build_vocabulary(own / "photos", VocabularyOptions(words=200))
    assert (report.reused, report.reindexed) == (10, 10)  # nothing is described again
    assert store.check().problems == ()
