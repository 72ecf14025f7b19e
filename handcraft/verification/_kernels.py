"""The hot loops of spatial verification; the callers validate, cast and allocate.

Lengths are in long sides of their photo. A map is (a, b, c, d, e, f): x' = a·x + b·y + c, y' = d·x + e·y + f.
"""

from __future__ import annotations

import math

import numpy as np

from handcraft.compilation import count_ones, kernel

LEAST_SPREAD = 1e-12  # of inliers across a line, in that along it, squared: thinner ones fit no map
LEAST_TERM = 1e-9  # of a sum of falling terms
ROUNDING = 1e-6  # of float32, ten times over
STEPS = 1 << 30  # that all weights of pairs make together at the most


@kernel
def pair_words(query_words, query_codes, photo_words, photo_codes, limits, pairs, differences):
    """Merge two ascending lists of words into all pairs of entries with the same word and like signatures.

    query_words: (q,) uint32; photo_words: (p,) uint32. query_codes: (planes, q) uint64; photo_codes:
    (planes, p); planes is 0 where there are no signatures. limits: the most pairs of a word, one that makes
    more makes none; the most bits in which signatures may differ.
    Written: pairs (n, 2) int32, places in the two lists, and differences (n,) int32, the bits in which their
    signatures differ; as many as there is room for. Returns the number of pairs.
    """
    max_pairs_per_word, max_difference = limits
    q = 0
    p = 0
    found = 0
    while q < query_words.shape[0] and p < photo_words.shape[0]:
        if query_words[q] < photo_words[p]:
            q += 1
        elif query_words[q] > photo_words[p]:
            p += 1
        else:
            word = query_words[q]
            q_end = q
            while q_end < query_words.shape[0] and query_words[q_end] == word:
                q_end += 1
            p_end = p
            while p_end < photo_words.shape[0] and photo_words[p_end] == word:
                p_end += 1
            if (q_end - q) * (p_end - p) <= max_pairs_per_word:
                for i in range(q, q_end):
                    for j in range(p, p_end):
                        difference = 0
                        for plane in range(query_codes.shape[0]):
                            difference += np.int64(count_ones(query_codes[plane, i] ^ photo_codes[plane, j]))
                        if difference > max_difference:
                            continue
                        if found < pairs.shape[0]:
                            pairs[found, 0] = i
                            pairs[found, 1] = j
                            differences[found] = difference
                        found += 1
            q = q_end
            p = p_end
    return found


