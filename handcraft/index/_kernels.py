"""The hot loops of postings, signatures and voting; the callers validate, cast and allocate."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from handcraft.compilation import count_ones, kernel

MAX_FREQUENCY = 255  # term frequencies are uint8 and saturate
SIGNATURES = 8  # uint64 of a line of the cache, and of a 512-bit register
LINE = 32  # photo ids of a line of the cache
AHEAD = 32  # lines that a scan asks the memory for before it needs them


@intrinsic
def count_differences(
    typing_context: Any, codes: Any, place: Any, query_codes: Any, i: Any, distances: Any
) -> Any:
    """Write the Hamming distances of eight consecutive signatures from one of a query.

    codes, query_codes: a tuple of planes, each (p,) and (q,) uint64. Read: codes from place to place + 7,
    query_codes at i. Written: distances (8,) uint64. Numba's loops over eight become eight instructions.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lane, eight = ir.IntType(64), ir.VectorType(ir.IntType(64), SIGNATURES)
        count = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(eight, [eight]), f"llvm.ctpop.v{SIGNATURES}i64"
        )

        def address(kind: Any, array: Any, offset: Any) -> Any:
            return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])

        def repeated(value: Any) -> Any:
            undefined = ir.Constant(eight, ir.Undefined)
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), SIGNATURES), [0] * SIGNATURES)
            first = builder.insert_element(undefined, value, ir.IntType(32)(0))
            return builder.shuffle_vector(first, undefined, lanes)

        total = ir.Constant(eight, [0] * SIGNATURES)
        kinds = signature.args[0].dtype, signature.args[2].dtype
        planes = zip(*(cgutils.unpack_tuple(builder, arguments[k]) for k in (0, 2)), strict=True)
        for plane, query_plane in planes:
            start = builder.bitcast(address(kinds[0], plane, arguments[1]), eight.as_pointer())
            code = builder.load(address(kinds[1], query_plane, arguments[3]))
            different = builder.xor(builder.load(start, align=8), repeated(code))
            total = builder.add(total, builder.call(count, [different]))
        written = address(signature.args[4], arguments[4], lane(0))
        builder.store(total, builder.bitcast(written, eight.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(codes, types.int64, query_codes, types.int64, distances), generate


@intrinsic
def larger(typing_context: Any, values: Any, others: Any, place: Any) -> Any:
    """Which of 64 values from a place on are larger than the others there, the first in the lowest bit of a
    uint64.

    values, others: one-dimensional, of one dtype. Numba's loops do not become these few instructions.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = signature.args[0].dtype
        lanes = ir.VectorType(context.get_value_type(number), 64)

        def load(k: int) -> Any:
            data = context.make_array(signature.args[k])(context, builder, arguments[k]).data
            start = builder.gep(data, [arguments[2]])
            return builder.load(builder.bitcast(start, lanes.as_pointer()), align=1)

        if isinstance(number, types.Float):
            compared = builder.fcmp_ordered(">", load(0), load(1))
        elif number.signed:
            compared = builder.icmp_signed(">", load(0), load(1))
        else:
            compared = builder.icmp_unsigned(">", load(0), load(1))
        return builder.bitcast(compared, ir.IntType(64))

    return types.uint64(values, others, types.int64), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, place: Any) -> Any:
    """Ask the memory for an element of an array that will be read soon; harmless beyond its end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        read, keep, of_data = flag(0), flag(3), flag(1)
        builder.call(function, [address, read, keep, of_data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@kernel
def next_posting(starts, ends, i, place):
    """The list and the place that follow when the reader of lists stands at `place` of list i: these, or the
    start of the next list that is not empty.

    starts, ends: (q,) int64, of locate_lists. A reader starts at list −1. Gives i = q after the last list.
    """
    while i < starts.shape[0] and (i < 0 or place >= ends[i]):
        i += 1
        if i < starts.shape[0]:
            place = starts[i]
    return i, place


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
    Written: sums (n + 1,) float64, added to; the last one is of ids that no photo has.
    """
    strangers = np.int64(sums.shape[0] - 1)
    for i in range(words.shape[0]):
        weight = word_weights[words[i]]
        for posting in range(offsets[i], offsets[i + 1]):
            sums[min(np.int64(photo_ids[posting]), strangers)] += weight * term_weights[frequencies[posting]]


@kernel
def vote(starts, ends, query_weights, photo_ids, frequencies, term_weights, scores):
    """Add each query word's weight to the photos that hold the word.

    starts, ends: (q,) int64, of locate_lists. query_weights: (q,) float32, idf of both sides included.
    photo_ids, frequencies: as for add_weights. term_weights: (256,) float32, by frequency.
    Written: scores (n + 1,) float32, added to; the last one is of ids that no photo has.
    """
    strangers = np.int64(scores.shape[0] - 1)
    reader, place, lead = -1, 0, 0
    for i in range(starts.shape[0]):
        weight = query_weights[i]
        for first in range(starts[i], ends[i], LINE):
            while lead < AHEAD:
                reader, place = next_posting(starts, ends, reader, place)
                if reader < starts.shape[0]:
                    prefetch(photo_ids, place)
                    prefetch(frequencies, place)
                place += LINE
                lead += 1
            lead -= 1
            for posting in range(first, min(first + LINE, ends[i])):
                photo = min(np.int64(photo_ids[posting]), strangers)
                scores[photo] += weight * term_weights[frequencies[posting]]


@kernel
def vote_shared(
    starts, ends, query_weights, word_weights, photo_ids, frequencies, term_weights, scales, scores
):
    """Add what the query and each photo share of a word's weight, the lesser of both.

    query_weights: (q,) float32, their sum 1 at the most. word_weights: (q,) float32, idf. scales: (n + 1,)
    float32, 1 over the sum of each photo's weights. The rest as for vote.
    """
    strangers = np.int64(scores.shape[0] - 1)
    for i in range(starts.shape[0]):
        weight = query_weights[i]
        for posting in range(starts[i], ends[i]):
            photo = min(np.int64(photo_ids[posting]), strangers)
            of_photo = word_weights[i] * term_weights[frequencies[posting]] * scales[photo]
            scores[photo] += min(weight, of_photo)


@kernel
def fill_slots(words, bits, ranks):
    """Write where the words of a segment stand among each other, 64 words of the vocabulary to a slot.

    words: (u,) uint32, ascending, below 64 · slots. Written: bits (slots,) uint64, zeros before: which words
    there are, the first in the lowest bit. ranks (slots,) uint32: the words of all slots before.
    """
    i = 0
    for slot in range(bits.shape[0]):
        ranks[slot] = i
        while i < words.shape[0] and words[i] >> np.uint32(6) == slot:
            bits[slot] |= np.uint64(1) << np.uint64(words[i] & np.uint32(63))
            i += 1


@kernel
def locate_lists(query_words, bits, ranks, offsets, starts, ends):
    """Find the postings, or what else the words of a segment have, of each word of a query.

    query_words: (q,) uint32. bits, ranks: of fill_slots. offsets: (u + 1,) uint64.
    Written: starts, ends (q,) int64, equal where the segment has no such word.
    """
    for i in range(query_words.shape[0]):
        slot = query_words[i] >> np.uint32(6)
        bit = np.uint64(1) << np.uint64(query_words[i] & np.uint32(63))
        starts[i] = 0
        ends[i] = 0
        if slot < bits.shape[0] and bits[slot] & bit:
            word = np.int64(ranks[slot]) + np.int64(count_ones(bits[slot] & (bit - np.uint64(1))))
            starts[i] = offsets[word]
            ends[i] = offsets[word + 1]


@kernel
def locate_signatures(words, starts, ends, firsts, photo, single, photo_ids, frequencies, rows):
    """Find the signature of each of a photo's features.

    words: (f,) uint32, ascending. starts, ends: (f,) int64, of locate_lists. firsts: (f,) int64, where the
    signatures of each word start. photo: its id. single: whether every feature has a signature of its own;
    else every posting has one. photo_ids, frequencies: as for add_weights.
    Written: rows (f,) int64. Returns whether all words have a posting of the photo.
    """
    low, of_word = np.int64(0), 0  # the posting, and the features of the same word before
    for feature in range(words.shape[0]):
        if feature and words[feature] == words[feature - 1]:
            of_word += 1
            step = single and of_word < frequencies[low]
            rows[feature] = rows[feature - 1] + step
            continue
        of_word = 0
        low, high = starts[feature], ends[feature]
        while low < high:
            middle = (low + high) // 2
            if photo_ids[middle] < photo:
                low = middle + 1
            else:
                high = middle
        if low == ends[feature] or photo_ids[low] != photo:
            return False
        rows[feature] = low
        if single:
            rows[feature] = firsts[feature]
            for posting in range(starts[feature], low):
                rows[feature] += frequencies[posting]
    return True


@kernel
def choose_words(words, wanted, chosen):
    """Find the features that have a wanted word.

    words: (f,) uint32. wanted: (w,) bool, of each word of the vocabulary; no others are wanted. Written:
    chosen (n,) int64, their places, as many as there are; room for f. Returns n.
    """
    count = 0
    for feature in range(words.shape[0]):
        word = words[feature]
        if word < wanted.shape[0] and wanted[word]:
            chosen[count] = feature
            count += 1
    return count


@kernel
def add_residual(descriptor, centroid, fresh, residual):
    """Add what is left of a descriptor (d,) when a centroid (d,) is subtracted to a residual (d,) or longer;
    a fresh one is overwritten."""
    if fresh:
        for i in range(descriptor.shape[0]):
            residual[i] = descriptor[i]
            residual[i] -= centroid[i]
    else:
        for i in range(descriptor.shape[0]):
            residual[i] += descriptor[i]
            residual[i] -= centroid[i]


@kernel
def sum_residuals(order, words, descriptors, centroids, aggregated, residuals):
    """Sum what is left of the descriptors of each word when its centroid is subtracted.

    order: (f,) int64, the rows of a photo's features by word. words: (f,) int64, ascending, rows of
    centroids (w, d). descriptors: (f, d). aggregated: bool, False gives every feature a row of its own.
    Written: residuals (e, d) int32 or float32, in the order of the words. Returns e.
    """
    entry = -1
    for feature in range(order.shape[0]):
        fresh = not aggregated or feature == 0 or words[feature] != words[feature - 1]
        entry += fresh
        add_residual(descriptors[order[feature]], centroids[words[feature]], fresh, residuals[entry])
    return entry + 1


@kernel
def sign_residuals(order, words, descriptors, centroids, aggregated, sums, places, codes):
    """sum_residuals and pack_signs in one: write the signs of the sums that a photo's words have.

    sums: (2, 64 · planes) int32 or float32, zeros; the first row is scratch. places: (w,) int64, where the
    next signature of each word goes; advanced. Written: codes (planes, s) uint64. The rest as for
    sum_residuals.
    """
    count = order.shape[0]
    full_planes = sums.shape[1] == descriptors.shape[1]
    total, nothing = sums[0], sums[1]
    for feature in range(count):
        word = words[feature]
        following = min(feature + SIGNATURES, count - 1)
        for i in range(0, centroids.shape[1], 64 // centroids.itemsize):
            prefetch(centroids[words[following]], i)
            prefetch(descriptors[order[following]], i)
        first = not aggregated or feature == 0 or word != words[feature - 1]
        last = not aggregated or feature + 1 == count or word != words[feature + 1]
        if first and last and full_planes:  # no sum is needed
            descriptor, centroid = descriptors[order[feature]], centroids[word]
            for plane in range(codes.shape[0]):
                codes[plane, places[word]] = larger(descriptor, centroid, 64 * plane)
            places[word] += 1
        else:
            add_residual(descriptors[order[feature]], centroids[word], first, total)
            if last:
                for plane in range(codes.shape[0]):
                    codes[plane, places[word]] = larger(total, nothing, 64 * plane)
                places[word] += 1


@kernel
def pack_signs(values, words, rows, places, codes):
    """Write which of the values are above zero as bits, 64 to a plane, the first in the lowest bit.

    values: (e, bits). words: (e,) int64, of each. rows: (2, 64 · planes) of the values' dtype, zeros; the
    first is scratch. places: (w,) int64, where the next signature of each word goes; advanced.
    Written: codes (planes, s) uint64.
    """
    row, nothing = rows[0], rows[1]
    for entry in range(values.shape[0]):
        for i in range(values.shape[1]):
            row[i] = values[entry, i]
        for plane in range(codes.shape[0]):
            codes[plane, places[words[entry]]] = larger(row, nothing, 64 * plane)
        places[words[entry]] += 1


@kernel
def vote_codes(starts, ends, query_codes, query_weights, table, photo_ids, codes, distances, scores):
    """Add what each signature of the query is worth to the photos that hold its word.

    starts, ends: (q,) int64, of locate_lists. query_codes: a tuple of planes, each (q,) uint64.
    query_weights: (q,) float32. table: (64 · planes + 1,) float32, by Hamming distance. photo_ids: (p,)
    uint16. codes: a tuple of planes, each (p,) uint64: their number is then known to the compiler.
    distances: (8,) uint64, scratch. Written: scores (n + 1,) float32, added to; the last one is of ids that
    no photo has.
    """
    strangers = np.int64(scores.shape[0] - 1)
    last_group = max(0, codes[0].shape[0] - SIGNATURES)
    reader, place, lead = -1, 0, 0
    for i in range(starts.shape[0]):
        weight = query_weights[i]
        for first in range(starts[i], ends[i], SIGNATURES):
            while lead < AHEAD:
                reader, place = next_posting(starts, ends, reader, place)
                if reader < starts.shape[0]:
                    prefetch(photo_ids, place)
                    for plane in range(len(codes)):
                        prefetch(codes[plane], place)
                place += SIGNATURES
                lead += 1
            lead -= 1
            group, after = min(first, last_group), min(first + SIGNATURES, ends[i])
            if codes[0].shape[0] >= SIGNATURES:  # beyond the end of the list there are others
                count_differences(codes, group, query_codes, i, distances)
            else:
                for posting in range(first, after):
                    distances[posting] = 0
                    for plane in range(len(codes)):
                        distances[posting] += count_ones(codes[plane][posting] ^ query_codes[plane][i])
            for posting in range(first, after):
                photo = min(np.int64(photo_ids[posting]), strangers)
                scores[photo] += weight * table[distances[posting - group]]


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
    strangers = np.int64(scores.shape[0] - 1)
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
            scores[min(np.int64(photo_ids[posting]), strangers)] += query_weights[i] * worth


@kernel
def add_self_similarities(
    words, offsets, code_offsets, photo_ids, frequencies, codes, word_weights, table, squares
):
    """Sum what each photo's signatures of single features are worth with each other.

    words: (u,) uint32, ascending. offsets: (u + 1,) uint64 into photo_ids (p,) uint16 and frequencies (p,)
    uint8. code_offsets: (u + 1,) uint64 into codes (planes, s) uint64, those of the postings in order.
    word_weights: (all words,) float32. table: as for vote_codes. Written: squares (n + 1,) float64, added to;
    the last one is of ids that no photo has. Returns whether each word has as many codes as its frequencies
    say, and stops where it has not.
    """
    strangers = np.int64(squares.shape[0] - 1)
    for i in range(words.shape[0]):
        weight = np.float64(word_weights[words[i]])
        row = np.int64(code_offsets[i])
        last = np.int64(code_offsets[i + 1])
        for posting in range(offsets[i], offsets[i + 1]):
            photo = min(np.int64(photo_ids[posting]), strangers)
            end = row + np.int64(frequencies[posting])
            if end > last:
                return False
            for first in range(row, end):
                for second in range(row, end):
                    distance = 0
                    for plane in range(codes.shape[0]):
                        distance += np.int64(count_ones(codes[plane, first] ^ codes[plane, second]))
                    squares[photo] += weight * np.float64(table[distance])
            row = end
        if row != last:
            return False
    return True


@kernel
def multiply_rows(rows, query, products):
    """The products of whole numbers with each row.

    rows: (n, d) int8. query: (d,) int16, so small that no product overflows. Written: products (n,) int32.
    """
    ahead = 4  # rows
    for row in range(rows.shape[0]):
        following = min(row + ahead, rows.shape[0] - 1)
        for i in range(0, query.shape[0], 64):
            prefetch(rows[following], i)
        product = np.int32(0)
        for i in range(query.shape[0]):
            product += np.int32(rows[row, i]) * np.int32(query[i])
        products[row] = product
