"""Help: every command has some, with an example, and it is quick to come."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest
from commands import run, run_process

import handcraft
from handcraft.cli import cli
from handcraft.options import (
    METHODS,
    AsmkOptions,
    BowOptions,
    FeatureOptions,
    IndexOptions,
    MatchOptions,
    QueryOptions,
    SignatureOptions,
    VerificationOptions,
    VocabularyOptions,
)

CHECKOUT = Path(handcraft.__file__).parent.parent


def commands_of(group: click.Group, *above: str) -> dict[str, click.Command]:
    """The commands by their names, those of a group below it: "vocab info"."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        names = (*above, name)
        found |= (
            commands_of(command, *names) if isinstance(command, click.Group) else {" ".join(names): command}
        )
    return found


COMMANDS = commands_of(cli)


def test_the_commands_are_those_of_the_issue() -> None:
    maintenance = {"remove", "optimize", "info", "check"}
    asking = {"query", "match", "pairs", "features", "extractors", "evaluate", "benchmark", "demo"}
    exchange = {"import-features", "export-features", "export-network"}
    expected = {"index", "build-vocab", "vocab", "build-vlad", *exchange, *asking, *maintenance}
    assert set(cli.commands) == expected
    assert {name for name in COMMANDS if " " in name} == {"vocab info", "features show"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.help.split("\n")[0].endswith(".")
    text = run(*name.split(), "--help").out
    assert text == run(*name.split(), "-h").out
    example = text.split("Example:\n")[1]
    assert re.search(rf"^    ?handcraft {name}\b", example, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_valid(name: str) -> None:
    """Every option and argument of an example is one that the command takes."""
    example = run(*name.split(), "--help").out.split("Example:\n")[1]
    lines = [line.strip() for line in example.splitlines() if line.strip().startswith("handcraft ")]
    assert lines
    for line in lines:
        _, *words = line.split(" && ")[0].split()
        length = 1 if words[0] in COMMANDS else 2
        command = " ".join(words[:length])
        with click.Context(cli) as parent:
            COMMANDS[command].make_context(command, words[length:], parent, resilient_parsing=False)


def test_the_help_of_all_lists_every_command_and_the_exit_codes() -> None:
    text = run("--help").out
    for name in cli.commands:
        assert f"\n  {name} " in text
    for code in ("0 done", "1 not done", "2 wrong usage", "130 interrupted"):
        assert code in text


def test_the_help_of_a_group_lists_its_commands() -> None:
    text = run("vocab", "--help").out
    assert "\n  info  Show what the vocabulary FILE is" in text
    assert "Usage: " in run("vocab", code=2).err
    assert "\n  show  Show the local features of PHOTO." in run("features", "--help").out


def test_the_version() -> None:
    assert run("--version").out == f"handcraft, version {handcraft.__version__}\n"


def test_help_needs_none_of_the_slow_libraries() -> None:
    code = (
        "import sys\n"
        "from handcraft.cli import main\n"
        "sys.argv = ['handcraft', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    slow = ('numpy', 'scipy', 'sklearn', 'cv2', 'numba', 'h5py', 'PIL', 'rich', 'matplotlib')\n"
        "    print([name for name in slow if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "handcraft query photo.jpg --verify" in done.stdout
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    "program",
    [
        (sys.executable, str(CHECKOUT / "cli.py")),
        (sys.executable, "-m", "handcraft"),
        (str(Path(sys.executable).with_name("handcraft")),),
    ],
    ids=["cli.py", "module", "script"],
)
def test_every_way_to_start_it(program: tuple[str, ...], tmp_path: Path) -> None:
    if not Path(program[-1]).exists() and program[-1] != "handcraft":
        pytest.skip(f"{program[-1]} is only there in a checkout")
    outcome = run_process("query", "photo.jpg", code=1, folder=tmp_path, program=program)
    assert outcome.err == (
        f"Error: There is no store at {tmp_path / '.handcraft'}; "
        "make one with `handcraft index FOLDER` or name one with --store.\n"
    )


DEFAULTS = [
    ("index", "--max-features", FeatureOptions().max_features),
    ("index", "--max-size", FeatureOptions().max_size),
    ("index", "--extractor", FeatureOptions().extractor),
    ("index", "--upright", "upright" if FeatureOptions().upright else "oriented"),
    ("index", "--keep-features", "keep-features" if IndexOptions().keep_features else "no-keep-features"),
    ("index", "--method", f"the store's, {METHODS[0]} for a new one"),
    ("index", "--bits", "the descriptors' dimension"),
    ("index", "--aggregated", "aggregated" if SignatureOptions().aggregated else "single"),
    ("index", "--binary", "binary" if SignatureOptions().binary else "real"),
    ("build-vocab", "--words", VocabularyOptions().words),
    ("build-vocab", "--depth", VocabularyOptions().depth),
    ("build-vocab", "--sample", VocabularyOptions().sample),
    ("build-vocab", "--iterations", VocabularyOptions().iterations),
    ("build-vocab", "--seed", VocabularyOptions().seed),
    ("build-vocab", "--max-features", FeatureOptions().max_features),
    ("build-vocab", "--max-size", FeatureOptions().max_size),
    ("match", "--extractor", FeatureOptions().extractor),
    ("match", "--ratio", MatchOptions().ratio),
    ("query", "--top", QueryOptions().top),
    ("query", "--verify-depth", VerificationOptions().depth),
]
SEARCHING = [
    ("--method", "the store's"),
    ("--assignments", f"{AsmkOptions().assignments} for asmk, {BowOptions().assignments} for bow"),
    ("--neighbours", BowOptions().neighbours),
    ("--alpha", AsmkOptions().alpha),
    ("--tau", AsmkOptions().tau),
    ("--deviation", AsmkOptions().deviation),
    ("--idf", "idf" if AsmkOptions().idf else "no-idf"),
    ("--burstiness", "for bow alone"),
    ("--norm", BowOptions().norm),
    ("--stop-words", BowOptions().stop_words),
    ("--directions", QueryOptions().directions),
]
DEFAULTS += [(command, *option) for command in ("query", "evaluate") for option in SEARCHING]


@pytest.mark.parametrize(("command", "option", "default"), DEFAULTS)
def test_the_defaults_shown_are_those_of_the_options(command: str, option: str, default: object) -> None:
    options = re.split(r"\n  (?=-)", run(command, "--help").out)
    (text,) = [part for part in options if part.startswith((f"{option} ", f"{option},", f"{option}/"))]
    text = re.sub(r"-\n\s+", "-", text)  # lines may end within a name
    shown = re.search(r"\[default: ([^\];]+)", " ".join(text.split()))
    assert shown is not None, text
    assert shown[1] == str(default)


def test_flags_are_off_unless_asked_for() -> None:
    features = FeatureOptions()
    assert not any((features.spread, features.doubled))
    assert not QueryOptions().verify
    assert (BowOptions().burstiness, AsmkOptions().burstiness) == (True, False)  # "for bow alone"


def test_every_option_of_training_can_be_set() -> None:
    names = {parameter.name for parameter in cli.commands["build-vocab"].params}
    assert {field.name for field in fields(VocabularyOptions)} - names == {"tolerance"}


@pytest.mark.parametrize("name", ["query", "evaluate"])
def test_every_option_of_voting_can_be_set(name: str) -> None:
    """But for the variance of soft assignment."""
    names = {parameter.name for parameter in COMMANDS[name].params}
    options = {field.name for kind in (BowOptions, AsmkOptions) for field in fields(kind)}
    assert options - names == {"assignment_variance"}
    assert "method" in names


def test_every_option_of_signatures_can_be_set() -> None:
    names = {parameter.name for parameter in COMMANDS["index"].params}
    assert {field.name for field in fields(SignatureOptions)} | {"method"} <= names


@pytest.mark.parametrize("name", ["index", "build-vocab", "match", "features show"])
def test_every_option_of_features_can_be_set(name: str) -> None:
    names = {parameter.name for parameter in COMMANDS[name].params}
    assert {field.name for field in fields(FeatureOptions)} <= names