@kernel
def suggest_maps(query_frames, photo_frames, rows, sides, max_anisotropy, points, maps, scales, turns, kept):
    """The map that each pair's frames suggest, of pairs whose frames have an area and which does not flatten.

    query_frames, photo_frames: (·, 2, 3) float64, pixels. rows: (n, 2) int32, of each pair. sides: the long
    sides of query and photo, pixels. Written, one column a pair that is kept: points (4, n) float64, query x,
    y and photo x, y; maps (6, n), A_photo · A_query⁻¹ and the translation; scales (n,), root of its
    determinant; turns (2, n), cosine and sine of its rotation; kept (n,) int64, the pair. Returns how many.
    """
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
        x, y = query[0, 2] / query_side, query[1, 2] / query_side
        points[0, count], points[1, count] = x + 0.0, y + 0.0  # -0 is 0, also bit by bit
        points[2, count] = photo[0, 2] / photo_side + 0.0
        points[3, count] = photo[1, 2] / photo_side + 0.0
        maps[0, count], maps[1, count], maps[2, count] = a, b, points[2, count] - a * x - b * y
        maps[3, count], maps[4, count], maps[5, count] = d, e, points[3, count] - d * x - e * y
        scales[count] = math.sqrt(a * e - b * d)
        length = max(math.hypot(a + e, d - b), np.finfo(np.float64).tiny)
        turns[0, count], turns[1, count] = (a + e) / length, (d - b) / length
        kept[count] = pair
        count += 1
    return count


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
    """Score the map that each single pair suggests by the weight of its one-to-one inliers.

    points, maps, scales, turns: of suggest_maps, n columns. pairs: (2, n) int32, numbers of their points,
    below n. weights: (n,) int32, whose sum is one too. limits: squared transfer error; largest scale change;
    largest ratio of a pair's scale to the hypothesis's; least cosine of their difference in rotation.
    marks: (2, n) int32 work space, holding −1.
    Written: best (k,) int64, the best pairs, of equals the first, and totals (k,) int64, their weights.
    Returns how many have any.
    """
    error_limit, scale_limit, ratio_limit, turn_limit = limits
    count = points.shape[1]
    rough_points, rough_maps = points.astype(np.float32), maps.astype(np.float32)
    reaches = rough_limits(points, maps, error_limit)
    bounds = np.zeros(count, np.int32)
    for h in range(count):
        if scales[h] <= scale_limit and scales[h] * scale_limit >= 1:
            bounds[h] = forward_weight(rough_points, rough_maps[:, h], reaches[h], weights)
    eighths = np.zeros(count // 8 + 1, np.uint64)  # of eight pairs each, most of which are passed at once
    near = eighths.view(np.uint8)
    found = 0
    # The most promising come first, of equals the first, so that most need not be looked at.
    for key in np.sort(np.arange(count) - (bounds.astype(np.int64) << 32)):
        h = key & np.int64(0xFFFFFFFF)
        if bounds[h] < max(totals[found - 1] if found == best.shape[0] else 0, 1):
            break
        flag_forward(rough_points, rough_maps[:, h], reaches[h], near)
        a, b, c, d, e, f = maps[0, h], maps[1, h], maps[2, h], maps[3, h], maps[4, h], maps[5, h]
        shrinkage, scale = 1 / (a * e - b * d), scales[h]
        total = 0
        for eighth in range(eighths.shape[0]):
            if not eighths[eighth]:
                continue
            for i in range(8 * eighth, 8 * eighth + 8):
                if not near[i] or marks[0, pairs[0, i]] == h or marks[1, pairs[1, i]] == h:
                    continue
                if scales[i] > ratio_limit * scale or scales[i] * ratio_limit < scale:
                    continue
                if turns[0, i] * turns[0, h] + turns[1, i] * turns[1, h] < turn_limit:
                    continue
                x, y, u, v = points[0, i], points[1, i], points[2, i], points[3, i]
                if transfer_error(a, b, c, d, e, f, shrinkage, x, y, u, v) <= error_limit:
                    marks[0, pairs[0, i]] = h
                    marks[1, pairs[1, i]] = h
                    total += weights[i]
        found = insert_best(best, totals, found, h, total)
    return found


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
    """(n,) float32: for each map, the squared error within which float32 surely finds what float64 finds
    within the limit. points, maps: as for best_hypotheses."""
    reach = 1.0
    for value in points.flat:
        reach = max(reach, abs(value))
    limits = np.empty(maps.shape[1], np.float32)
    for h in range(maps.shape[1]):
        size = 1.0
        for k in range(6):
            size += abs(maps[k, h])
        limits[h] = (math.sqrt(error_limit) + ROUNDING * reach * size) ** 2 * (1 + ROUNDING)
    return limits


@kernel
def forward_weight(points, map_, limit, weights):
    """The weight of the points that a map transfers forwards within a squared limit.

    points: (4, n), map_: (6,), limit: float32. weights: (n,) int32.
    """
    a, b, c, d, e, f = map_[0], map_[1], map_[2], map_[3], map_[4], map_[5]
    total = np.int32(0)
    for i in range(points.shape[1]):
        x = a * points[0, i] + b * points[1, i] + c - points[2, i]
        y = d * points[0, i] + e * points[1, i] + f - points[3, i]
        # int32 throughout, or else the loop takes twice as long
        total = np.int32(total + np.int32(weights[i] * np.int32(x * x + y * y <= limit)))
    return total


@kernel
def flag_forward(points, map_, limit, near):
    """Which points a map transfers forwards within a squared limit. Arguments as for forward_weight.

    Written: near, n uint8 or more, 1 or 0.
    """
    a, b, c, d, e, f = map_[0], map_[1], map_[2], map_[3], map_[4], map_[5]
    for i in range(points.shape[1]):
        x = a * points[0, i] + b * points[1, i] + c - points[2, i]
        y = d * points[0, i] + e * points[1, i] + f - points[3, i]
        near[i] = x * x + y * y <= limit


@kernel
def transfer_errors(points, scales, turns, affine, limits, errors):
    """The squared transfer error of every pair under one affine map, infinite where it is no inlier.

    points, scales, turns, limits: as for best_hypotheses. affine: (6,) float64 of positive determinant.
    Written: errors (n,) float64.
    """
    error_limit, _, ratio_limit, turn_limit = limits
    a, b, c, d, e, f = affine[0], affine[1], affine[2], affine[3], affine[4], affine[5]
    scale = math.sqrt(a * e - b * d)
    length = math.hypot(a + e, d - b)
    cosine, sine = (a + e) / length, (d - b) / length
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
def find_inliers(points, scales, turns, pairs, affine, limits, chosen):
    """The pairs that agree with a map, one to one in both photos, the least error first.

    Arguments as for transfer_errors and one_to_one. Written: chosen (n,) int64. Returns how many.
    """
    errors = np.empty(points.shape[1])
    transfer_errors(points, scales, turns, affine, limits, errors)
    near = np.flatnonzero(errors < np.inf)
    order = near[np.argsort(errors[near], kind="mergesort")]
    return one_to_one(order, pairs, np.zeros(pairs.shape, np.bool_), chosen)


@kernel
def fit_affine(points, columns, limits, affine):
    """The least-squares affine map of some pairs.

    columns: (m,) int64, of points. limits: largest ratio of the map's singular values, largest scale change.
    Written: affine (6,) float64. Returns whether the pairs determine a plausible map; nothing is written
    where they do not.
    """
    max_anisotropy, max_scale = limits
    count = columns.shape[0]
    if count < 3:
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

    loose, strict: the limits of transfer_errors for the hypothesis's own inliers, and for all that follow.
    plausible: the limits of fit_affine. refits: the most. affine: (6,) float64, the hypothesis, changed into
    the least-squares map of its inliers; inliers that determine no plausible map, such as those on one line,
    keep what it was. Written: inliers (n,) int64. Returns how many.
    """
    best = find_inliers(points, scales, turns, pairs, affine, strict, inliers)
    others, fitted = np.empty_like(inliers), np.empty_like(affine)
    if refits:
        found = find_inliers(points, scales, turns, pairs, affine, loose, others)
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
def log_false_alarms(turns, affine, inliers, limits, near, least_alike):
    """The logarithm of how many maps of chance pairs would have so many inliers: see spatial._limits.

    turns: (2, n). affine: (6,). inliers: (m,) int64, columns. limits: of transfer_errors. near: the chance
    that a point falls where a map sends it. least_alike: that a pair is turned as a map says, at the least.
    """
    count, found = turns.shape[1], inliers.shape[0]
    outlier = np.ones(count, np.bool_)
    outlier[inliers] = False
    x, y = affine[0] + affine[4], affine[3] - affine[1]
    least = limits[3] * math.hypot(x, y)
    alike = 0
    for i in range(count):
        alike += outlier[i] and turns[0, i] * x + turns[1, i] * y >= least
    chance = near * max(least_alike, alike / (count - found) if count > found else 0.0)
    return math.log(count) + log_binomial_tail(count - 1, found - 1, chance)


@kernel
def weight_steps(weights):
    """(n,) int32: weights (n,) float64, none below 0, in steps of a power of 2, so that sums are exact."""
    total = weights.sum()
    factor = 2.0 ** math.floor(math.log2(STEPS / total)) if total > 0 else 0.0
    return np.rint(weights * factor).astype(np.int32)


@kernel
def verify_rows(query_frames, photo_frames, rows, weights, sides, limits, tries, affine, points, inliers):
    """Find the map that the heaviest pairs agree on: the heaviest of the best hypotheses, refitted.

    query_frames, photo_frames, sides: as for suggest_maps. rows: (n, 2) int32. weights: (n,) float64.
    limits: of suggest_maps, of best_hypotheses, of transfer_errors, of fit_affine, and of log_false_alarms.
    tries: how many hypotheses are refitted, and how often.
    Written: affine (6,) float64; of the inliers, points (4, n) float64 and inliers (n,) int64, their rows.
    Returns how many inliers there are, 0 where there is no map, and the logarithm of its false alarms.
    """
    flattest, loose, strict, plausible, (near, least_alike) = limits
    hypotheses, refits = tries
    room = rows.shape[0]
    all_points, maps, scales = np.empty((4, room)), np.empty((6, room)), np.empty(room)
    turns, kept = np.empty((2, room)), np.empty(room, np.int64)
    count = suggest_maps(
        query_frames, photo_frames, rows, sides, flattest, all_points, maps, scales, turns, kept
    )
    all_points, turns = all_points[:, :count].copy(), turns[:, :count].copy()
    maps, scales, heavy = maps[:, :count].copy(), scales[:count], weights[kept[:count]]
    pairs = np.empty((2, count), np.int32)
    for side in range(2):
        table = np.full(4 << int(math.log2(count + 1)), -1, np.int32)
        bits = all_points[2 * side : 2 * side + 2].view(np.uint64)
        number_points(bits[0], bits[1], table, pairs[side])
    steps = weight_steps(heavy)
    marks = np.full((2, count), -1, np.int32)
    best, totals = np.empty(hypotheses, np.int64), np.empty(hypotheses, np.int64)
    tried = best_hypotheses(all_points, maps, scales, turns, pairs, steps, loose, marks, best, totals)
    found, weight = 0, 0.0
    fitted, chosen = np.empty_like(affine), np.empty_like(inliers)
    for place in range(tried):
        if np.any(inliers[:found] == best[place]):  # it would lead to the same map
            continue
        fitted[:] = maps[:, best[place]]
        agreeing = refit(
            all_points, scales, turns, pairs, heavy, loose, strict, plausible, refits, fitted, chosen
        )
        if heavy[chosen[:agreeing]].sum() > weight:
            found, weight = agreeing, heavy[chosen[:agreeing]].sum()
            affine[:] = fitted
            inliers[:found] = chosen[:found]
    if not found:
        return 0, 0.0
    alarms = log_false_alarms(turns, affine, inliers[:found], strict, near, least_alike)
    for place in range(found):
        points[:, place] = all_points[:, inliers[place]]
        inliers[place] = kept[inliers[place]]
    return found, alarms
