"""The options of each verb, with their defaults, units and sources.

The command line reads its defaults from here, so this module must import nothing that is slow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from handcraft.errors import HandcraftError

LEAST_SIZE = 16  # pixels; a smaller photo has no room for a feature

IMPORTED = "imported"  # the extractor of features that another program computed, and their name by default

Setting = str | int | float | bool  # a value of an extractor's own settings

METHODS = ("asmk", "bow", "vlad")  # of voting
EXPANSIONS = ("aqe", "dqe", "hqe")  # of queries: of tf-idf vectors the first two, of signatures the last
PAIRINGS = ("words", "descriptors")  # how features are paired for verification
MAX_BRANCHING = 256  # children of a node, where the depth is not given


def _require(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise HandcraftError(f"{name}={value} is too small; give {least} or more.")


def _require_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise HandcraftError(f"{name}={value} is not above 0 and at most 1.")


def _require_method(name: str) -> None:
    if name and name not in METHODS:
        raise HandcraftError(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")


@dataclass(frozen=True)
class FeatureOptions:
    """How a photo becomes local features."""

    extractor: str = "hessian-affine"  # by its name in features.registry: `handcraft extractors` lists them
    max_size: int = 1024  # pixels: a longer photo is reduced to this long side, none is enlarged
    max_features: int = 2000  # the strongest are kept
    # True: every feature is described as the photo is held, and queries in several directions; False: every
    # feature is turned to its own gradients
    upright: bool = True
    spread: bool = False  # True: the kept ones are spread evenly over the photo
    doubled: bool = False  # True: hessian-affine looks in the photo at twice its size too, as SIFT does
    descriptor: str = "rootsift"  # of the patches, by its name in features.registry
    # Of the extractor and of the descriptor, where they have settings of their own, such as a network's file
    settings: Mapping[str, Setting] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _require("max_size", self.max_size, LEAST_SIZE)
        _require("max_features", self.max_features, 1)


@dataclass(frozen=True)
class VocabularyOptions:
    """How descriptors become a tree of visual words."""

    words: int = 65_536  # leaves
    depth: int = 0  # levels of the tree, the branching is that root of `words`; 0: see levels; 1: flat
    sample: int = 10_000_000  # descriptors to train on, drawn at random when there are more
    iterations: int = 20  # passes of k-means a node, at the most
    tolerance: float = 1e-3  # a node's k-means stops when its distortion falls by less than this fraction
    seed: int = 0
    # Descriptors less their mean, normed again, are what words are of ("RootSIFT + SHIFT" of Tolias,
    # Avrithis & Jégou, ICCV 2013)
    shifted: bool = False
    medians: bool = False  # each word keeps the median of its descriptors, for SignatureOptions.medians

    @property
    def levels(self) -> int:
        """The depth; where it is 0, as few levels as keep a node's children at MAX_BRANCHING or fewer."""
        levels = self.depth or 1
        while not self.depth and self.words > MAX_BRANCHING**levels:
            levels += 1
        return levels


@dataclass(frozen=True)
class SignatureOptions:
    """What ASMK keeps of a photo's descriptors (Tolias, Avrithis & Jégou 2016)."""

    bits: int = 0  # of a signature; 0: the dimension of the descriptors
    aggregated: bool = True  # one for a word of a photo; False: one for each feature (SMK, Hamming embedding)
    binary: bool = True  # False: the residuals as they are, 4 bytes a dimension; shows what bits lose
    # True: residuals are taken to the medians of a word's descriptors, so that half of its bits are ones
    # (Jégou, Douze & Schmid 2008); False: to the centroid
    medians: bool = False

    def __post_init__(self) -> None:
        _require("bits", self.bits, 0)
        if not (self.aggregated or self.binary):
            raise HandcraftError(
                "Real residuals are kept of a word's features together; leave --real out, or --single."
            )
        if self.medians and not self.binary:
            raise HandcraftError("Medians make bits of residuals; leave --medians out, or --real.")


