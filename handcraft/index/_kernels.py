"""The hot loops of building postings and voting; the callers validate, cast and allocate."""

from __future__ import annotations

import numpy as np

from handcraft.compilation import kernel

MAX_FREQUENCY = 255  # term frequencies are uint8 and saturate


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
def add_squares(words, offsets, photo_ids, frequencies, idf, term_weights, squares):
    """Sum the squared tf-idf weights of each photo's words, in order of the words.

    words: (u,) uint32, ascending. offsets: (u + 1,) uint64 into photo_ids (p,) uint16 and
    frequencies (p,) uint8. idf: (all words,) float32. term_weights: (256,) float32, by frequency.
    Written: squares (n,) float64, added to.
    """
    for i in range(words.shape[0]):
        weight = idf[words[i]]
        for posting in range(offsets[i], offsets[i + 1]):
            value = weight * term_weights[frequencies[posting]]
            squares[photo_ids[posting]] += np.float64(value) * np.float64(value)


@kernel
def vote(query_words, query_weights, words, offsets, photo_ids, frequencies, term_weights, scores):
    """Add each query word's weight to the photos that hold the word.

    query_words: (q,) uint32, ascending. query_weights: (q,) float32, idf of both sides included.
    words, offsets, photo_ids, frequencies, term_weights: as for add_squares.
    Written: scores (n,) float32, added to.
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
        if low < words.shape[0] and words[low] == word:
            weight = query_weights[i]
            for posting in range(offsets[low], offsets[low + 1]):
                scores[photo_ids[posting]] += weight * term_weights[frequencies[posting]]
