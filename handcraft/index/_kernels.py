"""The hot loops of postings, signatures and voting; the callers validate, cast and allocate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from handcraft.compilation import kernel

MAX_FREQUENCY = 255  # term frequencies are uint8 and saturate


@intrinsic
def count_ones(typing_context: Any, value: Any) -> Any:
    """The number of ones of a uint64: the processor's instruction, for many at once where it has that."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@kernel
def count_postings(photo_offsets, feature_words, counts):
    """Count the photos that each word occurs in.

    photo_offsets: (n + 1,) uint64 into feature_words (f,) uint32, sorted within each photo.
    Written: counts (words,) int64, added to.
    """
    for photo in range(photo_offsets.shape[0] - 1):
        for feature in range(photo_offsets[photo], photo_offsets[photo + 1]):
            if feature == photo_offsets[photo] or feature_words[feature] != feature_words[feature - 1]:
                counts[feature_words[feature]] += 1


@kernel
def fill_postings(photo_offsets, feature_words, places, photo_ids, frequencies):
    """Write each photo's words into the postings; photos come in order within a word.

    photo_offsets, feature_words: as for count_postings. places: (words,) int64, where the next
    posting of each word goes; advanced. Written: photo_ids (p,) uint16, frequencies (p,) uint8.
    """
    for photo in range(photo_offsets.shape[0] - 1):
        feature = np.int64(photo_offsets[photo])
        end = np.int64(photo_offsets[photo + 1])
        while feature < end:
            word = feature_words[feature]
            after = feature + 1
            while after < end and feature_words[after] == word:
                after += 1
            place = places[word]
            photo_ids[place] = photo
            frequencies[place] = min(after - feature, MAX_FREQUENCY)
            places[word] = place + 1
            feature = after


@kernel
def add_weights(words, offsets, photo_ids, frequencies, word_weights, term_weights, sums):
    """Sum the weights of each photo's words, in order of the words.

    words: (u,) uint32, ascending. offsets: (u + 1,) uint64 into photo_ids (p,) uint16 and
    frequencies (p,) uint8. word_weights: (all words,) float64. term_weights: (256,) float64, by frequency.
    Written: sums (65536,) float64, added to.
    """
    for i in range(words.shape[0]):
        weight = word_weights[words[i]]
        for posting in range(offsets[i], offsets[i + 1]):
            sums[photo_ids[posting]] += weight * term_weights[frequencies[posting]]


@kernel
def vote(starts, ends, query_weights, photo_ids, frequencies, term_weights, scores):
    """Add each query word's weight to the photos that hold the word.

    starts, ends: (q,) int64, of locate_lists. query_weights: (q,) float32, idf of both sides included.
    photo_ids, frequencies: as for add_weights. term_weights: (256,) float32, by frequency.
    Written: scores (65536,) float32, added to.
    """
    for i in range(starts.shape[0]):
        weight = query_weights[i]
        for posting in range(starts[i], ends[i]):
            scores[photo_ids[posting]] += weight * term_weights[frequencies[posting]]


@kernel
def vote_shared(
    starts, ends, query_weights, word_weights, photo_ids, frequencies, term_weights, norms, scores
):
    """Add what the query and each photo share of a word's weight, the lesser of both.

    query_weights: (q,) float32, their sum 1 at the most. word_weights: (q,) float32, idf. norms: (65536,)
    float32, above 0, the sums of the photos' weights. The rest as for vote.
    """
    for i in range(starts.shape[0]):
        weight = query_weights[i]
        for posting in range(starts[i], ends[i]):
            photo = photo_ids[posting]
            of_photo = word_weights[i] * term_weights[frequencies[posting]] / norms[photo]
            scores[photo] += min(weight, of_photo)


@kernel
def locate_lists(query_words, words, offsets, starts, ends):
    """Find the postings, or what else the words of a segment have, of each word of a query.

    query_words: (q,) uint32, ascending, repeats allowed. words: (u,) uint32, ascending. offsets: (u + 1,)
    uint64. Written: starts, ends (q,) int64, equal where the segment has no such word.
    """
    low = 0
    for i in range(query_words.shape[0]):
        word = query_words[i]
        high = words.shape[0]
        while low < high:  # the first place with words[place] >= word; never before the last one
            middle = (low + high) // 2
            if words[middle] < word:
                low = middle + 1
            else:
                high = middle
        starts[i] = 0
        ends[i] = 0
        if low < words.shape[0] and words[low] == word:
            starts[i] = offsets[low]
            ends[i] = offsets[low + 1]