@dataclass(frozen=True)
class VladTraining:
    """How a VLAD model is learned (Jégou, Douze, Schmid & Pérez 2010; Jégou & Chum 2012)."""

    words: int = 64  # of its own flat codebook
    dimension: int = 256  # largest that vectors are whitened to; indexing may keep fewer
    # Residuals are normed before they are summed (Delhumeau et al. 2013)
    residual_norm: bool = True
    power: float = 0.5  # sums v become sgn(v)·|v|^power; 1: they stay
    intra: bool = False  # the sums of each word are normed (Arandjelović & Zisserman 2013)
    photos: int = 10_000  # to learn the whitening from, evenly out of more
    sample: int = 1_000_000  # descriptors to train the codebook on, drawn at random where there are more
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("words", "dimension", "photos", "sample"):
            _require(name, getattr(self, name), 1)
        if not 0 < self.power <= 1:
            raise HandcraftError(f"power={self.power} is not above 0 and at most 1; give 0.5, for example.")

    def same_vectors(self, other: VladTraining) -> bool:
        """Whether descriptors are summed alike, whatever a model learned from."""
        own, others = ((one.residual_norm, one.power, one.intra) for one in (self, other))
        return own == others


@dataclass(frozen=True)
class VladOptions:
    """What VLAD keeps of a photo: one vector."""

    dimension: int = 0  # numbers of a vector; 0: all that the model gives
    half: bool = False  # True: 2 bytes a number, float16; False: 1 byte

    def __post_init__(self) -> None:
        _require("dimension", self.dimension, 0)


@dataclass(frozen=True)
class IndexOptions:
    """What a store keeps of each photo."""

    method: str = ""  # one of METHODS; "": the store's own, "asmk" for a new store
    signatures: SignatureOptions = SignatureOptions()  # of a store that gets them, for "asmk"
    vlad: VladOptions = VladOptions()  # of a store that gets vectors, for "vlad"
    vlad_model: Path | None = None  # of build-vlad, for "vlad"; None: the one that ships
    keep_features: bool = True  # about 300 KB a photo; lets `build-vocab` re-index without the photos
    photos_per_commit: int = 500  # photos that one segment, and so an interrupted run, can lose

    def __post_init__(self) -> None:
        _require_method(self.method)
        _require("photos_per_commit", self.photos_per_commit, 1)


