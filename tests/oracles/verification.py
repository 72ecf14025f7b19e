"""Correspondences and spatial verification in plain Python: the truth that kernels are held against.

A map is ((a, b, c), (d, e, f)): x' = a·x + b·y + c, y' = d·x + e·y + f. A frame is such a map too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Row = tuple[float, float, float]
Map = tuple[Row, Row]
Point = tuple[float, float]


def pairs(
    query_words: Sequence[Sequence[int]], photo_words: Sequence[int], max_pairs_per_word: int
) -> set[tuple[int, int, int]]:
    """(feature of the query, feature of the photo, word) of all that share a word, but for words
    that make too many. A feature of the query has several words; −1 is none."""
    found: dict[int, set[tuple[int, int, int]]] = {}
    for i, its_words in enumerate(query_words):
        for word in its_words:
            for j, other in enumerate(photo_words):
                if word == other and word >= 0:
                    found.setdefault(word, set()).add((i, j, word))
    return {
        pair for its_pairs in found.values() if len(its_pairs) <= max_pairs_per_word for pair in its_pairs
    }


def difference(a: Sequence[int], b: Sequence[int]) -> int:
    """The bits in which signatures of several planes differ."""
    return sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))


def determinant(map_: Map) -> float:
    return map_[0][0] * map_[1][1] - map_[0][1] * map_[1][0]


def apply(map_: Map, point: Point) -> Point:
    (a, b, c), (d, e, f) = map_
    return a * point[0] + b * point[1] + c, d * point[0] + e * point[1] + f


def inverse(map_: Map) -> Map:
    (a, b, c), (d, e, f) = map_
    D = determinant(map_)  # noqa: N806
    return (e / D, -b / D, (b * f - e * c) / D), (-d / D, a / D, (d * c - a * f) / D)


def compose(after: Map, before: Map) -> Map:
    """The map that applies `before`, then `after`."""
    columns = [
        tuple(sum(after[row][k] * before[k][column] for k in (0, 1)) for row in (0, 1)) for column in (0, 1)
    ]
    shift = apply(after, (before[0][2], before[1][2]))
    return (columns[0][0], columns[1][0], shift[0]), (columns[0][1], columns[1][1], shift[1])


def scale(map_: Map) -> float:
    return math.sqrt(determinant(map_))


def turn(map_: Map) -> float:
    """Radians: the rotation that is nearest to the map's linear part."""
    (a, b, _), (d, e, _) = map_
    return math.atan2(d - b, a + e)


def through(a: float, b: float, d: float, e: float, query: Point, photo: Point) -> Map:
    """The map of this linear part that sends one point to the other."""
    return (a, b, photo[0] - a * query[0] - b * query[1]), (d, e, photo[1] - d * query[0] - e * query[1])


def upright(frame: Map) -> Map:
    """The frame of the same ellipse whose vertical axis is vertical."""
    (a, b, x), (d, e, y) = frame
    wide = math.hypot(a, b)
    return (wide, 0.0, x), ((a * d + b * e) / wide, determinant(frame) / wide, y)


def transfer_error(map_: Map, query: Point, photo: Point) -> float:
    """The larger of the distances of a pair's points, in the photo and in the query."""
    return max(math.dist(apply(map_, query), photo), math.dist(apply(inverse(map_), photo), query))


@dataclass(frozen=True)
class Pair:
    """A correspondence: the features' frames, their numbers, and its weight."""

    query_frame: Map
    photo_frame: Map
    query: int
    photo: int
    weight: float

    @property
    def map(self) -> Map:
        return compose(self.photo_frame, inverse(self.query_frame))

    def suggested(self, degrees: int, trust: float) -> Map:
        """Its map with fewer degrees of freedom, or only so far from a similarity as is believed."""
        s, angle = scale(self.map), turn(self.map)
        a, b = s * math.cos(angle), -s * math.sin(angle)
        if degrees == 3:
            return through(s, 0, 0, s, self.query_point, self.photo_point)
        if degrees == 4:
            return through(a, b, -b, a, self.query_point, self.photo_point)
        own = self.map
        if degrees == 5:
            own = compose(upright(self.photo_frame), inverse(upright(self.query_frame)))
            s, angle = scale(own), turn(own)
            a, b = s * math.cos(angle), -s * math.sin(angle)
        parts = [
            near + trust * (exact - near)
            for near, exact in zip((a, b, -b, a), (own[0][0], own[0][1], own[1][0], own[1][1]), strict=True)
        ]
        return through(parts[0], parts[1], parts[2], parts[3], self.query_point, self.photo_point)

    @property
    def query_point(self) -> Point:
        return self.query_frame[0][2], self.query_frame[1][2]

    @property
    def photo_point(self) -> Point:
        return self.photo_frame[0][2], self.photo_frame[1][2]


@dataclass(frozen=True)
class Limits:
    """tolerance: of the transfer error. max_turn: degrees."""

    tolerance: float
    max_scale_change: float
    max_relative_scale: float
    max_turn: float


def agrees(pair: Pair, map_: Map, limits: Limits) -> bool:
    """Whether a pair lies, is scaled and is turned as the map says."""
    ratio = scale(pair.map) / scale(map_)
    difference = abs((turn(pair.map) - turn(map_) + math.pi) % (2 * math.pi) - math.pi)
    return (
        1 / limits.max_relative_scale <= ratio <= limits.max_relative_scale
        and difference <= math.radians(limits.max_turn)
        and transfer_error(map_, pair.query_point, pair.photo_point) <= limits.tolerance
    )


