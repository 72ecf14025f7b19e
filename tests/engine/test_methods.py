"""The methods by which a store votes: what it keeps for them, and how they come and go."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from photographs import ONCE, ranking, save, scene, segment_bytes, similarity, view

import handcraft
from handcraft.errors import HandcraftError, StoreError
from handcraft.options import (
    METHODS,
    AsmkOptions,
    BowOptions,
    FeatureOptions,
    IndexOptions,
    QueryOptions,
    SignatureOptions,
    VocabularyOptions,
)
from handcraft.storage.manifest import FORMAT, FileEntry

SCENES, SIZE = 5, (200, 150)
PHOTOS = SCENES + 1
FEW = FeatureOptions(max_features=300)
WORDS = VocabularyOptions(words=120, medians=True)  # so few that they repeat in a photo
BOW = IndexOptions(method="bow")
DEFAULT = {"bits": 128, "aggregated": True, "binary": True, "medians": False}
SIGNATURES = {
    "asmk": SignatureOptions(),
    "short": SignatureOptions(bits=72),
    "single": SignatureOptions(aggregated=False),
    "real": SignatureOptions(binary=False),
    "medians": SignatureOptions(medians=True),
}
KINDS = {"bow": BOW} | {
    name: IndexOptions(method="asmk", signatures=signatures) for name, signatures in SIGNATURES.items()
}
EACH_KIND = pytest.mark.parametrize("kind", ["bow", "asmk", "single", "real"])
EACH_SIGNATURE = pytest.mark.parametrize("kind", SIGNATURES)


@dataclass(frozen=True)
class Material:
    """photos: scenes, and another view of one of them. query: a part of that scene. vocabulary: of few
    words."""

    folder: Path
    photos: Path
    query: Path
    vocabulary: Path

    def place(self) -> Path:
        """Where a store can be. All are beside the photos, so that names are the same in all."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def new(self, path: Path | None = None, **options: Any) -> handcraft.Store:
        """A store that is quick."""
        return handcraft.open(path or self.place(), features=FEW, vocabulary=self.vocabulary, **options)

    def made(self, kind: str) -> handcraft.Store:
        """The store of all photos by this kind of votes; nobody may change it."""
        store = self.new(self.folder / kind)
        if not store.exists:
            store.add(self.photos, options=KINDS[kind])
        return handcraft.open(store.path)

    def copy(self, kind: str) -> handcraft.Store:
        """Such a store, to be changed."""
        return handcraft.open(shutil.copytree(self.made(kind).path, self.place(), dirs_exist_ok=True))

    def answers(self, store: handcraft.Store, **changes: Any) -> list[object]:
        """All that a store says of the query, by votes and verified, and of a photo that it may hold."""
        options = replace(ONCE, **changes)
        asked = [(self.query, False), (self.query, True), (self.photos / "scene-0.jpg", False)]
        return [ranking(store.query(query, options=options, verify=verify)) for query, verify in asked]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("methods")
    photos = folder / "photos"
    photos.mkdir()
    scenes = [scene(number, *SIZE) for number in range(SCENES)]
    for number, image in enumerate(scenes):
        save(image, photos / f"scene-{number}.jpg")
    save(view(scenes[2], similarity(6, 0.8, (110, 70), SIZE), SIZE), photos / "view.jpg")
    query = save(view(scenes[2], similarity(-4, 0.9, (95, 80), (160, 120)), (160, 120)), folder / "query.jpg")
    vocabulary = folder / "words.h5"
    trainer = handcraft.open(folder / "trainer", features=FEW)
    trainer.build_vocabulary(photos, WORDS, output=vocabulary)
    return Material(folder, photos, query, vocabulary)


def scores(store: handcraft.Store, query: Path, **changes: Any) -> list[float]:
    return [hit.score for hit in store.query(query, options=replace(ONCE, **changes)).hits]


def parts(store: handcraft.Store, part: str) -> list[bytes]:
    """The content of its files of one kind."""
    return [data for name, data in segment_bytes(store.path).items() if name.endswith(f".{part}.h5")]


def unchanged(store: handcraft.Store, act: Callable[[], object]) -> str:
    """The sentence with which an act fails that leaves a store as it was."""
    before = store.info(), segment_bytes(store.path), (store.path / "manifest.json").read_bytes()
    with pytest.raises(HandcraftError) as error:
        act()
    store.refresh()
    assert (store.info(), segment_bytes(store.path), (store.path / "manifest.json").read_bytes()) == before
    return str(error.value)


