"""The whole engine with descriptors of other dimensions and types than RootSIFT's, and with points."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import ONCE, scene
from PIL import Image
from plugs import Patches

import handcraft
from handcraft.errors import FingerprintError, HandcraftError
from handcraft.features import plugins, registry
from handcraft.features.extractor import Described, Extractor, Found, parameters_of
from handcraft.features.images import DecodedPhoto
from handcraft.options import (
    BowOptions,
    FeatureOptions,
    IndexOptions,
    QueryOptions,
    Setting,
    SignatureOptions,
    VladTraining,
    VocabularyOptions,
)
from handcraft.types import Features
from handcraft.vocabulary.files import read_vocabulary, write_vocabulary
from handcraft.vocabulary.tree import VocabularyTree

CELL, STEP = 16, 8  # pixels
SCENES, VIEWED = 4, 2
WORDS = VocabularyOptions(words=400, iterations=5)
LENGTH = 3.0  # of descriptors: no one's promise

# dimension, dtype, and fewer bits than that
SPACES = [
    (32, "float32", 24),
    (36, "uint8", 20),
    (40, "float32", 32),
    (100, "float32", 64),
    (257, "float32", 130),
    (2048, "float32", 512),
]


class Projected(Extractor):
    """Cells of a grid, described by a fixed random projection of their pixels."""

    settings: ClassVar[Mapping[str, Setting]] = {"dimension": 32, "dtype": "float32", "frames": True}

    def __init__(self, options: FeatureOptions) -> None:
        settings = options.settings
        self.descriptor, self.dtype = "projected", str(settings["dtype"])
        self.dimension, self.points = int(settings["dimension"]), not settings["frames"]
        self.parameters = parameters_of(options)
        self._projection = np.random.default_rng(0).normal(size=(CELL**2, self.dimension))

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        return [Described(self._features(photo)) for photo in photos]

    def _features(self, photo: DecodedPhoto) -> Features:
        cells = np.lib.stride_tricks.sliding_window_view(photo.pixels.astype(float), (CELL, CELL))
        cells = cells[::STEP, ::STEP]
        rows, columns = np.indices(cells.shape[:2]).reshape(2, -1) * STEP
        values = cells.reshape(-1, CELL**2)
        values = values - values.mean(axis=1, keepdims=True)
        strongest = np.argsort(-values.std(axis=1), kind="stable")
        frames = np.zeros((len(values), 2, 3))
        frames[:, [0, 1], [0, 1]] = CELL / 2
        frames[:, :, 2] = np.column_stack([columns, rows]) + (CELL - 1) / 2
        values = values @ self._projection
        values *= LENGTH / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
        if self.dtype == "uint8":
            values = np.clip(np.rint(128 + 200 * values / LENGTH), 0, 255)
        return photo.features(frames[strongest], values[strongest].astype(self.dtype))


def described(dimension: int, dtype: str = "float32", points: bool = False) -> FeatureOptions:
    return FeatureOptions(
        "projected", settings={"dimension": dimension, "dtype": dtype, "frames": not points}
    )


@dataclass(frozen=True)
class Material:
    """photos: scenes, and another view of one. query: a part of that scene, cut between the cells of the
    grid, so that cells are the same to a pixel."""

    photos: Path
    query: Path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Material]:
    folder = tmp_path_factory.mktemp("dimensions")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(SCENES):
        scene(number, 160, 120).save(photos / f"scene-{number}.png")
    viewed = scene(VIEWED, 160, 120)
    noise = np.random.default_rng(5).normal(0, 2, (112, 144, 3))
    view = np.clip(np.asarray(viewed.crop((16, 8, 160, 120))) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(view).save(photos / "view.png")
    viewed.crop((24, 16, 144, 112)).save(folder / "query.png")
    registered = plugins._registered[plugins.EXTRACTORS]
    registered["projected"] = Projected
    registry.extractor_of.cache_clear()
    yield Material(photos, folder / "query.png")
    del registered["projected"]
    registry.extractor_of.cache_clear()


def made(
    folder: Path,
    material: Material,
    features: FeatureOptions,
    index: IndexOptions | None = None,
    name: str = "store",
) -> handcraft.Store:
    """A store of the photos; those of a folder have one vocabulary."""
    words = folder / "words.h5"
    store = handcraft.open(folder / name, features=features, vocabulary=words)
    if not words.exists():
        handcraft.open(folder / "none", features=features).build_vocabulary(
            material.photos, WORDS, output=words
        )
    store.add(material.photos, options=index)
    return store


def assert_found(store: handcraft.Store, material: Material, options: QueryOptions) -> None:
    """The scene that the query is a part of, and its other view, come first; their shift is found too."""
    hits = store.query(material.query, options=options).hits
    best = {Path(hit.name).name: hit for hit in hits[:2]}
    assert set(best) == {f"scene-{VIEWED}.png", "view.png"}
    if not options.verify:
        return
    assert all(hit.inliers > 20 for hit in best.values())
    assert all(hit.match is None for hit in hits[2:])
    for name, shift in ((f"scene-{VIEWED}.png", (24, 16)), ("view.png", (8, 8))):
        match = best[name].match
        assert match is not None
        np.testing.assert_allclose(match.affine, [[1, 0, shift[0]], [0, 1, shift[1]]], atol=0.5)


def sentence(act: Callable[[], object], kind: type[HandcraftError] = HandcraftError) -> str:
    with pytest.raises(kind) as error:
        act()
    return str(error.value)


VERIFIED = replace(ONCE, verify=True)
BY_DESCRIPTORS = replace(VERIFIED, verification=replace(ONCE.verification, pairing="descriptors"))


@pytest.mark.parametrize(("dimension", "dtype", "bits"), SPACES)
def test_a_collection_is_searched(
    dimension: int, dtype: str, bits: int, material: Material, tmp_path: Path
) -> None:
    store = made(tmp_path, material, described(dimension, dtype))
    assert store.info().fingerprint.startswith(f"projected ({dimension} x {dtype}, ")
    assert store.info().methods["asmk"]["bits"] == dimension
    manifest = json.loads((store.path / "manifest.json").read_text())
    assert manifest["methods"]["asmk"]["bits"] == dimension
    model = tmp_path / "vlad.h5"
    store.build_vlad(model, VladTraining(words=4, dimension=4))
    store.add(material.photos, options=IndexOptions(method="vlad", vlad_model=model))
    for options in (ONCE, VERIFIED):
        for method in ("asmk", "bow"):
            assert_found(store, material, replace(options, method=method))
        # Four numbers that were learned on five photos tell one from the others, not two.
        best = store.query(material.query, options=replace(options, method="vlad")).hits[0]
        assert Path(best.name).name in {f"scene-{VIEWED}.png", "view.png"}
    assert_found(store, material, BY_DESCRIPTORS)
    assert_found(store, material, replace(VERIFIED, expand="hqe", method="asmk"))
    assert store.pairs(tmp_path / "pairs.txt").pairs == 1
    store.optimize()
    assert store.check().problems == ()
    again = handcraft.open(store.path)  # which knows its extractor's settings
    assert_found(again, material, VERIFIED)


@pytest.mark.parametrize(("dimension", "dtype", "bits"), SPACES)
def test_signatures_of_fewer_bits(
    dimension: int, dtype: str, bits: int, material: Material, tmp_path: Path
) -> None:
    index = IndexOptions(signatures=SignatureOptions(bits=bits))
    store = made(tmp_path, material, described(dimension, dtype), index)
    assert store.info().methods["asmk"]["bits"] == bits
    assert_found(store, material, VERIFIED)
    assert store.check().problems == ()
    (segment,) = store.info().segments
    if dimension > 64:  # signatures are planes of 64 bits
        whole = made(tmp_path, material, described(dimension, dtype), name="whole")
        assert segment.signatures_bytes < whole.info().segments[0].signatures_bytes
    longer = IndexOptions(signatures=SignatureOptions(bits=dimension + 1))
    other = handcraft.open(
        tmp_path / "other", features=described(dimension, dtype), vocabulary=tmp_path / "words.h5"
    )
    assert sentence(lambda: other.add(material.photos, options=longer)) == (
        f"Signatures of {dimension + 1} bits are longer than the descriptors, which have {dimension} "
        f"dimensions; give --bits {dimension} or less."
    )
    assert not other.exists


@pytest.mark.parametrize(
    "signatures", [SignatureOptions(aggregated=False), SignatureOptions(binary=False)], ids=["single", "real"]
)
@pytest.mark.parametrize(("dimension", "dtype"), [(36, "uint8"), (257, "float32")])
def test_signatures_of_other_kinds(
    dimension: int, dtype: str, signatures: SignatureOptions, material: Material, tmp_path: Path
) -> None:
    store = made(tmp_path, material, described(dimension, dtype), IndexOptions(signatures=signatures))
    assert_found(store, material, VERIFIED)
    assert store.check().problems == ()


def test_descriptors_that_are_too_short_for_signatures(material: Material, tmp_path: Path) -> None:
    text = sentence(lambda: made(tmp_path, material, described(6)))
    assert text == (
        "Descriptors of 6 dimensions are too short for signatures; vote by bags of words, --method bow."
    )
    store = made(tmp_path, material, described(6), IndexOptions(method="bow"))
    assert_found(store, material, BY_DESCRIPTORS)


@pytest.mark.parametrize(("dimension", "dtype"), [(36, "uint8"), (257, "float32")])
def test_points(dimension: int, dtype: str, material: Material, tmp_path: Path) -> None:
    store = made(tmp_path, material, described(dimension, dtype, points=True))
    assert "points=True" in store.info().fingerprint
    assert_found(store, material, VERIFIED)
    assert_found(store, material, BY_DESCRIPTORS)
    assert_found(store, material, replace(VERIFIED, expand="hqe"))
    assert store.check().problems == ()
    assert_found(handcraft.open(store.path), material, VERIFIED)
    # One that gives frames is another extractor, though the words are the same.
    frames = handcraft.open(store.path, features=described(dimension, dtype))
    assert "points=True" in sentence(lambda: frames.add(material.photos), FingerprintError)


def test_a_vocabulary_of_another_space_is_refused(material: Material, tmp_path: Path) -> None:
    made(tmp_path, material, described(40))
    for other in (described(32), described(40, "uint8")):
        store = handcraft.open(tmp_path / "other", features=other, vocabulary=tmp_path / "words.h5")
        text = sentence(lambda store=store: store.add(material.photos), FingerprintError)  # type: ignore[misc]
        space = f"{other.settings['dimension']} x {other.settings['dtype']}"
        assert text.startswith("The vocabulary is for projected (40 x float32), ")
        assert f"the photos give projected ({space}, " in text
        assert text.endswith("; train one for them with `handcraft build-vocab`.")
        assert not store.exists
    store = handcraft.open(tmp_path / "store")
    shipped = handcraft.open(tmp_path / "new", features=described(40))
    assert "projected" in sentence(lambda: shipped.add(material.photos))  # none ships for it
    text = sentence(
        lambda: (
            store.build_vlad(tmp_path / "m.h5", VladTraining(words=4, dimension=4))
            and made(
                tmp_path / "32",
                material,
                described(32),
                IndexOptions(method="vlad", vlad_model=tmp_path / "m.h5"),
            )
        )
    )
    assert text.startswith("The VLAD model is for projected (40 x float32")


# --- soft assignment by the length of descriptors ---


@dataclass(frozen=True)
class Twins:
    """Stores of the same features, as RootSIFT's bytes and as these divided by a length."""

    bytes_: handcraft.Store
    floats: handcraft.Store


