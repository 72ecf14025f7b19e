"""handcraft index and build-vocab: what they print, where they write, how they end."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from commands import run, sentence
from photographs import SCENES, save, scene, segment_bytes
from plugs import unknown_extractor

import handcraft
from handcraft.options import VocabularyOptions

PHOTOS = SCENES + 2
SECONDS = r"\d+\.\d s"


# --- index ---


def test_index_says_what_it_did(own: Path) -> None:
    shutil.rmtree(own / ".handcraft")
    outcome = run("index", "photos")
    pattern = rf"10 photos added, 0 updated, 0 unchanged in {SECONDS}; \.handcraft holds 10 photos\.\n"
    assert re.fullmatch(pattern, outcome.out)
    assert outcome.err == ""
    save(scene(90), own / "photos" / "scene-0.jpg")
    save(scene(91), own / "photos" / "new.jpg")
    again = run("index", "photos").out
    assert again.startswith("1 photo added, 1 updated, 9 unchanged in ")
    assert again.endswith("; .handcraft holds 11 photos.\n")


def test_index_in_json(own: Path) -> None:
    save(scene(91), own / "photos" / "new.jpg")
    (own / "photos" / "words.jpg").write_text("no photo", encoding="utf-8")
    outcome = run("index", "photos", "--json", code=3)
    assert outcome.err == ""
    data = outcome.data
    assert data.pop("seconds") > 0
    (unreadable,) = data.pop("unreadable")
    assert unreadable.startswith(f"{own / 'photos' / 'words.jpg'} is not a JPEG")
    assert data == {
        "store": str(own / ".handcraft"),
        "photos": PHOTOS + 1,
        "added": 1,
        "updated": 0,
        "unchanged": PHOTOS,
        "featureless": [],
    }


def test_the_photos_that_could_not_be_read_come_last(own: Path) -> None:
    (own / "photos" / "words.jpg").write_text("no photo", encoding="utf-8")
    outcome = run("index", "photos", "absent.jpg", code=3)
    assert outcome.out.startswith("0 photos added, 0 updated, 10 unchanged in ")
    head, *lines = outcome.err.splitlines()
    assert head == "2 photos could not be read:"
    words, absent = sorted(lines)
    assert words.startswith(f"  {own / 'photos' / 'words.jpg'} is not a JPEG")
    assert absent == "  There is no file or folder absent.jpg; check the name."
    assert run("check").code == 0


def test_feature_options_make_another_store(own: Path) -> None:
    sizes = ("--max-features", "30", "--max-size", "300")
    run("index", "photos", "--store", "other", *sizes, "--oriented", "--spread")
    text = run("info", "--store", "other").out
    assert "max_features=30, max_size=300, spread=True, upright=False" in text
    facts = run("info", "--store", "other", "--json").data
    assert sum(segment["features"] for segment in facts["segments"]) == 30 * PHOTOS


def test_feature_options_that_differ_from_the_stores_are_refused(own: Path) -> None:
    text = sentence(run("index", "photos", "--max-features", "30", code=1))
    assert "max_features=2000" in text
    assert "max_features=30" in text
    assert run("check").code == 0
    assert run("info", "--json").data["photos"] == PHOTOS


def test_an_unknown_extractor(own: Path) -> None:
    text = sentence(run("index", "photos", "--store", "other", "--extractor", "surf", code=1))
    assert text == unknown_extractor("surf")


def test_an_extractor_without_a_vocabulary_of_its_own(own: Path) -> None:
    """It is said how to train one, and what is said works."""
    regions = ("photos", "--extractor", "mser")
    text = sentence(run("index", *regions, "--store", "other", code=1))
    assert text == (
        "No vocabulary for mser comes with handcraft; train one for your photos with "
        "`handcraft build-vocab PHOTOS --extractor mser`."
    )
    assert not (own / "other" / "manifest.json").exists()
    run("build-vocab", *regions, "--words", "200", "--output", "mser.h5")
    run("index", *regions, "--store", "other", "--vocabulary", "mser.h5")
    run("build-vocab", *regions, "--words", "200", "--store", "trained")
    run("index", "photos", "--store", "trained")
    for store in ("other", "trained"):
        facts = run("info", "--store", store, "--json").data
        assert (facts["photos"], facts["words"]) == (PHOTOS, 200)
        assert facts["fingerprint"].startswith("mser-rootsift (128 x uint8")
        hit = run("query", "photos/scene-3.jpg", "--store", store, "--verify", "--json").data["hits"][0]
        assert (hit["name"], hit["inliers"] > 20) == ("photos/scene-3.jpg", True)


def test_features_need_not_be_kept(own: Path) -> None:
    run("index", "photos", "--store", "bare", "--no-keep-features")
    facts = run("info", "--store", "bare", "--json").data
    assert [segment["features_bytes"] for segment in facts["segments"]] == [0]
    text = sentence(run("build-vocab", "photos", "--words", "50", "--store", "bare", code=1))
    assert "keeps no features of 10 photos" in text


def test_threads_change_nothing(own: Path) -> None:
    run("index", "photos", "--store", "one", "--threads", "1")
    run("index", "photos", "--store", "two", "--threads", "2")
    one = segment_bytes(own / "one")
    assert one.keys() == {f"000001.{part}.h5" for part in ("index", "signatures", "features")}
    assert one == segment_bytes(own / "two")


# --- how photos are voted for ---


def votes_by(store: str) -> str:
    """What `info` says of it."""
    found = re.search(r"^votes by +(.*)$", run("info", "--store", store).out, re.MULTILINE)
    assert found is not None
    return found[1]


def test_bags_of_words_get_signatures(own: Path) -> None:
    outcome = run("index", "photos", "--store", "bags", "--method", "bow")
    assert outcome.out.startswith("10 photos added, 0 updated, 0 unchanged in ")
    assert votes_by("bags") == "bow"
    facts = run("info", "--store", "bags", "--json").data
    assert facts["methods"] == {"bow": {}}
    assert [segment["signatures_bytes"] for segment in facts["segments"]] == [0]
    outcome = run("index", "photos", "--store", "bags", "--method", "asmk")
    assert outcome.out.startswith("0 photos added, 0 updated, 10 unchanged in ")
    assert votes_by("bags") == "bow, asmk (128 bits)"
    facts = run("info", "--store", "bags", "--json").data
    assert list(facts["methods"]) == ["bow", "asmk"]
    assert [segment["signatures_bytes"] > 0 for segment in facts["segments"]] == [True]
    asmk = ("query", "query.jpg", "--json", "--method", "asmk", "--store")
    assert run(*asmk, "bags").data["hits"] == run(*asmk, ".handcraft").data["hits"]
    assert run("check", "--store", "bags").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bits", "64"), "asmk (64 bits), bow"),
        (("--single",), "asmk (128 bits a feature), bow"),
        (("--real", "--method", "asmk"), "asmk (128 numbers), bow"),
        (("--aggregated", "--binary", "--bits", "0"), "asmk (128 bits), bow"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_kept_for_asmk(own: Path, arguments: tuple[str, ...], said: str) -> None:
    run("index", "photos/views", "--store", "other", *arguments)
    assert votes_by("other") == said
    run("index", "photos/scene-3.jpg", "--store", "other")  # as the store does, whatever the default
    assert votes_by("other") == said
    query = ("query", "photos/scene-3.jpg", "--store", "other", "--directions", "1", "--json")
    assert run(*query).data["hits"][0]["name"] == "photos/scene-3.jpg"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--method", "fisher"), "There is no method 'fisher'; the methods are asmk, bow, vlad."),
        (
            ("--bits", "256"),
            "Signatures of 256 bits are longer than the descriptors, which have 128 dimensions; "
            "give --bits 128 or less.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_signatures_that_cannot_be(own: Path, arguments: tuple[str, ...], text: str) -> None:
    assert sentence(run("index", "photos", "--store", "other", *arguments, code=1)) == text
    assert not (own / "other" / "manifest.json").exists()
    assert sentence(run("index", "photos", *arguments, code=1)) == text  # nor in a store that there is
    run("check")


def test_other_signatures_than_the_stores_are_refused(own: Path) -> None:
    assert sentence(run("index", "photos", "--bits", "64", code=1)) == (
        "The store votes by asmk with bits 128, aggregated True, binary True, medians False, the options ask "
        "for bits 64, aggregated True, binary True, medians False; leave them out, or make another store "
        "with `handcraft index --store`."
    )
    assert votes_by(".handcraft") == "asmk (128 bits), bow"


def test_real_signatures_of_single_features_are_refused(own: Path) -> None:
    text = sentence(run("index", "photos", "--single", "--real", "--store", "other", code=1))
    assert text.startswith("Real residuals are kept of a word's features together; ")


def test_signatures_cannot_be_added_without_kept_features(own: Path) -> None:
    run("index", "photos", "--store", "bags", "--method", "bow", "--no-keep-features")
    assert sentence(run("index", "photos", "--store", "bags", "--method", "asmk", code=1)) == (
        f"The store {own / 'bags'} keeps no features of 10 photos, so they cannot be given other words or "
        "signatures; index them again into a new store with `handcraft index --store`."
    )
    assert votes_by("bags") == "bow"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("photos", "--threads", "-1"),
        ("photos", "--max-features", "0"),
        ("photos", "--max-size", "5"),
        ("photos", "--bits", "-8"),
        ("photos", "--bits", "many"),
        ("photos", "--no-such-option"),
        ("photos", "--store", "query.jpg"),
    ],
)
def test_wrong_usage_is_code_2(own: Path, arguments: tuple[str, ...]) -> None:
    outcome = run("index", *arguments, code=2)
    assert outcome.out == ""
    assert "Usage: " in outcome.err
    assert "Try 'cli index --help'" in outcome.err or "Try 'handcraft index --help'" in outcome.err


# --- which store ---


def test_the_store_is_made_in_the_current_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(own / ".handcraft")
    monkeypatch.chdir(own / "photos" / "views")
    run("index", ".")
    assert (own / "photos" / "views" / ".handcraft" / "manifest.json").exists()
    assert run("info", "--photos").out == "near.jpg\nturned.jpg\n"


def test_the_nearest_store_above_is_meant(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own / "photos" / "views")
    assert run("info", "--json").data["store"] == str(own / ".handcraft")
    assert run("index", ".").out.endswith(f"; {Path('../../.handcraft')} holds 10 photos.\n")
    handcraft.open(own / "photos" / ".handcraft").add(own / "photos" / "views")
    assert run("info", "--json").data["store"] == str(own / "photos" / ".handcraft")
    # A folder of that name that holds no store is passed over.
    (own / "photos" / "views" / ".handcraft").mkdir()
    assert run("info", "--json").data["store"] == str(own / "photos" / ".handcraft")


def test_the_variable_names_a_store_and_the_option_goes_before_it(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("index", "photos/views", "--store", "named")
    run("index", "photos/scene-0.jpg", "--store", "other")
    monkeypatch.setenv("HANDCRAFT_STORE", str(own / "other"))
    assert run("info", "--json").data["photos"] == 1
    assert run("info", "--json", "--store", "named").data["photos"] == 2
    monkeypatch.delenv("HANDCRAFT_STORE")
    assert run("info", "--json").data["photos"] == PHOTOS


# --- build-vocab ---


def test_build_vocab_says_what_it_did(own: Path) -> None:
    outcome = run("build-vocab", "photos", "--words", "200")
    assert re.fullmatch(
        rf"200 words trained on [\d,]+ descriptors of 10 photos in {SECONDS}, written to \.handcraft; "
        r"10 photos indexed again\.\n",
        outcome.out,
    )
    assert outcome.err == ""
    facts = run("info", "--json").data
    assert facts["words"] == 200
    assert (facts["training"]["source"], facts["training"]["photos"]) == ("photos", 10)
    assert run("check").code == 0


def test_build_vocab_in_json(own: Path) -> None:
    (own / "photos" / "words.jpg").write_text("no photo", encoding="utf-8")
    outcome = run("build-vocab", "photos", "--words", "64", "--depth", "3", "--json", code=3)
    data = outcome.data
    assert data["written"] == str(own / ".handcraft")
    assert (data["words"], data["depth"], data["photos"]) == (64, 3, PHOTOS)
    assert (data["reused"], data["reindexed"]) == (PHOTOS, PHOTOS)
    assert data["descriptors"] > 1000
    assert data["distortion"] > 0
    assert len(data["unreadable"]) == 1
    counted = {"words", "depth", "descriptors", "photos", "reused", "reindexed"}
    assert data.keys() == {"written", "distortion", "unreadable", "seconds", *counted}


def test_photos_that_training_could_not_read_are_listed(own: Path) -> None:
    """With the exit code that the help gives for it."""
    (own / "photos" / "words.jpg").write_text("no photo", encoding="utf-8")
    outcome = run("build-vocab", "photos", "--words", "50", code=3)
    assert outcome.out.startswith("50 words trained on ")
    first, second = outcome.err.splitlines()
    assert first == "1 photo could not be read:"
    assert second.startswith(f"  {own / 'photos' / 'words.jpg'} is not a JPEG")


def test_build_vocab_makes_a_store(own: Path) -> None:
    outcome = run("build-vocab", "photos", "--words", "50", "--store", "fresh", "--max-features", "100")
    assert outcome.out.endswith("written to fresh.\n")
    run("index", "photos", "--store", "fresh")
    facts = run("info", "--store", "fresh", "--json").data
    assert (facts["words"], facts["photos"]) == (50, PHOTOS)
    assert "max_features=100" in facts["fingerprint"]


def test_build_vocab_describes_photos_as_it_is_told(own: Path) -> None:
    regions = ("--extractor", "hessian-affine", "--double", "--spread", "--oriented")
    run("build-vocab", "photos/views", "--words", "50", "--store", "fresh", *regions)
    text = run("info", "--store", "fresh").out
    for option in ("extractor=hessian-affine", "doubled=True", "spread=True", "upright=False"):
        assert option in text


def test_a_vocabulary_file_serves_a_new_store(own: Path) -> None:
    before = run("info", "--json").data
    outcome = run("build-vocab", "photos", "--words", "50", "--output", "mine.h5")
    assert outcome.out.endswith("written to mine.h5.\n")
    assert run("info", "--json").data == before
    run("index", "photos", "--store", "other", "--vocabulary", "mine.h5")
    assert run("info", "--store", "other", "--json").data["words"] == 50


def test_fewer_words_than_asked_for_are_said(own: Path) -> None:
    """Equal photos give equal descriptors, which k-means cannot tell apart."""
    (own / "same").mkdir()
    for number in range(4):
        shutil.copy(own / "photos" / "scene-0.jpg", own / "same" / f"{number}.jpg")
    features = run("info", "--json").data["segments"][0]["features"] // PHOTOS
    words = str(3 * features)
    outcome = run("build-vocab", "same", "--words", words, "--store", "fresh", "--depth", "1")
    assert re.fullmatch(r"Warning: only [\d,]+ words; many descriptors are equal\.\n", outcome.err)


def test_too_few_descriptors(own: Path) -> None:
    text = sentence(run("build-vocab", "photos/views", code=1))
    assert f"descriptors are too few for {VocabularyOptions().words:,} words" in text
    assert text.endswith("give more photos or ask for fewer words with --words.")


def test_an_output_that_cannot_be_written_is_said_in_plain_words(own: Path) -> None:
    """And before the training, which may take hours."""
    text = sentence(run("build-vocab", "photos", "--words", "50", "--output", "query.jpg/mine.h5", code=1))
    assert text.startswith(str(own / "query.jpg" / "mine.h5"))
    assert text.endswith(" cannot be written: Not a directory.")
