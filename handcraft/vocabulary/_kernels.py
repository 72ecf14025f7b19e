"""The hot loops of vocabulary training and assignment; the callers validate, cast and allocate.

All of them meet centroids in panels (panels.py) and build on one primitive, the products of a few
descriptors with a few panels. Numba's loops do not become the instruction that multiplies and adds
four bytes at once, so the primitive is written in LLVM's terms: the processor's own instruction
where there is one, and otherwise the same integers from plain vector arithmetic.

A cost is ‖c‖² − 2·x·c', with c' the centroid as its panel stores it; it orders the centroids of a
descriptor as distance does. Costs are int32 for uint8 descriptors, else float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from handcraft.compilation import kernel

LANES = 16  # centroids of a panel: the 32-bit lanes of a 512-bit register
TILE = 4  # descriptors, and panels, that share the registers of one call

_INT8, _INT16, _INT32, _INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOAT = ir.FloatType()


def _vector(element: Any, count: int) -> Any:
    return ir.VectorType(element, count)


def _repeat(builder: Any, value: Any, count: int) -> Any:
    """A vector with the scalar `value` in each of its lanes."""
    undefined = ir.Constant(_vector(value.type, count), ir.Undefined)
    first = builder.insert_element(undefined, value, _INT32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_vector(_INT32, count), [0] * count))


def _add_neighbours(builder: Any, values: Any) -> Any:
    """The sums of lanes 0 and 1, 2 and 3 …: half as many lanes."""
    count = values.type.count
    even, odd = (ir.Constant(_vector(_INT32, count // 2), list(range(first, count, 2))) for first in (0, 1))
    return builder.add(
        builder.shuffle_vector(values, values, even), builder.shuffle_vector(values, values, odd)
    )


class _FloatProducts:
    """total + x·c for one dimension of 16 centroids, rounded twice: the same bits with and without
    fused multiply-add."""

    element = _FLOAT

    def step(self, builder: Any, total: Any, value: Any, panel: Any) -> Any:
        return builder.fadd(total, builder.fmul(_repeat(builder, value, LANES), panel))

    def cost(self, builder: Any, norms: Any, total: Any) -> Any:
        return builder.fsub(builder.fsub(norms, total), total)


class _ByteProducts:
    """total + x·c' for four dimensions of 16 centroids; x unsigned, c' signed bytes. LLVM makes it
    vpmaddwd where there is that."""

    element = _INT32

    def step(self, builder: Any, total: Any, value: Any, panel: Any) -> Any:
        bytes_, wide = _vector(_INT8, 4 * LANES), _vector(_INT32, 4 * LANES)
        unsigned = builder.zext(builder.bitcast(_repeat(builder, value, LANES), bytes_), wide)
        products = builder.mul(unsigned, builder.sext(builder.bitcast(panel, bytes_), wide))
        return builder.add(total, _add_neighbours(builder, _add_neighbours(builder, products)))

    def cost(self, builder: Any, norms: Any, total: Any) -> Any:
        return builder.sub(builder.sub(norms, total), total)


class _VnniByteProducts(_ByteProducts):
    """The same by the one instruction that multiplies and adds four bytes a lane."""

    def step(self, builder: Any, total: Any, value: Any, panel: Any) -> Any:
        kind = ir.FunctionType(total.type, [total.type] * 3)
        name = "llvm.x86.avx512.vpdpbusd.512"
        instruction = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(instruction, [total, _repeat(builder, value, LANES), panel])


def _multiplier(dtype: Any, features: str) -> _FloatProducts | _ByteProducts:
    """How this processor multiplies descriptors of this type with panels fastest."""
    if dtype != types.uint8:
        return _FloatProducts()
    return _VnniByteProducts() if "+avx512vnni" in features else _ByteProducts()


def _costs(rows: int, panels: int) -> Callable[..., Any]:
    """A primitive that writes the costs of `panels` panels for `rows` descriptors.

    Its arguments: descriptors (n, w) uint8 or float32, the first row; panels (p, s, 16, pack) int8 or
    float32, the first panel; norms (16·p,) int32 or float32; out (rows, at least 16·panels), contiguous.
    Nothing is checked: w = s·pack, and rows and panels must be there.
    """

    @intrinsic
    def costs(typing_context, descriptors, first_row, panel_array, first_panel, norms, out):
        return types.void(descriptors, first_row, panel_array, first_panel, norms, out), generate

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row_array, panel_array, norm_array, out_array = (
            context.make_array(signature.args[place])(context, builder, arguments[place])
            for place in (0, 2, 4, 5)
        )
        multiplier = _multiplier(signature.args[0].dtype, context.codegen().magic_tuple()[2])
        element, lanes = multiplier.element, _vector(multiplier.element, LANES)

        def address(array: Any, number: Any, offset: Any) -> Any:
            """Where a row, panel or number of an array starts, `offset` bytes later."""
            data = builder.bitcast(array.data, _INT8.as_pointer())
            stride = builder.extract_value(array.strides, 0)
            return builder.gep(data, [builder.add(builder.mul(number, stride), offset)])

        def load(place: Any, kind: Any) -> Any:
            return builder.load(builder.bitcast(place, kind.as_pointer()), align=1)

        row_numbers = [builder.add(arguments[1], _INT64(r)) for r in range(rows)]
        panel_numbers = [builder.add(arguments[3], _INT64(p)) for p in range(panels)]
        zero = ir.Constant(lanes, [element(0)] * LANES)
        totals = [[cgutils.alloca_once(builder, lanes) for _ in panel_numbers] for _ in row_numbers]
        for total in (total for row in totals for total in row):
            builder.store(zero, total)
        with cgutils.for_range(builder, builder.extract_value(panel_array.shape, 1)) as loop:
            # A step is 4 bytes of a row, four uint8 or one float32, and 64 bytes of a panel.
            row_offset = builder.mul(loop.index, _INT64(4))
            panel_offset = builder.mul(loop.index, _INT64(4 * LANES))
            panel_values = [load(address(panel_array, p, panel_offset), lanes) for p in panel_numbers]
            for number, row_totals in zip(row_numbers, totals, strict=True):
                value = load(address(row_array, number, row_offset), element)
                for panel_value, total in zip(panel_values, row_totals, strict=True):
                    after = multiplier.step(builder, builder.load(total), value, panel_value)
                    builder.store(after, total)
        for r, row_totals in enumerate(totals):
            for p, (number, total) in enumerate(zip(panel_numbers, row_totals, strict=True)):
                norms = load(address(norm_array, builder.mul(number, _INT64(LANES)), _INT64(0)), lanes)
                cost = multiplier.cost(builder, norms, builder.load(total))
                place = address(out_array, _INT64(r), _INT64(4 * LANES * p))
                builder.store(cost, builder.bitcast(place, lanes.as_pointer()), align=1)
        return context.get_dummy_value()

    return costs


_costs_1x1 = _costs(1, 1)
_costs_1x4 = _costs(1, TILE)
_costs_4x1 = _costs(TILE, 1)
_costs_4x4 = _costs(TILE, TILE)


@kernel
def keep_nearest(node, cost, nodes, costs, size):
    """Insert a node into the list of the nearest so far, ordered by (cost, node); return its size.

    nodes (b,) and costs (b,) hold `size` ≤ b entries. A full list drops its last entry.
    """
    if size < nodes.shape[0]:
        size += 1
    elif cost > costs[size - 1] or (cost == costs[size - 1] and node >= nodes[size - 1]):
        return size
    place = size - 1
    while place > 0 and (cost < costs[place - 1] or (cost == costs[place - 1] and node < nodes[place - 1])):
        nodes[place] = nodes[place - 1]
        costs[place] = costs[place - 1]
        place -= 1
    nodes[place] = node
    costs[place] = cost
    return size


@kernel
def order_by_node(nodes, sizes, places, order):
    """Put the entries of all lists in the order of their nodes, so that a node's children, which
    many descriptors share, are read from memory once.

    nodes: (n, b) int32, of which the first sizes[i] of row i count. places: (last node + 2,) int64
    work space, zero. Written: order (Σ sizes,) int64, places in the flattened nodes.
    """
    width = nodes.shape[1]
    for i in range(nodes.shape[0]):
        for entry in range(sizes[i]):
            places[nodes[i, entry] + 1] += 1
    for node in range(1, places.shape[0]):
        places[node] += places[node - 1]
    for i in range(nodes.shape[0]):
        for entry in range(sizes[i]):
            node = nodes[i, entry]
            order[places[node]] = i * width + entry
            places[node] += 1


@kernel
def descend_level(
    descriptors,
    panels,
    norms,
    first_child,
    child_counts,
    order,
    nodes,
    costs,
    tile,
    next_nodes,
    next_costs,
    next_sizes,
):
    """Take each descriptor's nodes one level down: keep the nearest of all their children.

    descriptors: (n, w). panels: (p, s, 16, pack); norms: (16·p,); of all nodes. first_child,
    child_counts: (m,) integers; a leaf has no children and stays in the list. order: (e,) int64, places
    in nodes and costs (n, b), the lists of this level. tile: (1, 64) work space.
    Written: next_nodes, next_costs (n, b), the lists of the next level; next_sizes (n,) int64, zero
    before.
    """
    width = nodes.shape[1]
    beam = next_nodes.shape[1]
    for entry in order:
        i = entry // width
        node = nodes[i, entry % width]
        kept_nodes = next_nodes[i]
        kept_costs = next_costs[i]
        size = next_sizes[i]
        if child_counts[node] == 0:
            next_sizes[i] = keep_nearest(node, costs[i, entry % width], kept_nodes, kept_costs, size)
            continue
        first = np.int64(first_child[node])
        last = first + np.int64(child_counts[node])
        panel = first // LANES
        while panel * LANES < last:
            wide = 1
            if (panel + 2) * LANES < last and panel + TILE <= panels.shape[0]:
                wide = TILE
                _costs_1x4(descriptors, i, panels, panel, norms, tile)
            else:
                _costs_1x1(descriptors, i, panels, panel, norms, tile)
            start = panel * LANES
            for child in range(max(first, start), min(last, start + wide * LANES)):
                cost = tile[0, child - start]
                if size < beam or cost <= kept_costs[size - 1]:
                    size = keep_nearest(child, cost, kept_nodes, kept_costs, size)
            panel += wide
        next_sizes[i] = size


@kernel
def assign_points(points, panels, norms, tile, best_costs, best_panels, labels, costs):
    """Give each point its nearest centroid; ties go to the lowest centroid.

    points: (n, w). panels: (p, s, 16, pack). norms: (16·p,), the largest number there is where a panel
    holds no centroid. tile: (4, 64), best_costs, best_panels: (r, 16) work space; r points, a multiple
    of 4, are handled at a time, so that they stay in the cache while all panels pass.
    Written: labels (n,) int32, costs (n,).
    """
    block = best_costs.shape[0]
    for start in range(0, points.shape[0], block):
        rows = min(block, points.shape[0] - start)
        panel = 0
        while panel < panels.shape[0]:
            wide = TILE if panel + TILE <= panels.shape[0] else 1
            i = 0
            while i < rows:
                tall = TILE if i + TILE <= rows else 1
                if tall == TILE and wide == TILE:
                    _costs_4x4(points, start + i, panels, panel, norms, tile)
                elif tall == TILE:
                    _costs_4x1(points, start + i, panels, panel, norms, tile)
                elif wide == TILE:
                    _costs_1x4(points, start + i, panels, panel, norms, tile)
                else:
                    _costs_1x1(points, start + i, panels, panel, norms, tile)
                for row in range(tall):
                    for part in range(wide):
                        for lane in range(LANES):
                            cost = tile[row, part * LANES + lane]
                            if panel + part == 0 or cost < best_costs[i + row, lane]:
                                best_costs[i + row, lane] = cost
                                best_panels[i + row, lane] = panel + part
                i += tall
            panel += wide
        for i in range(rows):
            best = np.int64(best_panels[i, 0] * LANES)
            cost = best_costs[i, 0]
            for lane in range(1, LANES):
                number = np.int64(best_panels[i, lane] * LANES + lane)
                if best_costs[i, lane] < cost or (best_costs[i, lane] == cost and number < best):
                    best, cost = number, best_costs[i, lane]
            labels[start + i] = best
            costs[start + i] = cost


@kernel
def add_points(points, labels, sums, counts):
    """Add each point to its cluster's sum.

    points: (n, d). labels: (n,) int32. Written: sums (k, d) and counts (k,) int64, both added to.
    """
    for i in range(points.shape[0]):
        label = labels[i]
        counts[label] += 1
        for dimension in range(points.shape[1]):
            sums[label, dimension] += points[i, dimension]


@kernel
def approach(sample, centre, panels, norms, centring, tile, nearest, nearer):
    """What the squared distances of a sample's points to their nearest centroid become with another.

    sample: (n, w), of which row `centre` is the other centroid, `centring` its centring; panels, norms:
    the same points in panels. tile: (1, 64) work space. nearest: (16·p,) float64. Written: nearer
    (16·p,) float64. Returns the sum of the new distances.
    """
    points = sample.shape[0]
    total = 0.0
    panel = 0
    while panel < panels.shape[0]:
        wide = TILE if panel + TILE <= panels.shape[0] else 1
        if wide == TILE:
            _costs_1x4(sample, centre, panels, panel, norms, tile)
        else:
            _costs_1x1(sample, centre, panels, panel, norms, tile)
        start = panel * LANES
        for i in range(start, min(points, start + wide * LANES)):
            distance = np.float64(tile[0, i - start]) + np.float64(centring)
            nearer[i] = max(0.0, min(nearest[i], distance))
            total += nearer[i]
        panel += wide
    return total


@kernel
def draw(weights, count, uniform, total):
    """The place among the first `count` weights at which their sum exceeds uniform · total; never one
    without weight, as long as there is one with."""
    passed = 0.0
    choice = np.int64(-1)
    for i in range(count):
        if weights[i] > 0:
            passed += weights[i]
            choice = i
            if passed > uniform * total:
                break
    return choice


@kernel
def choose_starts(sample, panels, norms, centrings, uniforms, tile, work, chosen):
    """The k-means++ start (Arthur & Vassilvitskii 2007): each next centroid is a point of the sample,
    drawn in proportion to its squared distance to the nearest one chosen before.

    Of several such candidates the one that leaves the smallest sum of distances is taken.
    sample: (n, w); panels, norms: the same points in panels. centrings: (n,), what a point's costs lack
    of squared distances. uniforms: (k, candidates) float64 in [0, 1). tile: (1, 64), work: (3, 16·p)
    float64 work space. Written: chosen (k,) int64, places in the sample.
    Returns how many were chosen: fewer than k where the sample has no more distinct points.
    """
    points = sample.shape[0]
    nearest, best, trial = work[0], work[1], work[2]
    for i in range(points):
        nearest[i] = np.inf
    chosen[0] = min(np.int64(uniforms[0, 0] * points), points - 1)
    total = approach(sample, chosen[0], panels, norms, centrings[chosen[0]], tile, nearest, nearest)
    for number in range(1, chosen.shape[0]):
        if total <= 0:
            return number
        least = np.inf
        for candidate in range(uniforms.shape[1]):
            place = draw(nearest, points, uniforms[number, candidate], total)
            left = approach(sample, place, panels, norms, centrings[place], tile, nearest, trial)
            if left < least:
                least = left
                chosen[number] = place
                best, trial = trial, best
        nearest, best = best, nearest
        total = least
    return chosen.shape[0]


@kernel
def fill_panels(centroids, offset, panels, norms):
    """Put centroids (k, d) into panels (⌈k/16⌉, s, 16, pack), less `offset`, and their ‖c‖² into norms
    (at least k,). What is no centroid's is left as it is."""
    pack = panels.shape[3]
    for number in range(centroids.shape[0]):
        panel = number // LANES
        lane = number % LANES
        norm = 0.0
        for dimension in range(centroids.shape[1]):
            value = np.float64(centroids[number, dimension])
            norm += value * value
            panels[panel, dimension // pack, lane, dimension % pack] = value - offset
        norms[number] = norm


@kernel
def hash_rows(rows, seed, hashes):
    """A 64-bit hash of each row's content, by the finaliser of SplitMix64 (Steele et al. 2014).

    rows: (n, w) uint64. seed: uint64. Written: hashes (n,) uint64.
    """
    for i in range(rows.shape[0]):
        value = seed * np.uint64(0xD1342543DE82EF95)  # an odd number: seeds 1, 2 … differ in all bits
        for place in range(rows.shape[1]):
            value = (value ^ rows[i, place]) + np.uint64(0x9E3779B97F4A7C15)
            value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            value = value ^ (value >> np.uint64(31))
        hashes[i] = value