@kernel
def sum_residuals(order, words, descriptors, centroids, aggregated, residuals):
    """Sum what is left of the descriptors of each word when its centroid is subtracted.

    order: (f,) int64, the rows of a photo's features by word. words: (f,) int64, ascending, rows of
    centroids (w, d). descriptors: (f, d). aggregated: bool, False gives every feature a row of its own.
    Written: residuals (e, d) int32 or float32, in the order of the words. Returns e.
    """
    entries = 0
    for feature in range(order.shape[0]):
        word = words[feature]
        row = order[feature]
        if not aggregated or feature == 0 or word != words[feature - 1]:
            entries += 1
            residuals[entries - 1] = 0
        for i in range(descriptors.shape[1]):
            residuals[entries - 1, i] += descriptors[row, i]
            residuals[entries - 1, i] -= centroids[word, i]
    return entries


@kernel
def pack_signs(values, codes):
    """Write which of the values are above zero as bits, 64 to a plane, the first in the lowest bit.

    values: (e, bits). Written: codes (planes, e) uint64.
    """
    for plane in range(codes.shape[0]):
        bits = min(64, values.shape[1] - 64 * plane)
        for entry in range(values.shape[0]):
            code = np.uint64(0)
            for bit in range(bits):
                if values[entry, 64 * plane + bit] > 0:
                    code |= np.uint64(1) << np.uint64(bit)
            codes[plane, entry] = code


@kernel
def vote_codes(starts, ends, query_codes, query_weights, table, photo_ids, codes, distances, scores):
    """Add what each signature of the query is worth to the photos that hold its word.

    starts, ends: (q,) int64, of locate_lists. query_codes: (planes, q) uint64. query_weights: (q,) float32.
    table: (64 · planes + 1,) float32, by Hamming distance. photo_ids: (p,) uint16. codes: (planes, p) uint64.
    distances: (b,) uint16, scratch of any size. Written: scores (65536,) float32, added to.
    """
    for i in range(starts.shape[0]):
        weight = query_weights[i]
        for first in range(starts[i], ends[i], distances.shape[0]):
            count = min(ends[i] - first, distances.shape[0])
            # All distances of a block first, so that several are counted at a time.
            code = query_codes[0, i]
            for posting in range(count):
                distances[posting] = count_ones(codes[0, first + posting] ^ code)
            for plane in range(1, codes.shape[0]):
                code = query_codes[plane, i]
                for posting in range(count):
                    distances[posting] += np.uint16(count_ones(codes[plane, first + posting] ^ code))
            for posting in range(count):
                scores[photo_ids[first + posting]] += weight * table[distances[posting]]


@kernel
def vote_runs(
    starts,
    ends,
    code_starts,
    query_codes,
    query_weights,
    table,
    burstiness,
    photo_ids,
    frequencies,
    codes,
    scores,
):
    """vote_codes for signatures of single features: a posting has as many as its frequency says.

    starts, ends: (q,) int64, of the postings. code_starts: (q,) int64, where their signatures start.
    burstiness: bool, whether the n signatures of a posting that count are worth the √n-th part each.
    frequencies: (p,) uint8. codes: (planes, s) uint64. The rest as for vote_codes.
    """
    for i in range(starts.shape[0]):
        row = code_starts[i]
        for posting in range(starts[i], ends[i]):
            worth = np.float32(0)
            matches = 0
            for _ in range(frequencies[posting]):
                distance = 0
                for plane in range(codes.shape[0]):
                    distance += np.int64(count_ones(codes[plane, row] ^ query_codes[plane, i]))
                worth += table[distance]
                matches += table[distance] != 0
                row += 1
            if burstiness and matches > 1:
                worth /= np.float32(np.sqrt(matches))
            scores[photo_ids[posting]] += query_weights[i] * worth


@kernel
def add_self_similarities(
    words, offsets, code_offsets, photo_ids, frequencies, codes, word_weights, table, squares
):
    """Sum what each photo's signatures of single features are worth with each other.

    words: (u,) uint32, ascending. offsets: (u + 1,) uint64 into photo_ids (p,) uint16 and frequencies (p,)
    uint8. code_offsets: (u + 1,) uint64 into codes (planes, s) uint64, those of the postings in order.
    word_weights: (all words,) float32. table: as for vote_codes. Written: squares (n,) float64, added to.
    Returns whether each word has as many codes as its frequencies say, and stops where it has not.
    """
    for i in range(words.shape[0]):
        weight = np.float64(word_weights[words[i]])
        row = np.int64(code_offsets[i])
        last = np.int64(code_offsets[i + 1])
        for posting in range(offsets[i], offsets[i + 1]):
            end = row + np.int64(frequencies[posting])
            if end > last:
                return False
            for first in range(row, end):
                for second in range(row, end):
                    distance = 0
                    for plane in range(codes.shape[0]):
                        distance += np.int64(count_ones(codes[plane, first] ^ codes[plane, second]))
                    squares[photo_ids[posting]] += weight * np.float64(table[distance])
            row = end
        if row != last:
            return False
    return True
