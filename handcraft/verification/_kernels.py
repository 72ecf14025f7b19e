"""The hot loops of spatial verification; the callers validate, cast and allocate."""

from __future__ import annotations

import numpy as np

from handcraft.compilation import kernel


@kernel
def count_pairs(query_words, photo_words, max_pairs_per_word):
    """How many pairs pair_words will write."""
    return pair_words(query_words, photo_words, max_pairs_per_word, np.empty((0, 2), np.int32))


@kernel
def pair_words(query_words, photo_words, max_pairs_per_word, pairs):
    """Merge two ascending lists of words into all pairs of entries with the same word.

    query_words: (q,) uint32; photo_words: (p,) uint32. A word that makes more than
    `max_pairs_per_word` pairs makes none.
    Written: pairs (n, 2) int32, places in the two lists; as many as there is room for.
    Returns the number of pairs.
    """
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
                        if found < pairs.shape[0]:
                            pairs[found, 0] = i
                            pairs[found, 1] = j
                        found += 1
            q = q_end
            p = p_end
    return found


@kernel
def transfer_error(a, b, c, d, e, f, query_x, query_y, photo_x, photo_y):
    """The larger of the squared errors of transferring a pair's points forwards and back.

    The map is x' = a·x + b·y + c, y' = d·x + e·y + f; its determinant is not zero.
    """
    forward_x = a * query_x + b * query_y + c - photo_x
    forward_y = d * query_x + e * query_y + f - photo_y
    determinant = a * e - b * d
    back_x = (e * forward_x - b * forward_y) / determinant
    back_y = (a * forward_y - d * forward_x) / determinant
    return max(forward_x * forward_x + forward_y * forward_y, back_x * back_x + back_y * back_y)


@kernel
def best_hypothesis(points, maps, scales, turns, pairs, weights, limits, query_marks, photo_marks):
    """Score the map that each single pair suggests by the weight of its one-to-one inliers.

    points: (n, 4) float64, query x, y and photo x, y of each pair. maps: (n, 2, 3) float64, the
    affine map of each pair's frames. scales: (n,) float64, square root of the map's determinant.
    turns: (n, 2) float64, cosine and sine of the map's rotation. pairs: (n, 2) int32, the pairs' points.
    weights: (n,) float64. limits: squared transfer error; largest scale change; largest ratio of a
    pair's scale to the hypothesis's; least cosine of their difference in rotation.
    query_marks, photo_marks: int32 work space as long as there are points, holding −1.
    Returns the best pair (−1 for none) and its weight; equals go to the first.
    """
    error_limit, scale_limit, ratio_limit, turn_limit = limits
    best = -1
    best_weight = 0.0
    for h in range(points.shape[0]):
        scale = scales[h]
        if scale > scale_limit or scale * scale_limit < 1:
            continue
        a, b, c = maps[h, 0, 0], maps[h, 0, 1], maps[h, 0, 2]
        d, e, f = maps[h, 1, 0], maps[h, 1, 1], maps[h, 1, 2]
        total = 0.0
        for i in range(points.shape[0]):
            # The forward error alone first: it turns away nearly every pair.
            x = a * points[i, 0] + b * points[i, 1] + c - points[i, 2]
            y = d * points[i, 0] + e * points[i, 1] + f - points[i, 3]
            if x * x + y * y > error_limit:
                continue
            if query_marks[pairs[i, 0]] == h or photo_marks[pairs[i, 1]] == h:
                continue
            ratio = scales[i] / scale
            if ratio > ratio_limit or ratio * ratio_limit < 1:
                continue
            if turns[i, 0] * turns[h, 0] + turns[i, 1] * turns[h, 1] < turn_limit:
                continue
            if (
                transfer_error(a, b, c, d, e, f, points[i, 0], points[i, 1], points[i, 2], points[i, 3])
                <= error_limit
            ):
                query_marks[pairs[i, 0]] = h
                photo_marks[pairs[i, 1]] = h
                total += weights[i]
        if total > best_weight:
            best_weight = total
            best = h
    return best, best_weight


@kernel
def transfer_errors(points, maps_scales, turns, affine, limits, errors):
    """The squared transfer error of every pair under one affine map, infinite where it is no inlier.

    points, turns, limits: as for best_hypothesis. maps_scales: (n,) float64, the pairs' own scales.
    affine: (2, 3) float64 of positive determinant. Written: errors (n,) float64.
    """
    error_limit, _, ratio_limit, turn_limit = limits
    a, b, c = affine[0, 0], affine[0, 1], affine[0, 2]
    d, e, f = affine[1, 0], affine[1, 1], affine[1, 2]
    scale = np.sqrt(a * e - b * d)
    length = np.hypot(a + e, d - b)
    cosine, sine = (a + e) / length, (d - b) / length
    for i in range(points.shape[0]):
        error = transfer_error(a, b, c, d, e, f, points[i, 0], points[i, 1], points[i, 2], points[i, 3])
        ratio = maps_scales[i] / scale
        agrees = 1 <= ratio * ratio_limit and ratio <= ratio_limit
        turned = turns[i, 0] * cosine + turns[i, 1] * sine
        errors[i] = error if error <= error_limit and agrees and turned >= turn_limit else np.inf


@kernel
def one_to_one(order, pairs, query_taken, photo_taken, chosen):
    """Choose pairs in this order, neither of whose points was chosen before; return how many.

    order: (n,) int64, rows of pairs (m, 2) int32, which number points. query_taken, photo_taken: bool
    work space as long as there are points, all False. Written: chosen (n,) int64.
    """
    count = 0
    for place in range(order.shape[0]):
        row = order[place]
        if not query_taken[pairs[row, 0]] and not photo_taken[pairs[row, 1]]:
            query_taken[pairs[row, 0]] = True
            photo_taken[pairs[row, 1]] = True
            chosen[count] = row
            count += 1
    return count