# --- what a store has ---


def test_a_new_store_votes_by_asmk_unless_told_otherwise(material: Material) -> None:
    store = material.new()
    store.add(material.photos)
    assert METHODS[0] == "asmk"
    assert store.info().methods == {"asmk": DEFAULT, "bow": {}}
    assert segment_bytes(store.path).keys() == {
        f"000001.{part}.h5" for part in ("index", "signatures", "features")
    }
    by_itself = material.answers(store)
    assert by_itself == material.answers(store, method="asmk") == material.answers(material.made("asmk"))
    assert by_itself != material.answers(store, method="bow")


def test_a_store_of_bags_of_words_has_no_signatures(material: Material) -> None:
    store = material.made("bow")
    assert store.info().methods == {"bow": {}}
    assert [segment.signatures_bytes for segment in store.info().segments] == [0]
    assert segment_bytes(store.path).keys() == {"000001.index.h5", "000001.features.h5"}
    assert store.check().problems == ()
    assert material.answers(store) == material.answers(store, method="bow")


@EACH_SIGNATURE
def test_a_store_with_signatures_votes_by_bags_of_words_too(material: Material, kind: str) -> None:
    store, bags = material.made(kind), material.made("bow")
    assert scores(store, material.query, method="bow") == scores(bags, material.query)
    assert parts(store, "index") == parts(bags, "index")
    assert store.check().problems == ()


