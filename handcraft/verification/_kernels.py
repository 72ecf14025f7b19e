"""The hot loops of spatial verification; the callers validate, cast and allocate.

Lengths are in long sides of their photo. A map is (a, b, c, d, e, f): x' = a·x + b·y + c, y' = d·x + e·y + f.
"""

from __future__ import annotations

import math

import numpy as np

from handcraft.compilation import kernel, rough_kernel

FEWEST = 3  # pairs that determine an affine map
CORNERS = 4  # those that determine a homography, and so are no evidence for one that is fitted
LEVELS = 3  # tolerances of a homography: the widest, and each half the one before
FITS = 2  # of a homography within twice the widest tolerance, and one more within each
PRECISE = 1 / 16  # of the squared tolerance: where an affine map errs by less, no homography is looked for
WORTHWHILE = -4 * math.log(10)  # the logarithm of the false alarms of a map that may be a plane's
LEAST_SPREAD = 1e-12  # of inliers across a line, in that along it, squared: thinner ones fit no map
LEAST_TERM = 1e-9  # of a sum of falling terms
LEAST_BASE = 0.03**2  # between two points that suggest a map together, squared
ROUNDING = 1e-6  # of float32, ten times over
STEPS = 1 << 30  # that all weights of pairs make together at the most


@kernel
def suggest_maps(query_frames, photo_frames, rows, sides, freedom, points, maps, scales, turns, kept):
    """The map that each pair's frames suggest, of pairs whose frames have an area and which does not flatten.

    query_frames, photo_frames: (·, 2, 3) float64, pixels. rows: (n, 2) int32, of each pair. sides: the long
    sides of query and photo, pixels. freedom: the largest ratio of the singular values of
    A_photo · A_query⁻¹; the degrees of freedom that are left to it; the share of what it is beyond a
    similarity that is believed.
    Written, one column a pair that is kept: points (4, n) float64, query x, y and photo x, y; maps (6, n);
    of A_photo · A_query⁻¹ itself, scales (n,), root of the determinant, and turns (2, n), cosine and sine of
    the rotation; kept (n,) int64, the pair. Returns how many.
    """
    max_anisotropy, degrees, trust = freedom
    query_side, photo_side = sides
    count = 0
    for pair in range(rows.shape[0]):
        query, photo = query_frames[rows[pair, 0]], photo_frames[rows[pair, 1]]
        query_area = query[0, 0] * query[1, 1] - query[0, 1] * query[1, 0]
        photo_area = photo[0, 0] * photo[1, 1] - photo[0, 1] * photo[1, 0]
        if not (query_area > 0 and photo_area > 0):
            continue
        factor = query_side / (photo_side * query_area)
        a = (photo[0, 0] * query[1, 1] - photo[0, 1] * query[1, 0]) * factor
        b = (photo[0, 1] * query[0, 0] - photo[0, 0] * query[0, 1]) * factor
        d = (photo[1, 0] * query[1, 1] - photo[1, 1] * query[1, 0]) * factor
        e = (photo[1, 1] * query[0, 0] - photo[1, 0] * query[0, 1]) * factor
        if not anisotropy(a, b, d, e) <= max_anisotropy:
            continue
        scale, cosine, sine = similarity_of(a, b, d, e)
        scales[count], turns[0, count], turns[1, count] = scale, cosine, sine
        if degrees == 5:
            a, b, d, e = upright_map(query, photo, query_side / photo_side)
            scale, cosine, sine = similarity_of(a, b, d, e)
        a, b, d, e = restrained(a, b, d, e, scale, cosine, sine, degrees, trust)
        x, y = query[0, 2] / query_side, query[1, 2] / query_side
        points[0, count], points[1, count] = x + 0.0, y + 0.0  # -0 is 0, also bit by bit
        points[2, count] = photo[0, 2] / photo_side + 0.0
        points[3, count] = photo[1, 2] / photo_side + 0.0
        maps[0, count], maps[1, count], maps[2, count] = a, b, points[2, count] - a * x - b * y
        maps[3, count], maps[4, count], maps[5, count] = d, e, points[3, count] - d * x - e * y
        kept[count] = pair
        count += 1
    return count


@kernel
def place_points(query_frames, photo_frames, rows, sides, points, scales, turns, kept):
    """As suggest_maps, of features that are points: a pair suggests no map, its scale is 1 and its turn 0,
    and it is kept if its coordinates are numbers."""
    count = 0
    for pair in range(rows.shape[0]):
        for axis in range(2):
            points[axis, count] = query_frames[rows[pair, 0], axis, 2] / sides[0] + 0.0
            points[2 + axis, count] = photo_frames[rows[pair, 1], axis, 2] / sides[1] + 0.0
        if np.isfinite(points[:, count].sum()):
            scales[count], turns[0, count], turns[1, count] = 1.0, 1.0, 0.0
            kept[count] = pair
            count += 1
    return count


@kernel
def suggest_together(points, room, max_scale):
    """The similarities that two pairs suggest together: each pair with the next, then with the one after
    that, and so on for as long as there is room.

    So all pairs take part equally often, and of pairs in the order of their weights the good ones with good
    ones; in the order of Chum & Matas, "Matching with PROSAC", CVPR 2005, the few heaviest would take all the
    room.
    points: (4, n). room: the most maps. max_scale: the largest change of scale, either way.
    Returns maps (6, m) float64, and sources (2, m) int64, the pairs of each.
    """
    maps, sources = np.empty((6, room)), np.empty((2, room), np.int64)
    count = 0
    for step in range(1, points.shape[1]):
        for i in range(points.shape[1] - step):
            if count == room:
                return maps, sources
            if similarity_through(points, i, i + step, max_scale, maps[:, count]):
                sources[0, count], sources[1, count] = i, i + step
                count += 1
    return maps[:, :count].copy(), sources[:, :count].copy()


