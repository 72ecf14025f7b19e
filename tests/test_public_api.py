"""What `import handcraft` offers."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from importlib import metadata

import pytest

import handcraft
from handcraft import errors
from handcraft.errors import HandcraftError


def test_every_public_name_is_there() -> None:
    assert handcraft.__all__
    for name in handcraft.__all__:
        assert getattr(handcraft, name) is not None
    assert sorted(handcraft.__all__) == dir(handcraft)


def test_every_public_name_is_documented() -> None:
    for name in handcraft.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(handcraft, name)), name


def test_the_public_names() -> None:
    votes = {"Asmk", "Bow", "Signature", "Vlad"}
    options = {"Feature", "Index", "Match", "Pairs", "Query", "Verification", "Vocabulary", *votes}
    assert set(handcraft.__all__) == {
        *("Store", "open", "match", "evaluate_rankings", "HandcraftError", "__version__"),
        *(f"{name}Options" for name in options),
        *("Described", "Extractor", "Features", "Hit", "Match", "RegionOfInterest", "VladTraining"),
    }


def test_every_method_of_a_store_is_documented_and_typed() -> None:
    for name, member in inspect.getmembers(handcraft.Store):
        if name.startswith("_"):
            continue
        assert inspect.getdoc(member), name
        function = member.fget if isinstance(member, property) else member
        assert "return" in function.__annotations__, name


@pytest.mark.parametrize(
    ("options", "name", "least"),
    [
        (handcraft.FeatureOptions, "max_size", 16),
        (handcraft.FeatureOptions, "max_features", 1),
        (handcraft.IndexOptions, "photos_per_commit", 1),
        (handcraft.MatchOptions, "rival_distance", 0),
        (handcraft.QueryOptions, "top", 1),
        (handcraft.QueryOptions, "probe_features", 1),
        (handcraft.SignatureOptions, "bits", 0),
        (handcraft.BowOptions, "assignments", 1),
        (handcraft.BowOptions, "neighbours", 1),
        (handcraft.AsmkOptions, "assignments", 1),
        (handcraft.AsmkOptions, "deviation", 0),
        (handcraft.VerificationOptions, "depth", 1),
        (handcraft.VerificationOptions, "words", 1),
        (handcraft.VerificationOptions, "neighbours", 1),
        (handcraft.VerificationOptions, "max_pairs_per_word", 1),
        (handcraft.VerificationOptions, "max_scale_change", 1),
        (handcraft.VerificationOptions, "max_relative_scale", 1),
        (handcraft.VerificationOptions, "max_anisotropy", 1),
        (handcraft.VerificationOptions, "refits", 0),
        (handcraft.VerificationOptions, "min_inliers", 1),
    ],
)
def test_an_option_that_is_too_small_is_refused(options: type, name: str, least: int) -> None:
    options(**{name: least})
    with pytest.raises(HandcraftError) as error:
        options(**{name: least - 1})
    assert str(error.value) == f"{name}={least - 1} is too small; give {least} or more."


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'handcraft' has no attribute 'stroe'"):
        _ = handcraft.stroe
    with pytest.raises(ImportError):
        importlib.import_module("handcraft.stroe")


def test_the_version_is_that_of_the_package() -> None:
    assert handcraft.__version__ == metadata.version("handcraft")


def test_importing_is_cheap() -> None:
    code = (
        "import sys, handcraft\n"
        "handcraft.FeatureOptions()\n"
        "print([name for name in ('numpy', 'cv2', 'numba', 'h5py', 'click') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_every_error_is_a_handcraft_error() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert len(kinds) > 5
    assert all(issubclass(kind, HandcraftError) for kind in kinds)


@pytest.mark.parametrize(
    "name",
    [
        "AsmkOptions",
        "BowOptions",
        "FeatureOptions",
        "IndexOptions",
        "MatchOptions",
        "PairsOptions",
        "QueryOptions",
        "SignatureOptions",
        "VerificationOptions",
        "VladOptions",
        "VladTraining",
        "VocabularyOptions",
    ],
)
def test_options_are_frozen_and_compared_by_value(name: str) -> None:
    kind = getattr(handcraft, name)
    assert kind() == kind()
    field = next(iter(kind.__dataclass_fields__))
    with pytest.raises(AttributeError):
        setattr(kind(), field, 1)