@dataclass(frozen=True)
class VerificationOptions:
    """Fast spatial verification (Philbin et al. 2007)."""

    # One of PAIRINGS: features of the same word, from the index alone; or those whose descriptors match, of a
    # store that keeps features: slower
    pairing: str = "words"
    depth: int = 200  # photos of the shortlist that are verified, as in VISE (Arandjelović, ox-vgg/vise)
    words: int = 10  # nearest words through which a query feature may find its partner
    # Nearest descriptors of the other photo among which the partners of a feature are, and it among theirs
    neighbours: int = 3
    max_pairs_per_word: int = 25  # a word that pairs more features than this is repeated texture
    # Share of the bits in which the signatures of a pair may differ, where the store has signatures: 28 of 64
    # in VISE (Arandjelović, ox-vgg/vise), looser than for scores
    max_difference: float = 0.4375
    max_pairs: int = 700  # of two photos; of more the heaviest
    # True: frames say nothing of size and direction (features that are points), so that maps are suggested by
    # two pairs together, and what a pair's own frames say is not asked
    points: bool = False
    sampled_maps: int = 2000  # maps of two pairs each that are tried at the most, where features are points
    # Of the map that a single pair suggests: 3, translation and scale; 4, and rotation; 5, an affine map that
    # leaves the vertical vertical; 6, any affine map
    degrees_of_freedom: int = 6
    # Share of what a pair's map is beyond a similarity that is believed of 5 and 6 degrees of freedom, 0 to 1
    frame_trust: float = 0.5
    hypothesis_tolerance: float = 0.02  # transfer error of a single pair's similarity, in long sides
    inlier_tolerance: float = 0.012  # transfer error of the refitted affine map, in long sides
    max_scale_change: float = 10.0  # between query and photo, either way
    max_relative_scale: float = 3.0  # between a pair's own change of scale and the hypothesis's
    max_relative_turn: float = 45.0  # degrees between a pair's own rotation and the hypothesis's
    max_anisotropy: float = 6.0  # ratio of the affine map's singular values
    hypotheses: int = 5  # the best, which are refitted; one that agrees with a better one is not
    refits: int = 3  # least-squares affine refits of the best hypothesis
    min_inliers: int = 4  # one-to-one inliers that verify a photo (Philbin et al. 2007)
    # Number of false alarms that verifies a photo (Moisan & Stival 2004), were features spread evenly; as the
    # windows of any two buildings agree more often, so small
    max_false_alarms: float = 1e-8
    # The same of features that are points, whose pairs are not asked how they are turned and scaled: windows,
    # which networks find alike on any building, agree in a grid more often
    max_false_alarms_of_points: float = 1e-30
    evidence_unit: float = 3.0  # decades fewer than one false alarm that count as much as a photo's votes

    def __post_init__(self) -> None:
        if self.pairing not in PAIRINGS:
            raise HandcraftError(
                f"Photos are not verified with {self.pairing!r}; they are with {' or '.join(PAIRINGS)}."
            )
        for name in ("depth", "words", "neighbours", "max_pairs_per_word", "max_pairs", "sampled_maps"):
            _require(name, getattr(self, name), 1)
        _require("max_scale_change", self.max_scale_change, 1)
        _require("max_relative_scale", self.max_relative_scale, 1)
        _require_share("max_difference", self.max_difference)
        _require("max_anisotropy", self.max_anisotropy, 1)
        _require("hypotheses", self.hypotheses, 1)
        _require("refits", self.refits, 0)
        _require("min_inliers", self.min_inliers, 1)
        if self.degrees_of_freedom not in (3, 4, 5, 6):
            raise HandcraftError(f"degrees_of_freedom={self.degrees_of_freedom} is not 3, 4, 5 or 6.")
        if not 0 <= self.frame_trust <= 1:
            raise HandcraftError(f"frame_trust={self.frame_trust} is not from 0 to 1.")
        if not self.evidence_unit > 0:
            raise HandcraftError(f"evidence_unit={self.evidence_unit} is not above 0; give 3, for example.")

    def of_points(self) -> VerificationOptions:
        """The same of features that are points."""
        return replace(self, points=True, max_false_alarms=self.max_false_alarms_of_points)


@dataclass(frozen=True)
class MatchOptions:
    """How the descriptors of two photos are matched, without words, and their matches verified."""

    ratio: float = 0.8  # largest distance to the nearest, in those to the nearest rival (Lowe 2004, 7.1)
    rival_distance: float = 0.01  # of a rival from the nearest, in long sides (Mishkin et al. 2015: 10 px)
    directions: int = 16  # in which the first photo is described: as QueryOptions.directions
    verification: VerificationOptions = VerificationOptions()

    def __post_init__(self) -> None:
        _require_share("ratio", self.ratio)
        _require("rival_distance", self.rival_distance, 0)
        _require("directions", self.directions, 1)


@dataclass(frozen=True)
class BowOptions:
    """How a bag of words votes."""

    assignments: int = 3  # nearest words a query feature votes for (Philbin et al. 2008)
    neighbours: int = 1  # words near each of them that count too: soft assignment of the photos' side
    # σ² of the Gaussian weights for descriptors as long as RootSIFT's bytes, 512 (Philbin 2008); of others it
    # grows with their squared length
    assignment_variance: float = 6250.0
    norm: int = 2  # 2: the cosine of tf-idf vectors; 1: what their ℓ1-normed weights share (Nistér 2006)
    burstiness: bool = True  # a word that occurs n times counts as √n (Jégou et al. 2009)
    stop_words: float = 0.0  # share of the words that occur that is left out, the most frequent

    def __post_init__(self) -> None:
        _require("assignments", self.assignments, 1)
        _require("neighbours", self.neighbours, 1)
        if self.norm not in (1, 2):
            raise HandcraftError(f"norm={self.norm} is neither 1 nor 2.")
        if not 0 <= self.stop_words < 1:
            raise HandcraftError(f"stop_words={self.stop_words} is not from 0 to below 1.")


