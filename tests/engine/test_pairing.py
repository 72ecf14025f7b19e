"""The pairs of photos that show the same, as reconstructions start from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from photographs import ONCE, blank_wall, copy_of, save, scene, similarity, view

import handcraft
from handcraft.engine.pairing import JOURNAL_FILE
from handcraft.errors import HandcraftError, StoreError, StoreLockedError
from handcraft.options import IndexOptions, PairsOptions, QueryOptions, VerificationOptions
from handcraft.storage.locks import writer_lock

SIZE = (300, 220)
PIECES = 6
NAMES = [f"street-{number}.jpg" for number in range(PIECES)]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/: pieces of a long scene, each of which overlaps its neighbours, two others, and a wall."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "photos").mkdir()
    image = scene(3, 900, 220)
    for number, name in enumerate(NAMES):
        save(image.crop((120 * number, 0, 120 * number + 300, 220)), folder / "photos" / name)
    for number in range(2):
        save(scene(20 + number, *SIZE), folder / "photos" / f"other-{number}.jpg")
    save(blank_wall(), folder / "photos" / "wall.png")
    handcraft.open(folder / ".handcraft").add(folder / "photos")
    return folder


@pytest.fixture
def store(street: Path) -> handcraft.Store:
    return handcraft.open(street / ".handcraft")


def read(path: Path) -> list[tuple[str, str]]:
    pairs = [line.split(" ") for line in path.read_text(encoding="utf-8").splitlines()]
    return [(a, b) for a, b in pairs]


def test_neighbours_are_paired_once(store: handcraft.Store, street: Path, tmp_path: Path) -> None:
    report = store.pairs(tmp_path / "pairs.txt", root=street / "photos")
    pairs = read(tmp_path / "pairs.txt")
    assert set(pairwise(NAMES)) <= set(pairs)
    assert {name for pair in pairs for name in pair} == set(NAMES)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == report.pairs
    order = [Path(name).name for name in store.names]
    assert pairs == sorted(pairs, key=lambda pair: [order.index(name) for name in pair])
    assert all(order.index(a) < order.index(b) for a, b in pairs)
    assert (report.photos, report.resumed, report.unreadable) == (PIECES + 3, 0, ())
    assert {Path(name).name for name in report.alone} == {"other-0.jpg", "other-1.jpg", "wall.png"}
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.txt"]


def test_names_are_those_of_the_collection(store: handcraft.Store, tmp_path: Path) -> None:
    store.pairs(tmp_path / "pairs.txt")
    assert {name for pair in read(tmp_path / "pairs.txt") for name in pair} <= set(store.names)


def test_partners_are_the_best_verified(store: handcraft.Store, street: Path, tmp_path: Path) -> None:
    store.pairs(tmp_path / "one.txt", root=street / "photos", options=PairsOptions(partners=1))
    one = read(tmp_path / "one.txt")
    assert PIECES / 2 <= len(one) <= PIECES
    for name in NAMES:
        hits = store.query(street / "photos" / name, options=ONCE, verify=True).hits
        best = next(hit.name for hit in hits if hit.match and Path(hit.name).name != name)
        assert tuple(sorted((name, Path(best).name))) in one


def test_enough_photos_are_compared_for_so_many_partners(store: handcraft.Store, tmp_path: Path) -> None:
    shallow = QueryOptions(verification=VerificationOptions(depth=2))
    for partners in (1, 3):
        options = PairsOptions(partners=partners, query=shallow)
        store.pairs(tmp_path / f"{partners}.txt", options=options)
    one, three = (read(tmp_path / f"{partners}.txt") for partners in (1, 3))
    assert max(Counter(name for pair in three for name in pair).values()) >= 3
    assert len(three) > len(one)


def test_the_query_options_reach_it(store: handcraft.Store, tmp_path: Path) -> None:
    strict = QueryOptions(verification=VerificationOptions(min_inliers=10_000))
    assert store.pairs(tmp_path / "none.txt", options=PairsOptions(query=strict)).pairs == 0
    assert (tmp_path / "none.txt").read_bytes() == b""
    descriptors = QueryOptions(verification=VerificationOptions(pairing="descriptors"))
    assert store.pairs(tmp_path / "some.txt", options=PairsOptions(query=descriptors)).pairs >= PIECES - 1


def test_the_same_bytes_at_any_thread_count(street: Path, tmp_path: Path) -> None:
    for threads in (1, 2, 5):
        handcraft.open(street / ".handcraft", threads=threads).pairs(tmp_path / f"{threads}.txt")
    written = [(tmp_path / f"{threads}.txt").read_bytes() for threads in (1, 2, 5)]
    assert written[0]
    assert written[1:] == written[:1] * 2


class InterruptionError(Exception):
    """What ends a run in its middle."""


def interrupted(store: handcraft.Store, output: Path, options: PairsOptions | None = None) -> None:
    """A run that ends after four photos."""

    def progress(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("pairing", PIECES + 3)
        if done == 4:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        store.pairs(output, options=options, progress=progress)
    assert not output.exists()


@pytest.mark.parametrize("torn", ["", "[5, [1,", "[5"])
def test_an_interrupted_run_goes_on(store: handcraft.Store, tmp_path: Path, torn: str) -> None:
    store.pairs(tmp_path / "expected.txt")
    output = tmp_path / "pairs.txt"
    interrupted(store, output)
    with (tmp_path / "pairs.txt.partial" / JOURNAL_FILE).open("a") as journal:
        journal.write(torn)
    report = store.pairs(output)
    assert report.resumed == 4
    assert output.read_bytes() == (tmp_path / "expected.txt").read_bytes()
    assert not (tmp_path / "pairs.txt.partial").exists()
    assert store.pairs(output).resumed == 0


def test_other_options_begin_anew(store: handcraft.Store, tmp_path: Path) -> None:
    output, one = tmp_path / "pairs.txt", PairsOptions(partners=1)
    interrupted(store, output)
    assert store.pairs(output, options=one).resumed == 0
    interrupted_output = tmp_path / "again.txt"
    interrupted(store, interrupted_output, one)
    assert store.pairs(interrupted_output, options=one).resumed == 4


def test_a_changed_store_begins_anew(street: Path, tmp_path: Path) -> None:
    own = copy_of(street, tmp_path)
    store, output = handcraft.open(own / ".handcraft"), own / "pairs.txt"
    interrupted(store, output)
    store.remove(own / "photos" / "other-0.jpg")
    report = store.pairs(output)
    assert (report.photos, report.resumed) == (PIECES + 2, 0)


def test_photos_whose_features_are_not_kept_are_described_again(street: Path, tmp_path: Path) -> None:
    own = copy_of(street, tmp_path)
    store = handcraft.open(own / "other")
    store.add(own / "photos", options=IndexOptions(keep_features=False))
    handcraft.open(own / ".handcraft").pairs(own / "kept.txt", root=own)
    store.pairs(own / "described.txt", root=own)
    assert (own / "described.txt").read_bytes() == (own / "kept.txt").read_bytes()
    (own / "photos" / NAMES[2]).unlink()
    report = store.pairs(own / "rest.txt", root=own)
    assert [str(error) for error in report.unreadable] == [
        f"There is no photo at {own / 'photos' / NAMES[2]}; check the name."
    ]
    assert read(own / "rest.txt")


def test_a_name_with_a_space(street: Path, tmp_path: Path) -> None:
    own = copy_of(street, tmp_path)
    store = handcraft.open(own / ".handcraft")
    size = (120, 90)
    save(view(scene(40), similarity(0, 1, (100, 100), size), size), own / "photos" / "a b.jpg")
    store.add(own / "photos")
    with pytest.raises(HandcraftError) as error:
        store.pairs(own / "pairs.txt")
    assert str(error.value) == (
        "The name of the photo 'photos/a b.jpg' has a space, which a list of pairs cannot hold; rename it "
        "and index it again."
    )
    assert not (own / "pairs.txt.partial").exists()


def test_what_a_store_cannot_answer_is_said_before_the_work(store: handcraft.Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not vote by vlad"):
        store.pairs(tmp_path / "pairs.txt", options=PairsOptions(query=replace(ONCE, method="vlad")))
    with pytest.raises(StoreError, match="There is no store at"):
        handcraft.open(tmp_path / "none").pairs(tmp_path / "pairs.txt")


def test_one_run_at_a_time(store: handcraft.Store, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt.partial").mkdir()
    with (
        writer_lock(tmp_path / "pairs.txt.partial", "pairs"),
        pytest.raises(StoreLockedError, match=r"^The list in .* is being written by process \d+"),
    ):
        store.pairs(tmp_path / "pairs.txt")


def test_a_journal_that_is_no_text(store: handcraft.Store, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt.partial").mkdir()
    journal = tmp_path / "pairs.txt.partial" / JOURNAL_FILE
    journal.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(HandcraftError, match=rf"^{journal} cannot be read \(.*\); remove it\.$"):
        store.pairs(tmp_path / "pairs.txt")


def test_partners_below_one() -> None:
    with pytest.raises(HandcraftError, match=r"^partners=0 is too small; give 1 or more\.$"):
        PairsOptions(partners=0)