@kernel
def similarity_through(points, i, j, max_scale, map_):
    """Write the similarity that sends two points where their pairs have them; return whether there is one.

    Two points that lie close together in either photo say too little of scale and direction. points: (4, n).
    i, j: the pairs. max_scale: the largest change of scale, either way. Written: map_ (6,).
    """
    x, y = points[0, j] - points[0, i], points[1, j] - points[1, i]
    u, v = points[2, j] - points[2, i], points[3, j] - points[3, i]
    square, photo_square = x * x + y * y, u * u + v * v
    if not (min(square, photo_square) >= LEAST_BASE):
        return False
    if photo_square > max_scale**2 * square or photo_square * max_scale**2 < square:
        return False
    a, d = (x * u + y * v) / square, (x * v - y * u) / square
    map_[0], map_[1], map_[2] = a, -d, points[2, i] - a * points[0, i] + d * points[1, i]
    map_[3], map_[4], map_[5] = d, a, points[3, i] - d * points[0, i] - a * points[1, i]
    return True


@kernel
def upright_map(query, photo, factor):
    """The map (a, b, d, e) between the ellipses of two frames that leaves the vertical vertical: between the
    lower triangular frames that they have too. factor: of its lengths."""
    wide, width = length_of(query[0, 0], query[0, 1]), length_of(photo[0, 0], photo[0, 1])
    high = (query[0, 0] * query[1, 1] - query[0, 1] * query[1, 0]) / wide
    height = (photo[0, 0] * photo[1, 1] - photo[0, 1] * photo[1, 0]) / width
    lean = (query[0, 0] * query[1, 0] + query[0, 1] * query[1, 1]) / wide
    leaning = (photo[0, 0] * photo[1, 0] + photo[0, 1] * photo[1, 1]) / width
    return (
        factor * width / wide,
        0.0,
        factor * (leaning - height * lean / high) / wide,
        factor * height / high,
    )


@kernel
def similarity_of(a, b, d, e):
    """Scale, cosine and sine of the similarity that is nearest to a map of positive determinant."""
    length = max(length_of(a + e, d - b), np.finfo(np.float64).tiny)
    return math.sqrt(a * e - b * d), (a + e) / length, (d - b) / length


@kernel
def restrained(a, b, d, e, scale, cosine, sine, degrees, trust):
    """A map (a, b, d, e) as far as degrees of freedom and trust go: see suggest_maps. scale, cosine, sine: of
    its similarity."""
    if degrees == 3:
        return scale, 0.0, 0.0, scale
    across, along = scale * cosine, scale * sine
    if degrees == 4:
        return across, -along, along, across
    a, b = across + trust * (a - across), -along + trust * (b + along)
    return a, b, along + trust * (d - along), across + trust * (e - across)


@kernel
def length_of(x, y):
    """Of a vector whose square does not overflow: several times as fast as math.hypot."""
    return math.sqrt(x * x + y * y)


@kernel
def anisotropy(a, b, d, e):
    """The ratio of the singular values of a matrix; infinite or NaN where it has no area."""
    half_squares = (a * a + b * b + d * d + e * e) / 2
    determinant = a * e - b * d
    root = math.sqrt(max(half_squares * half_squares - determinant * determinant, 0.0))
    return (half_squares + root) / determinant if determinant else np.inf


@kernel
def number_points(xs, ys, table, numbers):
    """Number equal points equally.

    xs, ys: (n,) uint64, the bits of coordinates. table: int32 work space, a power of 2 longer than n,
    holding −1. Written: numbers (n,) int32, the first of its equals for each.
    """
    mask = np.uint64(table.shape[0] - 1)
    for i in range(xs.shape[0]):
        mixed = xs[i] * np.uint64(0x9E3779B97F4A7C15) ^ ys[i] * np.uint64(0xC2B2AE3D27D4EB4F)
        slot = (mixed ^ mixed >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32) & mask
        while table[slot] >= 0 and not (xs[table[slot]] == xs[i] and ys[table[slot]] == ys[i]):
            slot = slot + np.uint64(1) & mask
        if table[slot] < 0:
            table[slot] = i
        numbers[i] = table[slot]


@kernel
def transfer_error(a, b, c, d, e, f, shrinkage, query_x, query_y, photo_x, photo_y):
    """The larger of the squared errors of transferring a pair's points forwards and back.

    shrinkage: 1 over the determinant of the map.
    """
    forward_x = a * query_x + b * query_y + c - photo_x
    forward_y = d * query_x + e * query_y + f - photo_y
    back_x = (e * forward_x - b * forward_y) * shrinkage
    back_y = (a * forward_y - d * forward_x) * shrinkage
    return max(forward_x * forward_x + forward_y * forward_y, back_x * back_x + back_y * back_y)