@EACH_SIGNATURE
def test_signatures_are_as_the_options_say(material: Material, kind: str) -> None:
    store, options = material.made(kind), SIGNATURES[kind]
    bits = options.bits or 128
    kept = {**asdict(options), "bits": bits}
    assert store.info().methods == {"asmk": kept, "bow": {}}
    (path,) = store.path.glob("segments/*.signatures.h5")
    (segment,) = store.info().segments
    assert segment.signatures_bytes == path.stat().st_size
    count = segment.entries if options.aggregated else segment.features
    with h5py.File(path) as file:
        assert file["codes"].shape == ((-(-bits // 64), count) if options.binary else (count, bits))
        assert json.loads(file.attrs["parameters"]) == kept
        assert file.attrs["vocabulary"].decode() == store.snapshot.manifest.vocabulary.sha256


@EACH_KIND
def test_a_photo_of_the_store_finds_itself(material: Material, kind: str) -> None:
    """By the words that it was indexed by, with score 1: no signature stands in another's place."""
    options = replace(ONCE, asmk=AsmkOptions(assignments=1), bow=BowOptions(assignments=1))
    # Real residuals that are nothing, where a centroid is the descriptor itself, are like no other.
    least = 0.95 if kind == "real" else 0.99999
    for photo in sorted(material.photos.iterdir()):
        first, *others = material.made(kind).query(photo, options=options).hits
        assert first.path.name == photo.name
        assert least < first.score <= 1
        assert others[0].score < 0.9


# --- adding a method to a store ---


@EACH_SIGNATURE
def test_signatures_that_are_added_are_those_made_at_once(material: Material, kind: str) -> None:
    store = material.copy("bow")
    report = store.add(material.photos, options=KINDS[kind])
    assert (report.added, report.updated, report.unchanged) == (0, 0, PHOTOS)
    made = material.made(kind)
    assert store.check().problems == ()
    assert store.info().methods == made.info().methods
    for part in ("index", "signatures", "features"):
        assert parts(store, part) == parts(made, part)
    for method in ("asmk", "bow"):
        assert material.answers(store, method=method) == material.answers(made, method=method)


def test_signatures_are_added_to_pieces_with_removed_photos(material: Material) -> None:
    pieces = {}
    for kind in ("bow", "single"):
        pieces[kind] = material.new()
        pieces[kind].add(material.photos, options=replace(KINDS[kind], photos_per_commit=2))
        pieces[kind].remove(material.photos / "scene-1.jpg")
    store, made = pieces["bow"], pieces["single"]
    store.add(material.photos / "scene-0.jpg", options=KINDS["single"])
    assert [(s.photos, s.removed) for s in store.info().segments] == [(1, 1), (2, 0), (2, 0)]
    assert len(list(store.path.glob("segments/*"))) == 9
    assert store.check().problems == ()
    for part in ("index", "signatures"):
        assert parts(store, part) == parts(made, part)
    assert material.answers(store, method="asmk") == material.answers(made)


def test_a_method_that_is_added_is_asked_for_by_name(material: Material) -> None:
    store = material.copy("bow")
    before = scores(store, material.query)
    store.add(material.photos, options=KINDS["asmk"])
    assert list(store.info().methods) == ["bow", "asmk"]
    assert scores(store, material.query) == before == scores(store, material.query, method="bow")
    assert scores(store, material.query, method="asmk") != before


def test_signatures_tell_pairs_apart_whatever_votes(material: Material) -> None:
    """Fewer of the pairs that share a word by chance are left."""
    bags, both = material.copy("bow"), material.copy("asmk")
    query = replace(ONCE, method="bow", verify=True)
    without, with_them = (ranking(store.query(material.query, options=query)) for store in (bags, both))
    assert {name for _, name, *_ in without} == {name for _, name, *_ in with_them}
    assert without != with_them


def test_options_of_signatures_add_them_too(material: Material) -> None:
    store = material.copy("bow")
    store.add(material.photos, options=IndexOptions(signatures=SIGNATURES["short"]))
    assert material.answers(store, method="asmk") == material.answers(material.made("short"))


def test_a_method_comes_with_new_photos(material: Material) -> None:
    store = material.new()
    first, *others = sorted(material.photos.iterdir())
    store.add(first, options=BOW)
    report = store.add([first, *others], options=KINDS["asmk"])
    assert (report.added, report.unchanged) == (PHOTOS - 1, 1)
    assert store.check().problems == ()
    assert material.answers(store, method="asmk") == material.answers(material.made("asmk"))


def test_photos_that_are_added_later_get_the_stores_own_signatures(material: Material) -> None:
    store = material.new()
    for number, photo in enumerate(sorted(material.photos.iterdir())):
        store.add(photo, options=IndexOptions() if number else KINDS["short"])
    assert len(store.info().segments) == PHOTOS
    assert material.answers(store) == material.answers(material.made("short"))
    assert store.check().problems == ()


def test_progress_is_told_while_signatures_are_added(material: Material) -> None:
    store = material.copy("bow")
    steps: list[tuple[str, int, int]] = []
    store.add(material.photos, options=KINDS["asmk"], progress=lambda *step: steps.append(step))
    assert [step for step in steps if step[0] == "re-indexing"] == [
        ("re-indexing", 0, 1),
        ("re-indexing", 1, 1),
    ]


def test_without_kept_features_no_signatures_are_added(material: Material, tmp_path: Path) -> None:
    store = material.new()
    store.add(material.photos, options=replace(BOW, keep_features=False, photos_per_commit=4))
    store.add(save(scene(9, *SIZE), tmp_path / "kept.jpg"))
    sentence = unchanged(store, lambda: store.add(material.photos, options=KINDS["asmk"]))
    assert sentence == (
        f"The store {store.path} keeps no features of {PHOTOS} photos, so they cannot be given other words "
        "or signatures; index them again into a new store with `handcraft index --store`."
    )
    assert material.answers(store)  # it still votes


@pytest.mark.parametrize(
    "options",
    [IndexOptions(), KINDS["asmk"], IndexOptions(signatures=SignatureOptions(bits=128)), BOW],
    ids=["none", "asmk", "bits", "bow"],
)
def test_what_the_store_has_already_is_not_made_again(material: Material, options: IndexOptions) -> None:
    store = material.copy("asmk")
    before = store.info(), segment_bytes(store.path)
    assert store.add(material.photos, options=options).unchanged == PHOTOS
    assert (store.info(), segment_bytes(store.path)) == before


@pytest.mark.parametrize(
    ("kind", "asked", "has", "wants"),
    [
        ("asmk", {"bits": 64}, (128, True, True, False), (64, True, True, False)),
        ("asmk", {"aggregated": False}, (128, True, True, False), (128, False, True, False)),
        ("short", {"bits": 128}, (72, True, True, False), (128, True, True, False)),
        ("short", {"bits": 72, "binary": False}, (72, True, True, False), (72, True, False, False)),
        ("single", {"bits": 128}, (128, False, True, False), (128, True, True, False)),
        ("asmk", {"medians": True}, (128, True, True, False), (128, True, True, True)),
        ("medians", {"bits": 128}, (128, True, True, True), (128, True, True, False)),
    ],
)
def test_other_signatures_than_the_store_has_are_refused(
    material: Material,
    tmp_path: Path,
    kind: str,
    asked: dict[str, Any],
    has: tuple[object, ...],
    wants: tuple[object, ...],
) -> None:
    store, options = material.copy(kind), IndexOptions(signatures=SignatureOptions(**asked))
    save(scene(9, *SIZE), tmp_path / "new.jpg")
    sentence = unchanged(store, lambda: store.add(tmp_path / "new.jpg", options=options))
    one, other = ("bits {}, aggregated {}, binary {}, medians {}".format(*values) for values in (has, wants))
    assert sentence == (
        f"The store votes by asmk with {one}, the options ask for {other}; leave them out, or make another "
        "store with `handcraft index --store`."
    )


def test_longer_signatures_than_descriptors_are_refused(material: Material) -> None:
    longer = IndexOptions(signatures=SignatureOptions(bits=136))
    expected = (
        "Signatures of 136 bits are longer than the descriptors, which have 128 dimensions; "
        "give --bits 128 or less."
    )
    store = material.copy("bow")
    assert unchanged(store, lambda: store.add(material.photos, options=longer)) == expected
    new = material.new()
    with pytest.raises(HandcraftError) as error:
        new.add(material.photos, options=longer)
    assert str(error.value) == expected
    assert not new.exists
    assert list(new.path.rglob("*.h5")) == []


@pytest.mark.parametrize("kind", ["bow", "a new store"])
def test_medians_that_the_vocabulary_does_not_keep_are_refused(
    material: Material, tmp_path: Path, kind: str
) -> None:
    trainer = handcraft.open(material.place(), features=FEW)
    plain = tmp_path / "words.h5"
    trainer.build_vocabulary(material.photos, replace(WORDS, medians=False), output=plain)
    store = handcraft.open(material.place(), features=FEW, vocabulary=plain)
    asked = IndexOptions(signatures=SignatureOptions(medians=True))
    if kind == "bow":
        store.add(material.photos, options=BOW)
        sentence = unchanged(store, lambda: store.add(material.photos, options=asked))
    else:
        with pytest.raises(HandcraftError) as error:
            store.add(material.photos, options=asked)
        sentence = str(error.value)
        assert not store.exists
    assert sentence == (
        "The vocabulary keeps no medians of its words' descriptors; train one with "
        "`handcraft build-vocab --medians`, or leave --medians out."
    )


def test_medians_of_fewer_dimensions_are_refused(material: Material) -> None:
    store, asked = material.new(), IndexOptions(signatures=SignatureOptions(bits=64, medians=True))
    with pytest.raises(HandcraftError) as error:
        store.add(material.photos, options=asked)
    assert str(error.value) == (
        "Medians are of the descriptors' 128 dimensions, 64 bits are of fewer; leave --medians or --bits out."
    )
    assert not store.exists


def test_a_store_by_medians_takes_no_vocabulary_without(material: Material) -> None:
    store = material.copy("medians")
    sentence = unchanged(
        store, lambda: store.build_vocabulary(material.photos, replace(WORDS, medians=False))
    )
    assert sentence.startswith("The vocabulary keeps no medians of its words' descriptors;")


def test_a_store_whose_manifest_is_older_than_medians_is_what_it_was(material: Material) -> None:
    store, options = material.copy("asmk"), IndexOptions(signatures=SignatureOptions(bits=128))
    older = {name: value for name, value in DEFAULT.items() if name != "medians"}
    change_manifest(store, lambda manifest: manifest["methods"].update(asmk=older))
    with h5py.File(store.path / "segments" / "000001.signatures.h5", "r+") as file:
        file.attrs["parameters"] = np.bytes_(json.dumps(older).encode())
    name_anew(store, "signatures")
    assert store.add(material.photos, options=options).unchanged == PHOTOS
    assert material.answers(store) == material.answers(material.made("asmk"))


def test_shifted_descriptors_give_other_words_and_signatures(material: Material, tmp_path: Path) -> None:
    trainer = handcraft.open(material.place(), features=FEW)
    path = tmp_path / "shifted.h5"
    trainer.build_vocabulary(material.photos, replace(WORDS, shifted=True), output=path)
    of_shifted = {}
    for kind in ("bow", "asmk", "medians"):
        store = handcraft.open(material.place(), features=FEW, vocabulary=path)
        store.add(material.photos, options=KINDS[kind])
        of_shifted[kind] = scores(store, material.query)
        assert store.query(material.query, options=ONCE).hits[0].name.endswith(("scene-2.jpg", "view.jpg"))
        assert of_shifted[kind] != scores(material.made(kind), material.query)
    assert of_shifted["asmk"] != of_shifted["medians"]


# --- stores without photos ---


@EACH_KIND
def test_a_store_without_photos_takes_the_method_of_the_first(material: Material, kind: str) -> None:
    """Where `build-vocab` made it, nobody was asked how it is to vote."""
    store = handcraft.open(material.place(), features=FEW)
    store.build_vocabulary(material.photos, WORDS)
    assert store.info().methods == {"asmk": DEFAULT, "bow": {}}
    store.add(material.photos, options=KINDS[kind])
    made = material.made(kind)
    assert store.info().methods == made.info().methods
    assert segment_bytes(store.path) == segment_bytes(made.path)
    assert store.check().problems == ()


def test_a_store_that_was_emptied_takes_another_method(material: Material) -> None:
    store = material.copy("single")
    store.remove(material.photos)
    store.optimize()
    store.add(material.photos, options=BOW)
    assert store.info().methods == {"bow": {}}
    assert material.answers(store) == material.answers(material.made("bow"))
    assert store.check().problems == ()


# --- what must not change a ranking ---


@EACH_KIND
def test_adding_in_pieces_is_adding_at_once(material: Material, kind: str) -> None:
    store, whole = material.new(), material.made(kind)
    store.add(material.photos, options=replace(KINDS[kind], photos_per_commit=2))
    assert len(store.info().segments) == 3
    assert material.answers(store) == material.answers(whole)
    store.optimize()
    assert len(store.info().segments) == 1
    assert material.answers(store) == material.answers(whole)
    for part in ("index", "signatures", "features"):
        assert parts(store, part) == parts(whole, part)


@EACH_KIND
def test_what_was_removed_was_never_there(material: Material, tmp_path: Path, kind: str) -> None:
    """Neither before it is merged away nor afterwards."""
    store, whole = material.new(), material.made(kind)
    store.add(save(scene(9, *SIZE), tmp_path / "one.jpg"), options=KINDS[kind])
    store.add(material.photos, options=IndexOptions(photos_per_commit=4))
    store.add(save(scene(8, *SIZE), tmp_path / "two.jpg"))
    assert material.answers(store) != material.answers(whole)
    store.remove([tmp_path / "one.jpg", tmp_path / "two.jpg"])
    assert material.answers(store) == material.answers(whole)
    assert store.optimize().dropped == 2
    assert material.answers(store) == material.answers(whole)
    assert parts(store, "signatures") == parts(whole, "signatures")
    assert store.check().problems == ()


@EACH_KIND
def test_other_words_are_those_of_a_store_that_had_them_from_the_start(material: Material, kind: str) -> None:
    other = VocabularyOptions(words=80, seed=7)
    store = material.copy(kind)
    before = parts(store, "signatures")
    assert store.build_vocabulary(material.photos, other).reindexed == PHOTOS
    fresh = handcraft.open(material.place(), features=FEW)
    fresh.build_vocabulary(material.photos, other)
    fresh.add(material.photos, options=KINDS[kind])
    assert store.info().methods == fresh.info().methods == material.made(kind).info().methods
    assert parts(store, "signatures") == parts(fresh, "signatures")
    assert parts(store, "signatures") != before or kind == "bow"
    assert material.answers(store) == material.answers(fresh)
    assert store.check().problems == ()


@EACH_KIND
def test_threads_change_no_byte_and_no_score(material: Material, kind: str) -> None:
    whole = material.made(kind)
    one = material.new(threads=1)
    one.add(material.photos, options=KINDS[kind])
    assert segment_bytes(one.path) == segment_bytes(whole.path)
    answers = [
        ranking(handcraft.open(one.path, threads=threads).query(material.query, verify=True))
        for threads in (1, 2, 5)
    ]
    assert answers[1:] == answers[:1] * 2


# --- the options ---


def test_every_option_of_the_index_changes_the_scores(material: Material) -> None:
    by_kind = [tuple(scores(material.made(kind), material.query)) for kind in KINDS]
    assert len(set(by_kind)) == len(KINDS)
    changed = {
        field.name
        for field in fields(SignatureOptions)
        for options in SIGNATURES.values()
        if getattr(options, field.name) != getattr(SignatureOptions(), field.name)
    }
    assert changed == {field.name for field in fields(SignatureOptions)}


ASMK_CHANGES = [
    ("asmk", {"assignments": 4}),
    ("asmk", {"alpha": 2.0}),
    ("asmk", {"tau": 0.2}),
    ("asmk", {"tau": -0.5}),
    ("asmk", {"deviation": 0.25}),
    ("asmk", {"idf": True}),
    ("short", {"alpha": 2.0}),
    ("single", {"assignments": 2}),
    ("single", {"alpha": 2.0}),
    ("single", {"tau": 0.2}),
    ("single", {"deviation": 0.25}),
    ("single", {"idf": True}),
    ("single", {"burstiness": True}),
    ("real", {"assignments": 2}),
    ("real", {"alpha": 2.0}),
    ("real", {"tau": 0.2}),
    ("real", {"deviation": 0.25}),
    ("real", {"idf": True}),
]
BOW_CHANGES: list[dict[str, Any]] = [
    {"assignments": 1},
    {"neighbours": 3},
    {"assignment_variance": 100.0},
    {"norm": 1},
    {"burstiness": False},
    {"stop_words": 0.2},
]


def shown(value: object) -> str:
    return value if isinstance(value, str) else "-".join(map(str, value)) if isinstance(value, dict) else ""


@pytest.mark.parametrize(("kind", "change"), ASMK_CHANGES, ids=shown)
def test_every_option_of_asmk_changes_its_scores(
    material: Material, kind: str, change: dict[str, Any]
) -> None:
    store, changed = material.made(kind), AsmkOptions(**change)
    usual = scores(store, material.query)
    other = scores(store, material.query, asmk=changed)
    assert usual != other
    assert all(0 < score <= 1 for score in other)
    bags = scores(store, material.query, method="bow")
    assert scores(store, material.query, asmk=changed, method="bow") == bags


@pytest.mark.parametrize("change", BOW_CHANGES, ids=shown)
def test_every_option_of_bags_of_words_changes_their_scores(
    material: Material, change: dict[str, Any]
) -> None:
    store, changed = material.made("bow"), BowOptions(**change)
    usual, other = scores(store, material.query), scores(store, material.query, bow=changed)
    assert usual != other
    assert all(0 < score <= 1 for score in other)
    signed = material.made("asmk")
    assert scores(signed, material.query) == scores(signed, material.query, bow=changed)
    assert scores(signed, material.query, bow=changed, method="bow") == other


def test_no_option_of_a_method_is_left_out_of_these_tests() -> None:
    for options, changes in ((AsmkOptions, [c for _, c in ASMK_CHANGES]), (BowOptions, BOW_CHANGES)):
        assert {field.name for field in fields(options)} == {name for change in changes for name in change}


def test_options_are_told_apart_on_an_opened_store(material: Material) -> None:
    """What is worked out for some is not used for others."""
    store = handcraft.open(material.made("single").path)
    asked: list[dict[str, Any]] = [
        {},
        {"method": "bow"},
        {"asmk": AsmkOptions(alpha=2)},
        {"asmk": AsmkOptions(idf=True)},
        {"method": "bow", "bow": BowOptions(norm=1)},
        {"method": "bow", "bow": BowOptions(stop_words=0.2)},
    ]
    first = [scores(store, material.query, **options) for options in asked]
    again = [scores(store, material.query, **options) for options in reversed(asked)]
    fresh = [scores(handcraft.open(store.path), material.query, **options) for options in asked]
    assert first == again[::-1] == fresh


def test_evaluating_votes_by_the_method_that_is_asked_for(material: Material, tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    shutil.copy(material.query, tmp_path / "queries")
    (tmp_path / "truth.json").write_text(json.dumps({"query.jpg": ["scene-2.jpg", "view.jpg"]}))
    evaluate = (tmp_path / "queries", tmp_path / "truth.json")
    for method in ("asmk", "bow"):
        report = material.made("asmk").evaluate(*evaluate, options=QueryOptions(method=method))
        assert report.mean_average_precision == 1
    with pytest.raises(StoreError, match="does not vote by asmk but by bow"):
        material.made("bow").evaluate(*evaluate, options=QueryOptions(method="asmk"))


# --- what cannot be asked ---


def test_a_method_that_the_store_does_not_have(material: Material) -> None:
    store = material.made("bow")
    with pytest.raises(StoreError) as error:
        store.query(material.query, options=QueryOptions(method="asmk"))
    assert str(error.value) == (
        f"The store {store.path} does not vote by asmk but by bow; "
        "add it with `handcraft index FOLDER --method asmk`."
    )


@pytest.mark.parametrize("options", [IndexOptions, QueryOptions])
@pytest.mark.parametrize("name", ["fisher", "ASMK", " bow", "asmk*"])
def test_an_unknown_method(options: type, name: str) -> None:
    with pytest.raises(HandcraftError) as error:
        options(method=name)
    assert str(error.value) == f"There is no method {name!r}; the methods are asmk, bow, vlad."


@pytest.mark.parametrize(
    ("options", "change", "sentence"),
    [
        (SignatureOptions, {"bits": -8}, "bits=-8 is too small; give 0 or more."),
        (
            SignatureOptions,
            {"aggregated": False, "binary": False},
            "Real residuals are kept of a word's features together; leave --real out, or --single.",
        ),
        (
            SignatureOptions,
            {"medians": True, "binary": False},
            "Medians make bits of residuals; leave --medians out, or --real.",
        ),
        (AsmkOptions, {"alpha": 0.0}, "alpha=0.0 is not a number above 0; give 3, for example."),
        (AsmkOptions, {"alpha": float("inf")}, "alpha=inf is not a number above 0; give 3, for example."),
        (AsmkOptions, {"tau": 1.0}, "tau=1.0 is not from -1 to below 1; give 0, for example."),
        (AsmkOptions, {"tau": -1.5}, "tau=-1.5 is not from -1 to below 1; give 0, for example."),
        (AsmkOptions, {"tau": float("nan")}, "tau=nan is not from -1 to below 1; give 0, for example."),
        (AsmkOptions, {"deviation": -0.1}, "deviation=-0.1 is too small; give 0 or more."),
        (AsmkOptions, {"deviation": float("nan")}, "deviation=nan is too small; give 0 or more."),
        (BowOptions, {"norm": 0}, "norm=0 is neither 1 nor 2."),
        (BowOptions, {"norm": 3}, "norm=3 is neither 1 nor 2."),
        (BowOptions, {"stop_words": 1.0}, "stop_words=1.0 is not from 0 to below 1."),
        (BowOptions, {"stop_words": -0.1}, "stop_words=-0.1 is not from 0 to below 1."),
    ],
    ids=shown,
)
def test_options_that_make_no_sense(options: type, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HandcraftError) as error:
        options(**change)
    assert str(error.value) == sentence


# --- what is on disk ---


def change_manifest(store: handcraft.Store, change: Callable[[dict[str, Any]], object]) -> None:
    path = store.path / "manifest.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def name_anew(store: handcraft.Store, part: str, number: int = 0) -> Path:
    """Let the manifest name a file of a segment as it is now."""
    path = store.path / f"segments/{number + 1:06d}.{part}.h5"
    entry = FileEntry.of(store.path, path)
    facts = {"name": entry.name, "size": entry.size, "sha256": entry.sha256}
    change_manifest(store, lambda data: data["segments"][number].update({part: facts}))
    return path


@pytest.fixture
def of_format_1(material: Material) -> handcraft.Store:
    """As a handcraft wrote it that knew bags of words alone."""
    store = material.copy("bow")
    with h5py.File(store.path / "segments" / "000001.index.h5", "r+") as file:
        file.attrs["method"] = np.bytes_(b"bow")
    name_anew(store, "index")

    def back(data: dict[str, Any]) -> None:
        data.pop("methods")
        data.pop("vlad")
        for part in ("signatures", "vectors"):
            data["segments"][0].pop(part)
        data.update(format=1, method="bow")

    change_manifest(store, back)
    return handcraft.open(store.path)


def test_a_store_of_format_1_votes_by_bags_of_words(material: Material, of_format_1: handcraft.Store) -> None:
    before = (of_format_1.path / "manifest.json").read_bytes()
    assert of_format_1.info().methods == {"bow": {}}
    assert of_format_1.check().problems == ()
    assert material.answers(of_format_1) == material.answers(material.made("bow"))
    assert (of_format_1.path / "manifest.json").read_bytes() == before


def test_a_store_of_format_1_can_be_written(
    material: Material, of_format_1: handcraft.Store, tmp_path: Path
) -> None:
    """And is of today's format then."""
    new = save(scene(9, *SIZE), tmp_path / "new.jpg")
    assert of_format_1.add([material.photos, new]).added == 1
    assert json.loads((of_format_1.path / "manifest.json").read_text())["format"] == FORMAT
    assert of_format_1.remove(new) == 1
    assert material.answers(of_format_1) == material.answers(material.made("bow"))
    of_format_1.add(material.photos, options=KINDS["asmk"])
    of_format_1.optimize()
    assert of_format_1.check().problems == ()
    assert material.answers(of_format_1, method="asmk") == material.answers(material.made("asmk"))


@EACH_SIGNATURE
def test_signatures_of_another_vocabulary_are_refused(material: Material, kind: str) -> None:
    """Though all numbers fit: residuals of other centroids mean nothing."""
    store = material.copy(kind)
    (path,) = store.path.glob("segments/*.signatures.h5")
    with h5py.File(path, "r+") as file:
        vocabulary = file.attrs["vocabulary"].decode()
        file.attrs["vocabulary"] = np.bytes_(vocabulary[::-1].encode())
    name_anew(store, "signatures")
    sentence = (
        f"{path} is of another store: its vocabulary is {vocabulary[::-1]}, not {vocabulary}; "
        "run `handcraft check`."
    )
    with pytest.raises(StoreError) as error:
        handcraft.open(store.path).query(material.query)
    assert str(error.value) == sentence
    assert store.check().problems == (sentence,)


@EACH_SIGNATURE
def test_signatures_of_other_photos_are_refused(material: Material, kind: str) -> None:
    store = material.new()
    store.add(material.photos, options=replace(KINDS[kind], photos_per_commit=3))
    one, two = sorted(store.path.glob("segments/*.signatures.h5"))
    shutil.copy(two, one)
    name_anew(store, "signatures")
    with pytest.raises(StoreError, match=r"signatures .*postings; run `handcraft check`\.$"):
        handcraft.open(store.path).query(material.query)
    problems = store.check().problems
    assert problems
    assert all(problem.startswith(str(one)) for problem in problems)


def test_signatures_of_other_parameters_are_refused(material: Material) -> None:
    store = material.copy("asmk")
    shutil.copy(*(each.path / "segments/000001.signatures.h5" for each in (material.made("single"), store)))
    path = name_anew(store, "signatures")
    with pytest.raises(StoreError) as error:
        handcraft.open(store.path).query(material.query)
    assert str(error.value).startswith(f"{path} is of another store: its parameters is ")


@pytest.mark.parametrize(
    ("kind", "array"), [("asmk", "entries"), ("single", "entries"), ("single", "offsets")]
)
def test_check_compares_signatures_with_the_postings(material: Material, kind: str, array: str) -> None:
    """Where all checksums are right."""
    store = material.copy(kind)
    with h5py.File(store.path / "segments" / "000001.signatures.h5", "r+") as file:
        values = file[array][...]
        values[1] += 1
        file[array][...] = values
    path = name_anew(store, "signatures")
    assert store.check().problems == (f"{path}: the signatures' {array} disagree with the postings.",)


def test_a_segment_without_its_signatures_is_a_sentence(material: Material) -> None:
    store = material.copy("asmk")
    change_manifest(store, lambda data: data["segments"][0].update(signatures=None))
    path = store.path / "segments" / "000001.index.h5"
    sentence = f"{path} has no signatures, but the store votes by them; run `handcraft check`."
    with pytest.raises(StoreError) as error:
        handcraft.open(store.path).query(material.query)
    assert str(error.value) == sentence
    assert store.check().problems == (sentence,)


@pytest.mark.parametrize("parameters", [{"bits": 64, "colour": "red"}, {"bits": "many"}])
def test_signatures_of_a_kind_that_is_not_known(material: Material, parameters: dict[str, Any]) -> None:
    store = material.copy("asmk")
    change_manifest(store, lambda data: data["methods"].update(asmk=parameters))
    with pytest.raises(StoreError) as error:
        handcraft.open(store.path).query(material.query)
    assert str(error.value) == (
        f"The store votes by asmk with {parameters}, which this handcraft does not know; "
        "install the handcraft that made the store."
    )
