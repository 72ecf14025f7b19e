"""The hot loops of tentative correspondences; the callers validate, cast and allocate."""

from __future__ import annotations

import numpy as np

from handcraft.compilation import count_ones, kernel


@kernel
def pair_words(
    query_words, starts, features, query_codes, photo_words, photo_codes, limits, pairs, words, differences
):
    """Find all pairs of a query's and a photo's entries with the same word and like signatures.

    query_words: (u,) uint32, ascending, each once. starts: (u + 1,) int64, where the entries of each start.
    features: (q,) int32, the feature of each entry. query_codes: (planes, q) uint64. photo_words: (p,)
    uint32, ascending; photo_codes: (planes, p); planes is 0 where there are no signatures. limits: the most
    pairs of a word, one that makes more makes none; the most bits in which signatures may differ.
    Written: pairs (n, 2) int32, feature of the query and entry of the photo; words (n,) uint32; and
    differences (n,) int32, the bits in which their signatures differ; as many as there is room for. Returns
    the number of pairs.
    """
    max_pairs_per_word, max_difference = limits
    end, place = 0, 0
    found = 0
    while end < photo_words.shape[0]:
        start, word = end, photo_words[end]
        while end < photo_words.shape[0] and photo_words[end] == word:
            end += 1
        place = first_not_below(query_words, word, place)
        if place == query_words.shape[0]:
            break
        if query_words[place] != word:
            continue
        first, last = starts[place], starts[place + 1]
        if (last - first) * (end - start) > max_pairs_per_word:
            continue
        for i in range(first, last):
            for j in range(start, end):
                difference = 0
                for plane in range(query_codes.shape[0]):
                    difference += np.int64(count_ones(query_codes[plane, i] ^ photo_codes[plane, j]))
                if difference > max_difference:
                    continue
                if found < pairs.shape[0]:
                    pairs[found, 0] = features[i]
                    pairs[found, 1] = j
                    words[found] = word
                    differences[found] = difference
                found += 1
    return found


@kernel
def first_not_below(values, value, start):
    """The place, from `start` on, of the first of ascending values that is not below one: by steps that
    double, then by halves."""
    low, step = start, 1
    while low + step <= values.shape[0] and values[low + step - 1] < value:
        low += step
        step *= 2
    high = min(low + step, values.shape[0])
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def keep_nearest(squares, start, least, nearest, back_least, back):
    """Keep the nearest of each row and column of a block of squared distances.

    squares: (r, p), of rows start, start + 1 and so on. least, nearest: (r, k), the least distances of each
    row in ascending order and their columns, written. back_least, back: (p, k), those of each column and
    their rows, of this block and the ones before it. Of equal distances the first counts as the least.
    """
    for i in range(squares.shape[0]):
        for j in range(squares.shape[1]):
            square = squares[i, j]
            if square < least[i, -1]:
                insert_nearest(least[i], nearest[i], square, j)
            if square < back_least[j, -1]:
                insert_nearest(back_least[j], back[j], square, start + i)


@kernel
def insert_nearest(least, nearest, square, number):
    """Put a distance behind those that are as small; the largest drops out."""
    k = least.shape[0] - 1
    while k > 0 and least[k - 1] > square:
        least[k] = least[k - 1]
        nearest[k] = nearest[k - 1]
        k -= 1
    least[k] = square
    nearest[k] = number


@kernel
def reciprocal_pairs(least, nearest, back, pairs, distances):
    """The rows and columns that are among each other's nearest.

    least, nearest: (r, k); back: (p, k), as keep_nearest has left them; -1 is none.
    Written: pairs (n, 2) int32, row and column, and distances (n,). Returns n.
    """
    found = 0
    for i in range(nearest.shape[0]):
        for k in range(nearest.shape[1]):
            j = nearest[i, k]
            if j >= 0 and (back[j] == i).any():
                pairs[found, 0] = i
                pairs[found, 1] = j
                distances[found] = least[i, k]
                found += 1
    return found