@kernel
def best_hypotheses(points, maps, scales, turns, pairs, weights, limits, marks, best, totals):
    """Score maps by the weight of their one-to-one inliers.

    points, scales, turns: of suggest_maps, n columns. maps: (6, m), of suggest_maps or suggest_together.
    pairs: (2, n) int32, numbers of their points, below n. weights: (n,) int32, whose sum is one too. limits:
    squared transfer error; largest scale change; largest ratio of a pair's scale to the hypothesis's; least
    cosine of their difference in rotation.
    marks: (2, n) int32 work space, holding −1.
    Written: best (k,) int64, the best maps, of equals the first, and totals (k,) int64, their weights.
    Returns how many have any.
    """
    count, most = maps.shape[1], best.shape[0]
    rough_points, rough_maps = points.astype(np.float32), in_twos(maps)
    reaches = rough_limits(points, maps, limits[0])
    bounds = largest_weights(rough_points, rough_maps, reaches, maps, weights, limits[1])
    eighths = np.zeros(points.shape[1] // 8 + 1, np.uint64)  # of eight pairs each, most are passed at once
    near = eighths.view(np.uint8)
    found = 0
    # The most promising come first, so that most of the others need not be looked at.
    promising = np.partition(bounds, count - most)[count - most] if count > most else 0
    for first in (True, False):
        for h in range(count):
            if (bounds[h] >= promising) != first:
                continue
            least = max(totals[most - 1] if found == most else 0, 1)
            if bounds[h] < least:
                continue
            flag_forward(rough_points, rough_maps[:, h], reaches[h], near)
            spare = bounds[h] - least
            total = one_to_one_weight(
                points, maps, scales, turns, pairs, weights, limits, marks, eighths, near, h, spare
            )
            found = insert_best(best, totals, found, h, total)
    return found


@kernel
def one_to_one_weight(points, maps, scales, turns, pairs, weights, limits, marks, eighths, near, h, spare):
    """The weight of a hypothesis's inliers, one to one in the pairs' order; 0 where it is too little.

    near: (n,) uint8 or more, 1 where a pair may be one; eighths: the same as uint64. h: the hypothesis, which
    is written to marks for the points of its inliers. spare: the weight of `near` less the least that is of
    use. The others: of best_hypotheses.
    """
    error_limit, _, ratio_limit, turn_limit = limits
    a, b, c, d, e, f = maps[0, h], maps[1, h], maps[2, h], maps[3, h], maps[4, h], maps[5, h]
    shrinkage = 1 / (a * e - b * d)
    scale, cosine, sine = similarity_of(a, b, d, e)
    total = 0
    for eighth in range(eighths.shape[0]):
        if not eighths[eighth]:
            continue
        for i in range(8 * eighth, 8 * eighth + 8):
            if not near[i]:
                continue
            x, y, u, v = points[0, i], points[1, i], points[2, i], points[3, i]
            if (
                marks[0, pairs[0, i]] != h
                and marks[1, pairs[1, i]] != h
                and scales[i] <= ratio_limit * scale
                and scales[i] * ratio_limit >= scale
                and turns[0, i] * cosine + turns[1, i] * sine >= turn_limit
                and transfer_error(a, b, c, d, e, f, shrinkage, x, y, u, v) <= error_limit
            ):
                marks[0, pairs[0, i]] = h
                marks[1, pairs[1, i]] = h
                total += weights[i]
                continue
            spare -= weights[i]
            if spare < 0:
                return 0
    return total


@kernel
def insert_best(best, totals, found, h, total):
    """Put a hypothesis where it belongs among the best, of equals the first, if it has any weight; return how
    many there are. best, totals, found: of best_hypotheses so far."""
    place = found
    while place and (total > totals[place - 1] or (total == totals[place - 1] and h < best[place - 1])):
        place -= 1
    if not total or place == best.shape[0]:
        return found
    found = min(found + 1, best.shape[0])
    for later in range(found - 1, place, -1):
        best[later], totals[later] = best[later - 1], totals[later - 1]
    best[place], totals[place] = h, total
    return found


@kernel
def rough_limits(points, maps, error_limit):
    """(m,) float32: for each map, the squared error within which float32 surely finds what float64 finds
    within the limit. points, maps: as for best_hypotheses."""
    right, down, photo_right, photo_down = 1.0, 1.0, 1.0, 1.0
    for i in range(points.shape[1]):  # four that do not wait for each other
        right, down = max(right, abs(points[0, i])), max(down, abs(points[1, i]))
        photo_right, photo_down = max(photo_right, abs(points[2, i])), max(photo_down, abs(points[3, i]))
    reach = max(right, down, photo_right, photo_down)
    limits = np.empty(maps.shape[1], np.float32)
    for h in range(maps.shape[1]):
        size = 1.0
        for k in range(6):
            size += abs(maps[k, h])
        limits[h] = (math.sqrt(error_limit) + ROUNDING * reach * size) ** 2 * (1 + ROUNDING)
    return limits


@kernel
def in_twos(maps):
    """(6, m) maps as float32, with one of zeros where m is odd."""
    count = maps.shape[1]
    even = np.zeros((6, count + count % 2), np.float32)
    even[:, :count] = maps
    return even


@kernel
def largest_weights(points, maps, limits, exact_maps, weights, scale_limit):
    """(m,) int32: the weight that the inliers of each map have at most, 0 where it changes scale too much.

    points: (4, n) float32. maps: of in_twos. limits: of rough_limits. exact_maps: (6, m) float64. weights:
    (n,) int32. scale_limit: the largest change, either way.
    """
    count = exact_maps.shape[1]
    bounds = np.zeros(count, np.int32)
    for h in range(0, count, 2):
        other = min(h + 1, count - 1)
        bounds[h], second = forward_weights(points, maps, h, limits[h], limits[other], weights)
        if other > h:
            bounds[other] = second
    for h in range(count):
        area = exact_maps[0, h] * exact_maps[4, h] - exact_maps[1, h] * exact_maps[3, h]
        if not (area <= scale_limit**2 and area * scale_limit**2 >= 1):
            bounds[h] = 0
    return bounds


@rough_kernel
def forward_weights(points, maps, h, limit, next_limit, weights):
    """The weights of the points that a map and the next transfer forwards, each within its squared limit: of
    two at once, which read each point once.

    points: (4, n), maps: (6, m), limits: float32. weights: (n,) int32.
    """
    a, b, c, d, e, f = maps[0, h], maps[1, h], maps[2, h], maps[3, h], maps[4, h], maps[5, h]
    k = h + 1
    p, q, r, s, t, u = maps[0, k], maps[1, k], maps[2, k], maps[3, k], maps[4, k], maps[5, k]
    total, next_total = np.int32(0), np.int32(0)
    for i in range(points.shape[1]):
        x, y, photo_x, photo_y = points[0, i], points[1, i], points[2, i], points[3, i]
        right, down = a * x + (b * y + (c - photo_x)), d * x + (e * y + (f - photo_y))
        next_right, next_down = p * x + (q * y + (r - photo_x)), s * x + (t * y + (u - photo_y))
        near, next_near = right * right + down * down <= limit, next_right**2 + next_down**2 <= next_limit
        # int32 throughout, or else the loop takes twice as long
        total = np.int32(total + np.int32(weights[i] * np.int32(near)))
        next_total = np.int32(next_total + np.int32(weights[i] * np.int32(next_near)))
    return total, next_total


@rough_kernel
def flag_forward(points, map_, limit, near):
    """Which points a map transfers forwards within a squared limit. points: (4, n), map_: (6,), limit:
    float32. Written: near, n uint8 or more, 1 or 0."""
    a, b, c, d, e, f = map_[0], map_[1], map_[2], map_[3], map_[4], map_[5]
    for i in range(points.shape[1]):
        x = a * points[0, i] + (b * points[1, i] + (c - points[2, i]))
        y = d * points[0, i] + (e * points[1, i] + (f - points[3, i]))
        near[i] = x * x + y * y <= limit


@kernel
def transfer_errors(points, scales, turns, affine, limits, errors):
    """The squared transfer error of every pair under one affine map, infinite where it is no inlier.

    points, scales, turns, limits: as for best_hypotheses. affine: (6,) float64 of positive determinant.
    Written: errors (n,) float64.
    """
    error_limit, _, ratio_limit, turn_limit = limits
    a, b, c, d, e, f = affine[0], affine[1], affine[2], affine[3], affine[4], affine[5]
    scale, cosine, sine = similarity_of(a, b, d, e)
    shrinkage = 1 / (a * e - b * d)
    for i in range(points.shape[1]):
        x, y, u, v = points[0, i], points[1, i], points[2, i], points[3, i]
        error = transfer_error(a, b, c, d, e, f, shrinkage, x, y, u, v)
        agrees = scales[i] <= ratio_limit * scale and scales[i] * ratio_limit >= scale
        turned = turns[0, i] * cosine + turns[1, i] * sine
        errors[i] = error if error <= error_limit and agrees and turned >= turn_limit else np.inf


@kernel
def one_to_one(order, pairs, taken, chosen):
    """Choose pairs in this order, neither of whose points was chosen before; return how many.

    order: (m,) int64, columns of pairs (2, n) int32, which number points below n. taken: (2, n) bool work
    space, all False. Written: chosen (n,) int64.
    """
    count = 0
    for place in range(order.shape[0]):
        column = order[place]
        if not taken[0, pairs[0, column]] and not taken[1, pairs[1, column]]:
            taken[0, pairs[0, column]] = True
            taken[1, pairs[1, column]] = True
            chosen[count] = column
            count += 1
    return count


@kernel
def nearest_pairs(errors, error_limit, pairs, chosen):
    """The pairs within a squared error, one to one in both photos, the least error first; return how many.

    errors: (n,) float64. pairs: (2, n) int32, numbers of their points. Written: chosen (n,) int64.
    """
    near = np.flatnonzero(errors <= error_limit)
    order = near[np.argsort(errors[near], kind="mergesort")]
    return one_to_one(order, pairs, np.zeros(pairs.shape, np.bool_), chosen)


@kernel
def find_inliers(points, scales, turns, pairs, affine, limits, chosen):
    """The pairs that agree with a map, one to one in both photos, the least error first.

    Arguments as for transfer_errors and one_to_one. Written: chosen (n,) int64. Returns how many.
    """
    errors = np.empty(points.shape[1])
    transfer_errors(points, scales, turns, affine, limits, errors)
    return nearest_pairs(errors, limits[0], pairs, chosen)


@kernel
def fit_affine(points, columns, limits, affine):
    """The least-squares affine map of some pairs.

    columns: (m,) int64, of points. limits: largest ratio of the map's singular values, largest scale change.
    Written: affine (6,) float64. Returns whether the pairs determine a plausible map; nothing is written
    where they do not.
    """
    max_anisotropy, max_scale = limits
    count = columns.shape[0]
    if count < FEWEST:
        return False
    x, y, u, v = 0.0, 0.0, 0.0, 0.0
    for i in columns:
        x += points[0, i] / count
        y += points[1, i] / count
        u += points[2, i] / count
        v += points[3, i] / count
    xx, xy, yy, xu, yu, xv, yv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in columns:
        dx, dy, du, dv = points[0, i] - x, points[1, i] - y, points[2, i] - u, points[3, i] - v
        xx += dx * dx
        xy += dx * dy
        yy += dy * dy
        xu += dx * du
        yu += dy * du
        xv += dx * dv
        yv += dy * dv
    spread = xx * yy - xy * xy
    if not spread > LEAST_SPREAD * (xx + yy) ** 2:
        return False
    a, b = (xu * yy - yu * xy) / spread, (yu * xx - xu * xy) / spread
    d, e = (xv * yy - yv * xy) / spread, (yv * xx - xv * xy) / spread
    area = a * e - b * d
    if not (area > 0 and anisotropy(a, b, d, e) <= max_anisotropy):
        return False
    scale = math.sqrt(area)
    if scale > max_scale or scale * max_scale < 1:
        return False
    affine[0], affine[1], affine[2] = a, b, u - a * x - b * y
    affine[3], affine[4], affine[5] = d, e, v - d * x - e * y
    return True


@kernel
def refit(points, scales, turns, pairs, weights, loose, strict, plausible, refits, affine, inliers):
    """Fit a map to its inliers for as long as their weight grows, then drop those that it misses.

    loose, strict: the limits of transfer_errors for the hypothesis's own inliers, and for all that follow,
    which differ in the first alone.
    plausible: the limits of fit_affine. refits: the most. affine: (6,) float64, the hypothesis, changed into
    the least-squares map of its inliers; inliers that determine no plausible map, such as those on one line,
    keep what it was. Written: inliers (n,) int64. Returns how many.
    """
    others, fitted, errors = np.empty_like(inliers), np.empty_like(affine), np.empty(points.shape[1])
    wider = (max(loose[0], strict[0]), *loose[1:])
    transfer_errors(points, scales, turns, affine, wider, errors)
    found = nearest_pairs(errors, loose[0], pairs, others)
    if found < FEWEST:
        return 0
    best = nearest_pairs(errors, strict[0], pairs, inliers)
    for _ in range(refits):
        if not fit_affine(points, others[:found], plausible, fitted):
            break
        found = find_inliers(points, scales, turns, pairs, fitted, strict, others)
        if weights[others[:found]].sum() <= weights[inliers[:best]].sum():
            break
        best = found
        inliers[:best] = others[:best]
    if refits:
        best = settle(points, scales, turns, strict, plausible, affine, inliers[:best])
    return best


@kernel
def settle(points, scales, turns, limits, plausible, affine, inliers):
    """Fit a map to its inliers and drop those that it then misses, until it misses none.

    Arguments as for refit. inliers: (m,) int64, the kept ones moved to the front. Returns how many.
    """
    count = inliers.shape[0]
    fitted, errors = np.empty_like(affine), np.empty(points.shape[1])
    while fit_affine(points, inliers[:count], plausible, fitted):
        affine[:] = fitted
        transfer_errors(points, scales, turns, affine, limits, errors)
        kept = 0
        for place in range(count):
            if errors[inliers[place]] < np.inf:
                inliers[kept] = inliers[place]
                kept += 1
        if kept == count:
            break
        count = kept
    return count


@kernel
def project_point(homography, x, y):
    """Where a point goes under a homography (9,), and the denominator, which is above 0 on this side of the
    horizon."""
    w = homography[6] * x + homography[7] * y + homography[8]
    if w == 0:  # on the horizon
        w = -np.finfo(np.float64).tiny
    u = homography[0] * x + homography[1] * y + homography[2]
    v = homography[3] * x + homography[4] * y + homography[5]
    return u / w, v / w, w


@kernel
def adjugate(h, back):
    """Write the inverse of a homography (9,), but for a factor above 0 if its determinant is; back: (9,)."""
    back[0], back[1], back[2] = (
        h[4] * h[8] - h[5] * h[7],
        h[2] * h[7] - h[1] * h[8],
        h[1] * h[5] - h[2] * h[4],
    )
    back[3], back[4], back[5] = (
        h[5] * h[6] - h[3] * h[8],
        h[0] * h[8] - h[2] * h[6],
        h[2] * h[3] - h[0] * h[5],
    )
    back[6], back[7], back[8] = (
        h[3] * h[7] - h[4] * h[6],
        h[1] * h[6] - h[0] * h[7],
        h[0] * h[4] - h[1] * h[3],
    )


@kernel
def derivative(h, x, y, w):
    """The affine map (a, b, d, e) that a homography (9,) is near a point; x, y, w: of project_point."""
    return (h[0] - x * h[6]) / w, (h[1] - x * h[7]) / w, (h[3] - y * h[6]) / w, (h[4] - y * h[7]) / w


@kernel
def projection_errors(points, scales, turns, homography, limits, errors):
    """The squared transfer error of every pair under a homography, infinite where it is no inlier.

    points, scales, turns, limits: as for best_hypotheses. homography: (9,) float64 of positive determinant.
    Written: errors (n,) float64.
    """
    error_limit, _, ratio_limit, turn_limit = limits
    back = np.empty(9)
    adjugate(homography, back)
    for i in range(points.shape[1]):
        errors[i] = np.inf
        x, y, w = project_point(homography, points[0, i], points[1, i])
        error = (x - points[2, i]) ** 2 + (y - points[3, i]) ** 2
        if not (w > 0 and error <= error_limit):
            continue
        a, b, d, e = derivative(homography, x, y, w)
        scale, length = math.sqrt(max(a * e - b * d, 0.0)), length_of(a + e, d - b)
        if scales[i] > ratio_limit * scale or scales[i] * ratio_limit < scale:
            continue
        if turns[0, i] * (a + e) + turns[1, i] * (d - b) < turn_limit * length:
            continue
        x, y, w = project_point(back, points[2, i], points[3, i])
        error = max(error, (x - points[0, i]) ** 2 + (y - points[1, i]) ** 2)
        if w > 0 and error <= error_limit:
            errors[i] = error


@kernel
def solve_positive(matrix, values):
    """Solve a positive definite system in place by Cholesky's decomposition; return whether it is one.

    matrix: (n, n) float64, of which the lower triangle is read. values: (n,) float64.
    """
    size = values.shape[0]
    for column in range(size):
        for row in range(column, size):
            rest = matrix[row, column]
            for k in range(column):
                rest -= matrix[row, k] * matrix[column, k]
            if row > column:
                matrix[row, column] = rest / matrix[column, column]
            elif rest > LEAST_SPREAD * matrix[column, column]:
                matrix[column, column] = math.sqrt(rest)
            else:
                return False
    for row in range(size):
        for k in range(row):
            values[row] -= matrix[row, k] * values[k]
        values[row] /= matrix[row, row]
    for row in range(size - 1, -1, -1):
        for k in range(row + 1, size):
            values[row] -= matrix[k, row] * values[k]
        values[row] /= matrix[row, row]
    return True


@kernel
def middle_and_reach(xs, ys, columns):
    """The mean of some points, and the root of their mean squared distance to it."""
    x, y, squares = 0.0, 0.0, 0.0
    for i in columns:
        x += xs[i] / columns.shape[0]
        y += ys[i] / columns.shape[0]
    for i in columns:
        squares += (xs[i] - x) ** 2 + (ys[i] - y) ** 2
    return x, y, math.sqrt(squares / columns.shape[0])


@kernel
def fit_homography(points, columns, homography, fitted):
    """The homography of the least squared error in the photo, one step from an earlier one.

    The linear equations of a homography (Hartley & Zisserman 2004, section 4.1, in the coordinates of 4.4.4)
    err by the denominator, so each pair counts by that of the earlier homography.
    points: (4, n). columns: (m,) int64, the pairs. homography: (9,) float64. Written: fitted (9,) float64,
    the last one 1. Returns whether the pairs determine one.
    """
    if columns.shape[0] < CORNERS:
        return False
    x0, y0, near = middle_and_reach(points[0], points[1], columns)
    u0, v0, far = middle_and_reach(points[2], points[3], columns)
    if not (near > 0 and far > 0):
        return False
    matrix, values = np.zeros((8, 8)), np.zeros(8)
    places, row = np.empty(5, np.int64), np.empty(5)
    for i in columns:
        x, y = (points[0, i] - x0) / near, (points[1, i] - y0) / near
        _, _, w = project_point(homography, points[0, i], points[1, i])
        for axis in range(2):
            value = (points[2 + axis, i] - (v0 if axis else u0)) / far
            places[0], places[1], places[2], places[3], places[4] = 3 * axis, 3 * axis + 1, 3 * axis + 2, 6, 7
            row[0], row[1], row[2], row[3], row[4] = x / w, y / w, 1 / w, -value * x / w, -value * y / w
            for k in range(5):
                values[places[k]] += row[k] * value / w
                for m in range(k + 1):
                    matrix[places[k], places[m]] += row[k] * row[m]
    if not solve_positive(matrix, values):
        return False
    for k in range(3):  # from the coordinates' middles and reaches back to what they were
        last = values[6 + k] if k < 2 else 1.0
        fitted[k], fitted[3 + k], fitted[6 + k] = (
            values[k] * far + u0 * last,
            values[3 + k] * far + v0 * last,
            last,
        )
    for axis in range(3):
        fitted[3 * axis] /= near
        fitted[3 * axis + 1] /= near
        fitted[3 * axis + 2] -= fitted[3 * axis] * x0 + fitted[3 * axis + 1] * y0
    if not fitted[8] > 0:
        return False
    fitted /= fitted[8]
    return True


@kernel
def log_binomial_tail(trials, least, chance):
    """The logarithm of the probability of `least` or more successes."""
    if least <= 0 or chance >= 1:
        return 0.0
    constant = math.lgamma(trials + 1.0)
    largest, total = -np.inf, 0.0
    for successes in range(least, trials + 1):
        term = (
            constant
            - math.lgamma(successes + 1.0)
            - math.lgamma(trials - successes + 1.0)
            + successes * math.log(chance)
            + (trials - successes) * math.log1p(-chance)
        )
        if term > largest:
            total = total * math.exp(largest - term) + 1
            largest = term
        else:
            total += math.exp(term - largest)
            if successes > trials * chance and term < largest + math.log(LEAST_TERM):
                break
    return min(largest + math.log(total), 0.0)


@kernel
def count_apart(points, inliers, spacing):
    """How many inliers there are that lie apart in both photos, each tried after those before it.

    Features close by show the same thing, so that one agrees with a map where another does says little: the
    geometric bursts of Sattler et al., "Large-scale location recognition and the geometric burstiness
    problem", CVPR 2016.
    points: (4, n). inliers: (m,) int64, columns. spacing: squared, in long sides.
    """
    query_x, query_y, photo_x, photo_y = np.empty((4, inliers.shape[0]))
    count = 0
    for i in inliers:
        crowding = 0
        for j in range(count):  # all of them: without a way out, the loop takes several at a time
            x, y = points[0, i] - query_x[j], points[1, i] - query_y[j]
            u, v = points[2, i] - photo_x[j], points[3, i] - photo_y[j]
            crowding += (x * x + y * y <= spacing) | (u * u + v * v <= spacing)
        if not crowding:
            query_x[count], query_y[count] = points[0, i], points[1, i]
            photo_x[count], photo_y[count] = points[2, i], points[3, i]
            count += 1
    return count


@kernel
def log_uncertainty(points, turns, affine, inliers, spacing, turn_limit, near, least_alike, tried):
    """The logarithm of the false alarms of a map by its inliers that lie apart, less those that determine a
    homography, so that it compares with an affine map; 0 where there are no more. Parameters: of
    count_apart and log_false_alarms."""
    apart = count_apart(points, inliers, spacing)
    if apart <= CORNERS:
        return 0.0
    return log_false_alarms(turns, affine, inliers, apart, turn_limit, near, least_alike, tried, CORNERS)


@kernel
def log_false_alarms(turns, affine, inliers, found, turn_limit, near, least_alike, tried, sample):
    """The logarithm of how many maps of chance pairs would have so many inliers: see spatial.Limits.

    turns: (2, n). affine: (6,). inliers: (m,) int64, columns. found: how many of them count. turn_limit: of
    transfer_errors. near: the chance that a point falls where a map sends it. least_alike: that a pair is
    turned as a map says, at the least. tried: how many maps were. sample: how many pairs determine one, and
    so are no evidence for it.
    """
    count, others = turns.shape[1], turns.shape[1] - inliers.shape[0]
    outlier = np.ones(count, np.bool_)
    outlier[inliers] = False
    x, y = affine[0] + affine[4], affine[3] - affine[1]
    least = turn_limit * length_of(x, y)
    alike = 0
    for i in range(count):
        alike += outlier[i] and turns[0, i] * x + turns[1, i] * y >= least
    chance = min(near, 1.0) * max(least_alike, alike / others if others else 0.0)
    return math.log(tried) + log_binomial_tail(count - sample, found - sample, chance)


@kernel
def is_plausible(homography, points, columns, corners, max_anisotropy):
    """Whether the region of these corners (4, 2) lies on this side of a homography's horizon, and it does not
    flatten the middle of its inliers, columns (m,) int64 of points."""
    back = np.empty(9)
    adjugate(homography, back)
    if not homography[0] * back[0] + homography[1] * back[3] + homography[2] * back[6] > 0:
        return False
    for corner in range(4):
        if not homography[6] * corners[corner, 0] + homography[7] * corners[corner, 1] + homography[8] > 0:
            return False
    x, y, _ = middle_and_reach(points[0], points[1], columns)
    a, b, d, e = derivative(homography, *project_point(homography, x, y))
    return anisotropy(a, b, d, e) <= max_anisotropy


@kernel
def refit_plane(
    points, scales, turns, pairs, strict, plausible, chances, tried, corners, homography, inliers
):
    """Fit a homography to its own inliers within twice the tolerance, which finds what an affine map misses
    of a plane at a slant, then within each of several; the best is the one with the fewest false alarms.

    strict, plausible, chances: of spatial.Limits. corners: of is_plausible. homography: (9,) float64, the
    affine map; written, as are inliers (n,) int64. Returns how many, 0 where there is no homography, and the
    logarithm of its false alarms.
    """
    square, scale_change, relative_scale, turn = strict
    widest = (4 * square, scale_change, relative_scale, turn)
    near, least_alike = chances
    current, fitted = homography.copy(), np.empty_like(homography)
    chosen, errors = np.empty_like(inliers), np.empty(points.shape[1])
    best, fewest = 0, 0.0
    for fit in range(FITS + LEVELS):
        level = max(fit - FITS, -1)
        projection_errors(points, scales, turns, current, widest, errors)
        found = nearest_pairs(errors, square / 4.0**level, pairs, chosen)
        if not fit_homography(points, chosen[:found], current, fitted):
            break
        if not is_plausible(fitted, points, chosen[:found], corners, plausible[0]):
            break
        current[:] = fitted
        if level < 0:
            continue
        projection_errors(points, scales, turns, current, widest, errors)
        found = nearest_pairs(errors, square / 4.0**level, pairs, chosen)
        if found <= CORNERS:
            break
        x, y, _ = middle_and_reach(points[0], points[1], chosen[:found])
        a, b, d, e = derivative(current, *project_point(current, x, y))
        local = np.array([a, b, 0.0, d, e, 0.0])
        alarms = log_uncertainty(
            points, turns, local, chosen[:found], square, turn, near / 4.0**level, least_alike, tried
        ) + math.log(LEVELS)
        if alarms < fewest:
            best, fewest = found, alarms
            homography[:] = current
            inliers[:found] = chosen[:found]
    return best, fewest


@kernel
def weight_steps(weights):
    """(n,) int32: weights (n,) float64, none below 0, in steps of a power of 2, so that sums are exact."""
    total = weights.sum()
    factor = 2.0 ** math.floor(math.log2(STEPS / total)) if total > 0 else 0.0
    return np.rint(weights * factor).astype(np.int32)


@kernel
def prepare_pairs(query_frames, photo_frames, rows, sides, freedom, alone):
    """What all pairs suggest: points, maps, scales, turns and kept of suggest_maps, and (2, n) int32, the
    numbers of their points in query and photo, equal for equal points. Arguments as for suggest_maps; alone:
    whether a pair suggests a map by itself, or else maps are not written."""
    room = rows.shape[0]
    points, maps, scales = np.empty((4, room)), np.empty((6, room)), np.empty(room)
    turns, kept = np.empty((2, room)), np.empty(room, np.int64)
    if alone:
        count = suggest_maps(
            query_frames, photo_frames, rows, sides, freedom, points, maps, scales, turns, kept
        )
    else:
        count = place_points(query_frames, photo_frames, rows, sides, points, scales, turns, kept)
    points, maps, turns = points[:, :count].copy(), maps[:, :count].copy(), turns[:, :count].copy()
    numbers = np.empty((2, count), np.int32)
    for side in range(2):
        table = np.full(4 << int(math.log2(count + 1)), -1, np.int32)
        bits = points[2 * side : 2 * side + 2].view(np.uint64)
        number_points(bits[0], bits[1], table, numbers[side])
    return points, maps, scales[:count], turns, kept[:count], numbers


@kernel
def best_affine(points, maps, sources, scales, turns, pairs, weights, limits, tries, affine, inliers):
    """The heaviest of the best hypotheses' refitted maps.

    points, scales, turns, pairs: of prepare_pairs. maps: (6, m), and sources: (2, m) int64, the two pairs
    that suggest each, or twice the one. weights: (n,) float64. limits, tries: as for verify_rows. Written:
    affine (6,) float64, inliers (n,) int64. Returns how many.
    """
    _, loose, strict, plausible, _ = limits
    hypotheses, refits, _ = tries
    marks = np.full(pairs.shape, -1, np.int32)
    best, totals = np.empty(hypotheses, np.int64), np.empty(hypotheses, np.int64)
    steps = weight_steps(weights)
    tried = best_hypotheses(points, maps, scales, turns, pairs, steps, loose, marks, best, totals)
    found, weight = 0, 0.0
    fitted, chosen = np.empty_like(affine), np.empty_like(inliers)
    for place in range(tried):
        one, other = sources[:, best[place]]
        if np.any(inliers[:found] == one) and np.any(inliers[:found] == other):
            continue  # it would lead to the same map
        fitted[:] = maps[:, best[place]]
        agreeing = refit(
            points, scales, turns, pairs, weights, loose, strict, plausible, refits, fitted, chosen
        )
        if weights[chosen[:agreeing]].sum() > weight:
            found, weight = agreeing, weights[chosen[:agreeing]].sum()
            affine[:] = fitted
            inliers[:found] = chosen[:found]
    return found


@kernel
def verify_rows(
    query_frames,
    photo_frames,
    rows,
    weights,
    sides,
    corners,
    limits,
    tries,
    affine,
    homography,
    inliers,
    points,
):
    """Find the map that the heaviest pairs agree on: an affine map, or the homography of a plane.

    query_frames, photo_frames, sides: as for suggest_maps. rows: (n, 2) int32. weights: (n,) float64.
    corners: (4, 2) float64, of the query's region, in long sides. limits: spatial.Limits as a tuple. tries:
    how many hypotheses are refitted, and how often; and how many maps pairs suggest by twos, 0 where each
    suggests one by itself.
    Written: affine (6,) float64; homography (9,) float64, zeros where the affine map has more evidence, each
    beyond the pairs that determine it; of the inliers of the one that has more, inliers (n,) int64, their
    rows, and points (4, n) float64.
    Returns how many inliers the affine map has, 0 where there is none, and how many are written; the
    logarithm of the false alarms of a hypothesis with as many inliers as the affine map, and of the map whose
    inliers are written.
    """
    freedom, _, strict, plausible, chances = limits
    room = tries[2]
    all_points, maps, scales, turns, kept, pairs = prepare_pairs(
        query_frames, photo_frames, rows, sides, freedom, room == 0
    )
    heavy = weights[kept]
    if room:
        maps, sources = suggest_together(all_points, room, plausible[1])
    else:
        sources = np.empty((2, kept.shape[0]), np.int64)
        sources[:] = np.arange(kept.shape[0])
    tried, sample = maps.shape[1], 2 if room else 1
    found = best_affine(
        all_points, maps, sources, scales, turns, pairs, heavy, limits, tries, affine, inliers
    )
    homography[:] = 0.0
    if not found:
        return 0, 0, 0.0, 0.0
    count = found
    near, least_alike = chances
    alarms = log_false_alarms(
        turns, affine, inliers[:found], found, strict[3], near, least_alike, tried, sample
    )
    certain = log_uncertainty(
        all_points, turns, affine, inliers[:found], strict[0], strict[3], near, least_alike, tried
    )
    errors = np.empty(all_points.shape[1])
    transfer_errors(all_points, scales, turns, affine, strict, errors)
    if tries[1] and alarms < WORTHWHILE and errors[inliers[:found]].mean() > PRECISE * strict[0]:
        plane, chosen = np.zeros(9), np.empty_like(inliers)
        plane[:6], plane[8] = affine, 1.0
        fitting, fewest = refit_plane(
            all_points, scales, turns, pairs, strict, plausible, chances, tried, corners, plane, chosen
        )
        if fitting and fewest < certain:
            count, certain = fitting, fewest
            homography[:] = plane
            inliers[:count] = chosen[:count]
    for place in range(count):
        points[:, place] = all_points[:, inliers[place]]
        inliers[place] = kept[inliers[place]]
    return found, count, alarms, certain