@dataclass(frozen=True)
class AsmkOptions:
    """How ASMK votes (Tolias, Avrithis & Jégou 2016): by the similarity u of signatures, −1 to 1."""

    assignments: int = 5  # nearest words a query feature votes for
    alpha: float = 4.0  # exponent of the selectivity, sgn(u)·|u|^α; 3 in the paper
    tau: float = 0.0  # similarities up to this one count nothing
    # σ of the selectivity exp(−(h/σ)²) in its place, h and σ being shares of a signature's bits: Hamming
    # embedding (Jégou, Douze & Schmid 2008), there ¼; 0: none
    deviation: float = 0.0
    idf: bool = False  # similarities count by the square of their word's idf
    burstiness: bool = False  # a query feature's n matches in a photo count as √n (Jégou et al. 2009)

    def __post_init__(self) -> None:
        _require("assignments", self.assignments, 1)
        if not 0 < self.alpha < math.inf:
            raise HandcraftError(f"alpha={self.alpha} is not a number above 0; give 3, for example.")
        if not -1 <= self.tau < 1:
            raise HandcraftError(f"tau={self.tau} is not from -1 to below 1; give 0, for example.")
        _require("deviation", self.deviation, 0)


@dataclass(frozen=True)
class QueryOptions:
    """How a photo is searched for."""

    # Features that another program computed of the query, by its name among them; for stores of such features
    features: Path | None = None
    top: int = 20  # hits returned
    verify: bool = False  # re-rank the head of the shortlist by geometry
    method: str = ""  # one of METHODS that the store has; "": its first
    bow: BowOptions = BowOptions()
    asmk: AsmkOptions = AsmkOptions()
    # Directions, evenly around, in which the query of an upright store is described, since its photo may be
    # turned. SIFT bears the 11 degrees that it then is from one of 16, but not the 22 from one of 8.
    directions: int = 16
    direction_weight: float = 0.9  # of scores in other directions than the one that is answered best
    probe_features: int = 300  # the strongest, by which directions are told apart
    probe_share: float = 0.5  # how alike, beside the best direction's answer, for it to be described wholly
    most_directions: int = 4  # of them, the best answered; the one in which the photo is held is always
    # A region with fewer features than this is looked at at twice its size too, where the extractor does not
    # do so anyway: what it shows may be larger elsewhere; 0: never
    few_features: int = 500
    verification: VerificationOptions = VerificationOptions()
    # One of EXPANSIONS, by which the query asks again with what its verified photos show; it is verified then
    # in any case; "": none
    expand: str = ""
    expansion_rounds: int = 3  # at the most; a round that verifies nothing new is the last
    expansion_answers: int = 50  # verified photos that a query is expanded by (Chum et al. 2007)
    expansion_negatives: int = 200  # photos of the fewest votes, for dqe (Arandjelović & Zisserman 2012)
    expansion_geometry: int = 30  # of them, the best, whose features join the query's to verify others

    def __post_init__(self) -> None:
        _require("top", self.top, 1)
        if self.expand and self.expand not in EXPANSIONS:
            raise HandcraftError(
                f"There is no expansion {self.expand!r}; the expansions are {', '.join(EXPANSIONS)}."
            )
        _require("expansion_rounds", self.expansion_rounds, 1)
        _require("expansion_answers", self.expansion_answers, 1)
        _require("expansion_negatives", self.expansion_negatives, 1)
        _require("expansion_geometry", self.expansion_geometry, 0)
        _require("directions", self.directions, 1)
        _require_share("direction_weight", self.direction_weight)
        _require("few_features", self.few_features, 0)
        _require("probe_features", self.probe_features, 1)
        _require_share("probe_share", self.probe_share)
        _require("most_directions", self.most_directions, 1)
        _require_method(self.method)


@dataclass(frozen=True)
class PairsOptions:
    """Which photos of a store are paired."""

    partners: int = 20  # verified, of a photo at the most
    query: QueryOptions = QueryOptions(
        verify=True
    )  # by which each photo is searched with; verified in any case

    def __post_init__(self) -> None:
        _require("partners", self.partners, 1)
