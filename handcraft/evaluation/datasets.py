"""The data sets of the literature: what belongs to each, where it is from, and what is missing here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from handcraft.errors import EvaluationError
from handcraft.evaluation.ground_truth import GroundTruthQuery, read_ground_truth
from handcraft.evaluation.named_sets import HOLIDAYS, NAMED_SETS, UKBENCH
from handcraft.evaluation.protocols import OXFORD, REVISITED, Protocol, match_names
from handcraft.evaluation.protocols import UKBENCH as UKBENCH_PROTOCOL
from handcraft.evaluation.revisited import read_revisited

SHOWN = 10  # missing photos that an error names

# Photos of Paris6k that cannot be decoded, as the page of the data set lists them
# (https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/corrupt.txt).
CORRUPT = (
    *("paris_louvre_000136", "paris_louvre_000146", "paris_moulinrouge_000422", "paris_museedorsay_001059"),
    *("paris_notredame_000188", "paris_pantheon_000284", "paris_pantheon_000960", "paris_pantheon_000974"),
    *("paris_pompidou_000195", "paris_pompidou_000196", "paris_pompidou_000201", "paris_pompidou_000467"),
    *("paris_pompidou_000640", "paris_sacrecoeur_000299", "paris_sacrecoeur_000330"),
    *("paris_sacrecoeur_000353", "paris_triomphe_000662", "paris_triomphe_000833"),
    *("paris_triomphe_000863", "paris_triomphe_000867"),
)


@dataclass(frozen=True)
class Dataset:
    """A set of photos with ground truth, and how to come by it.

    photos, queries, truth: folders and files below the root; the queries are photos of the set where they
    are in the same folder. count: photos of the database, 0 where any number will do. held_out: whether the
    queries are cropped before they are described, and no part of the database. sources: what to download
    from where into which folder. sha256: of the ground truth, "" where it is in the names or not known.
    published: figures of the literature, mAP by level, with their source.
    """

    title: str
    photos: str
    queries: str
    truth: str
    count: int = 0
    sources: tuple[tuple[str, str], ...] = ()
    sha256: str = ""
    held_out: bool = False
    published: tuple[tuple[str, dict[str, float]], ...] = ()


VGG = "https://www.robots.ox.ac.uk/~vgg/data"
REVISITOP = "http://cmp.felk.cvut.cz/revisitop/data/datasets"
OXFORD_PHOTOS = (f"{VGG}/oxbuildings/oxbuild_images-v1.tgz", "jpg/")
PARIS_PHOTOS = tuple((f"{VGG}/parisbuildings/paris_{part}-v1.tgz", "jpg/") for part in (1, 2))

DATASETS = {
    "oxford5k": Dataset(
        title="Oxford5k",
        photos="jpg",
        queries="jpg",
        truth="gt",
        count=5063,
        sources=(OXFORD_PHOTOS, (f"{VGG}/oxbuildings/gt_files_170407.tgz", "gt/")),
        sha256="dc4510f449c55b8fe81ed63505a4f3df02802601ab96eab3cc1b1099626728b2",
        published=(
            ("BoW 1M (Philbin et al. 2007)", {"": 0.618}),
            ("BoW 1M + SP (Philbin et al. 2007)", {"": 0.664}),
            ("RootSIFT, BoW (Arandjelović & Zisserman 2012)", {"": 0.683}),
            ("RootSIFT, BoW + SP (Arandjelović & Zisserman 2012)", {"": 0.720}),
            ("ASMK, 65k words (Tolias, Avrithis & Jégou 2013)", {"": 0.781}),
            ("Hessian-affine RootSIFT, HQE + MA (Tolias & Jégou 2014)", {"": 0.880}),
        ),
    ),
    "paris6k": Dataset(
        title="Paris6k",
        photos="jpg",
        queries="jpg",
        truth="gt",
        count=6392,
        sources=(*PARIS_PHOTOS, (f"{VGG}/parisbuildings/paris_120310.tgz", "gt/")),
    ),
    "roxford5k": Dataset(
        title="ROxford5k",
        photos="jpg",
        queries="jpg",
        truth="gnd_roxford5k.pkl",
        count=4993,
        sources=(OXFORD_PHOTOS, (f"{REVISITOP}/roxford5k/gnd_roxford5k.pkl", ".")),
        sha256="ba7967754bd2d7d2210a5799f9c45ad5835e269a80ef9d3eba44caa35816c471",
        held_out=True,
        published=(
            ("Hessian-affine RootSIFT, ASMK* + SP (Radenović et al. 2018)", {"medium": 0.606, "hard": 0.367}),
            ("Hessian-affine HardNet, ASMK* + SP (Radenović et al. 2018)", {"medium": 0.656, "hard": 0.414}),
            ("DELF, ASMK* + SP (Radenović et al. 2018)", {"medium": 0.678, "hard": 0.431}),
            ("HOW, ASMK* (Tolias, Jenicek & Chum 2020)", {"medium": 0.794, "hard": 0.569}),
        ),
    ),
    "rparis6k": Dataset(
        title="RParis6k",
        photos="jpg",
        queries="jpg",
        truth="gnd_rparis6k.pkl",
        count=6322,
        sources=(*PARIS_PHOTOS, (f"{REVISITOP}/rparis6k/gnd_rparis6k.pkl", ".")),
        sha256="d2e729a5293dda7dda8a15c8383424a42e4964a2c4cfea2f32fa85d11d2df499",
        held_out=True,
        published=(
            ("Hessian-affine RootSIFT, ASMK* + SP (Radenović et al. 2018)", {"medium": 0.614, "hard": 0.350}),
            ("Hessian-affine HardNet, ASMK* + SP (Radenović et al. 2018)", {"medium": 0.652, "hard": 0.385}),
            ("DELF, ASMK* + SP (Radenović et al. 2018)", {"medium": 0.769, "hard": 0.554}),
            ("HOW, ASMK* (Tolias, Jenicek & Chum 2020)", {"medium": 0.816, "hard": 0.624}),
        ),
    ),
    "holidays": Dataset(
        title="INRIA Holidays",
        photos="jpg",
        queries="jpg",
        truth="holidays",
        count=HOLIDAYS[0],
        sources=(
            ("https://lear.inrialpes.fr/~jegou/data.php: jpg1.tar.gz", "jpg/"),
            ("https://lear.inrialpes.fr/~jegou/data.php: jpg2.tar.gz", "jpg/"),
        ),
    ),
    "holidays-upright": Dataset(
        title="INRIA Holidays, upright",
        photos="jpg",
        queries="jpg",
        truth="holidays",
        count=HOLIDAYS[0],
        sources=(
            ("https://lear.inrialpes.fr/~jegou/data.php: jpg1.tar.gz", "jpg/, each photo turned upright"),
            ("https://lear.inrialpes.fr/~jegou/data.php: jpg2.tar.gz", "jpg/, each photo turned upright"),
        ),
    ),
    "ukbench": Dataset(
        title="UKBench",
        photos="full",
        queries="full",
        truth="ukbench",
        count=UKBENCH[0],
        sources=(("https://archive.org/details/ukbench", "full/"),),
    ),
}


@dataclass(frozen=True)
class Material:
    """A data set that is all there.

    root: its folder. photos: the paths of the database. queries: the photo of each query by its name. levels:
    the queries of each level of difficulty that has any, "" where there is one. held_out: of Dataset.
    distractors: photos that are searched too, and answer nothing.
    """

    title: str
    root: Path
    photos: tuple[Path, ...]
    queries: dict[str, Path]
    levels: dict[str, tuple[GroundTruthQuery, ...]]
    protocol: Protocol
    held_out: bool
    distractors: tuple[Path, ...] = ()

    @property
    def asked(self) -> list[GroundTruthQuery]:
        """Each query once, of whichever level."""
        return list({query.name: query for level in self.levels.values() for query in level}.values())


def open_dataset(dataset: Dataset, root: Path, found: Sequence[Path], asked: Sequence[Path]) -> Material:
    """What a data set holds; raises EvaluationError for what is missing, and says where it comes from.

    found: the photos below the folder of its photos. asked: those below the folder of its queries.
    """
    if not found:
        raise EvaluationError(f"There are no photos in {root / dataset.photos}. {_where_from(dataset, root)}")
    truth = root / dataset.truth
    if dataset.truth not in NAMED_SETS and not truth.exists():
        raise EvaluationError(f"The ground truth {truth} is missing. {_where_from(dataset, root)}")
    if dataset.sha256 and sha256_of(truth) != dataset.sha256:
        raise EvaluationError(
            f"The ground truth {truth} is not the published one: its SHA-256 differs. "
            f"{_where_from(dataset, root)}"
        )
    by_name = {path.relative_to(root / dataset.photos).as_posix(): path for path in found}
    if truth.suffix == ".pkl":
        revisited = read_revisited(truth)
        levels = {level: queries for level, queries in revisited.levels.items() if queries}
        protocol = REVISITED
        wanted: Iterable[str] = revisited.photos
    else:
        named_set = NAMED_SETS.get(dataset.truth)
        levels = {"": named_set(by_name) if named_set else read_ground_truth(truth)}
        protocol = UKBENCH_PROTOCOL if dataset.truth == "ukbench" else OXFORD
        wanted = [name for name in by_name if Path(name).stem not in CORRUPT]
    names = match_names(wanted, list(by_name))
    beside = {path.relative_to(root / dataset.queries).as_posix(): path for path in asked}
    photos_of = match_names({query.photo for level in levels.values() for query in level}, list(beside))
    answers = {name for level in levels.values() for query in level for name in query.positives}
    lost = [
        *(name for name in wanted if name not in names),
        *(query.photo for level in levels.values() for query in level if query.photo not in photos_of),
        *(answers - match_names(answers, list(by_name)).keys()),
    ]
    if lost:
        raise EvaluationError(_missing(dataset, root, sorted(set(lost))))
    if len(names) < dataset.count:
        raise EvaluationError(
            f"{dataset.title} has {dataset.count:,} photos, of which {len(names):,} are in "
            f"{root / dataset.photos}. {_where_from(dataset, root)}"
        )
    return Material(
        title=dataset.title,
        root=root,
        photos=tuple(by_name[name] for name in dict.fromkeys(names.values())),
        queries={query.name: beside[photos_of[query.photo]] for level in levels.values() for query in level},
        levels=levels,
        protocol=protocol,
        held_out=dataset.held_out,
    )


def sha256_of(truth: Path) -> str:
    """The SHA-256 of a file, or of the text files of a folder one after the other, by their names."""
    digest = hashlib.sha256()
    for path in sorted(truth.glob("*.txt")) if truth.is_dir() else [truth]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _missing(dataset: Dataset, root: Path, names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN]) + (", and others" if len(names) > SHOWN else "")
    return (
        f"{dataset.title} is not complete: {len(names):,} photos are missing below {root}: {shown}. "
        f"{_where_from(dataset, root)}"
    )


def _where_from(dataset: Dataset, root: Path) -> str:
    """What to download, as sentences."""
    if not dataset.sources:
        return "Name the folder that has them with --root."
    steps = "; ".join(f"{source} into {root / folder}" for source, folder in dataset.sources)
    return f"Download {steps}."