def one_to_one(chosen: Sequence[int], all_pairs: Sequence[Pair]) -> list[int]:
    """The pairs in this order, without those one of whose features was taken before."""
    kept: list[int] = []
    for number in chosen:
        pair = all_pairs[number]
        if all(pair.query != all_pairs[k].query and pair.photo != all_pairs[k].photo for k in kept):
            kept.append(number)
    return kept


def inliers(map_: Map, all_pairs: Sequence[Pair], limits: Limits) -> list[int]:
    """The one-to-one inliers of a map, the least error first."""
    agreeing = [i for i, pair in enumerate(all_pairs) if agrees(pair, map_, limits)]
    agreeing.sort(key=lambda i: transfer_error(map_, all_pairs[i].query_point, all_pairs[i].photo_point))
    return one_to_one(agreeing, all_pairs)


def best_hypotheses(
    all_pairs: Sequence[Pair], limits: Limits, count: int, degrees: int = 6, trust: float = 1.0
) -> list[tuple[int, float]]:
    """The pairs whose maps, with these degrees of freedom and this trust in their frames, have the heaviest
    inliers, one to one in the pairs' order, and their weights, of equals the first; none of no weight, or
    whose map is beyond the limits."""
    scored = []
    for number, pair in enumerate(all_pairs):
        map_ = pair.suggested(degrees, trust)
        if not 1 / limits.max_scale_change <= scale(map_) <= limits.max_scale_change:
            continue
        agreeing = [i for i, other in enumerate(all_pairs) if agrees(other, map_, limits)]
        weight = sum(all_pairs[i].weight for i in one_to_one(agreeing, all_pairs))
        scored.append((number, weight))
    scored.sort(key=lambda one: (-one[1], one[0]))
    return [one for one in scored if one[1] > 0][:count]


def maps_together(
    points: Sequence[tuple[Point, Point]],
    room: int,
    max_scale: float,
    least_base: float,
) -> list[tuple[int, int, Map]]:
    """The similarities of two pairs each, each given as its points in query and photo: of the ones next to
    each other first, then of those with one between them, and so on. None of pairs that lie closer than
    `least_base` in either photo, or of a scale beyond the limit. In complex numbers: z' = m·z + t."""
    queries, photos = ([complex(*pair[side]) for pair in points] for side in (0, 1))
    found: list[tuple[int, int, Map]] = []
    for step in range(1, len(points)):
        for i, j in zip(range(len(points)), range(step, len(points)), strict=False):
            base, photo_base = queries[j] - queries[i], photos[j] - photos[i]
            if abs(base) < least_base or abs(photo_base) < least_base:
                continue
            m = photo_base / base
            t = photos[i] - m * queries[i]
            if 1 / max_scale <= abs(m) <= max_scale:
                found.append((i, j, ((m.real, -m.imag, t.real), (m.imag, m.real, t.imag))))
    return found[:room]


def false_alarms(
    pairs: int, inliers: int, tolerance: float, width: float, height: float, turned_alike: float
) -> float:
    """How many photos of chance pairs would have so many inliers (Moisan & Stival 2004): each pair is a
    hypothesis, with which at least `inliers` − 1 others agree; one does if it lies in a disc of the
    photo and is among the share that is turned alike. Lengths in long sides."""
    chance = min(1.0, math.pi * tolerance**2 / (width * height)) * turned_alike
    others = pairs - 1
    return pairs * sum(
        math.comb(others, k) * chance**k * (1 - chance) ** (others - k)
        for k in range(inliers - 1, others + 1)
    )


def apart(query: Sequence[Point], photo: Sequence[Point], spacing: float) -> int:
    """How many inliers lie further apart in both photos than the spacing; each is tried after those before
    it."""
    kept: list[int] = []
    for i in range(len(query)):
        if all(math.dist(side[i], side[j]) > spacing for side in (query, photo) for j in kept):
            kept.append(i)
    return len(kept)


def reciprocal_neighbours(
    query: Sequence[Sequence[float]], photo: Sequence[Sequence[float]], count: int
) -> list[tuple[int, int]]:
    """(feature of the query, feature of the photo) where each is among the other's nearest, those of a
    feature of the query nearest first. The first of equals is the nearest."""

    def nearest(one: Sequence[float], others: Sequence[Sequence[float]]) -> list[int]:
        squares = [sum((x - y) ** 2 for x, y in zip(one, other, strict=True)) for other in others]
        return sorted(range(len(others)), key=lambda number: squares[number])[:count]

    back = [nearest(other, query) for other in photo]
    return [(i, j) for i, one in enumerate(query) for j in nearest(one, photo) if i in back[j]]


def descriptor_matches(
    query: Sequence[Sequence[float]],
    photo: Sequence[Sequence[float]],
    places: Sequence[Point],
    ratio: float,
    rival_distance: float,
) -> list[tuple[int, int]]:
    """(feature of the query, feature of the photo) of the mutual nearest descriptors that are nearer than
    the ratio of the distance to the nearest rival: one that lies further than `rival_distance` from the
    match in the photo. places: of the photo's features. The first of equals is the nearest."""

    def square(a: Sequence[float], b: Sequence[float]) -> float:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    found = []
    for i, descriptor in enumerate(query if photo else ()):
        squares = [square(descriptor, other) for other in photo]
        j = squares.index(min(squares))
        rivals = [
            rival
            for rival, place in zip(squares, places, strict=True)
            if math.dist(place, places[j]) > rival_distance
        ]
        back = [square(photo[j], other) for other in query]
        if back.index(min(back)) == i and squares[j] < ratio**2 * min(rivals, default=math.inf):
            found.append((i, j))
    return found