@pytest.fixture
def twins(material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Twins:
    """The words of the floats are those of the bytes, divided too."""
    options = FeatureOptions(extractor="hessian-affine", max_features=200)
    rootsift = plugins.make(plugins.DESCRIPTORS, "rootsift", options)
    side = rootsift.side

    def divided(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(rootsift.describe(patches) / np.float32(512))

    own = plugins._registered[plugins.DESCRIPTORS]
    monkeypatch.setitem(own, "bytes", lambda options: Patches(side, 128, "uint8", rootsift.describe))
    monkeypatch.setitem(own, "floats", lambda options: Patches(side, 128, "float32", divided))
    registry.extractor_of.cache_clear()
    as_bytes, as_floats = (replace(options, descriptor=name) for name in ("bytes", "floats"))
    words = tmp_path / "bytes.h5"
    trained = handcraft.open(tmp_path / "none", features=as_bytes)
    tree = trained.build_vocabulary(material.photos, VocabularyOptions(words=100), output=words).tree
    write_vocabulary(
        tmp_path / "floats.h5",
        VocabularyTree.of(
            tree.centroids.astype(np.float32) / 512,
            tree.child_counts,
            registry.fingerprint_of(as_floats),
            replace(tree.training, distortion=tree.training.distortion / 512**2),
        ),
    )
    stores = []
    for name, features in (("bytes", as_bytes), ("floats", as_floats)):
        store = handcraft.open(
            tmp_path / f"store-{name}", features=features, vocabulary=tmp_path / f"{name}.h5"
        )
        store.add(material.photos)
        stores.append(store)
    return Twins(*stores)


def test_descriptors_of_another_length_rank_as_bytes_do(
    twins: Twins, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = [
        read_vocabulary(next(store.path.glob("vocabulary-*.h5"))) for store in (twins.bytes_, twins.floats)
    ]
    assert trees[0].root_sift_scale == 1
    assert trees[1].root_sift_scale == pytest.approx(512**2, rel=0.05)  # bytes are rounded

    def answer(store: handcraft.Store, **changes: Any) -> tuple[list[str], list[float]]:
        hits = store.query(material.query, options=replace(ONCE, method="bow", **changes)).hits
        return [hit.name.rpartition("/")[2] for hit in hits], [hit.score for hit in hits]

    for options in (BowOptions(), BowOptions(neighbours=3), BowOptions(assignments=1)):
        names, scores = answer(twins.bytes_, bow=options)
        found, floats = answer(twins.floats, bow=options)
        assert found == names
        np.testing.assert_allclose(floats, scores, rtol=0.03)
    # It is their weights that make it so: without their lengths they would all be alike.
    alike = BowOptions(assignment_variance=1e12)
    assert np.abs(np.subtract(answer(twins.bytes_, bow=alike)[1], answer(twins.bytes_)[1])).max() > 0.02
    monkeypatch.setattr(VocabularyTree, "root_sift_scale", 1.0)
    _, unscaled = answer(handcraft.open(twins.floats.path))
    np.testing.assert_allclose(unscaled, answer(twins.bytes_, bow=alike)[1], rtol=5e-3)


def test_other_methods_need_no_length(twins: Twins, material: Material) -> None:
    for options in (ONCE, VERIFIED):
        found = [
            [
                (Path(hit.name).name, round(hit.score, 4), hit.inliers)
                for hit in store.query(material.query, options=options).hits
            ]
            for store in (twins.bytes_, twins.floats)
        ]
        assert found[0] == found[1]
