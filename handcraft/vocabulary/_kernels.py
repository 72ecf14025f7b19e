"""The hot loops of vocabulary training and assignment; the callers validate, cast and allocate."""

from __future__ import annotations

import numpy as np

from handcraft.compilation import kernel


@kernel
def assign_and_accumulate(products, half_norms, points, labels, distances, sums, counts):
    """Give each point its nearest centroid and add the point to that centroid's sum.

    The nearest centroid minimises ``‖c‖²/2 − x·c``; ties go to the lowest centroid.

    products: (n, k) float32, x·c. half_norms: (k,) float32, ‖c‖²/2. points: (n, d), any dtype.
    Written: labels (n,) int32, distances (n,) float32 (``‖c‖²/2 − x·c`` of the nearest),
    sums (k, d) float64 and counts (k,) int64, both added to.
    """
    for i in range(products.shape[0]):
        best = np.int32(0)
        smallest = half_norms[0] - products[i, 0]
        for j in range(1, products.shape[1]):
            distance = half_norms[j] - products[i, j]
            if distance < smallest:
                smallest = distance
                best = np.int32(j)
        labels[i] = best
        distances[i] = smallest
        counts[best] += 1
        for dimension in range(points.shape[1]):
            sums[best, dimension] += points[i, dimension]


@kernel
def keep_nearest(node, distance, nodes, distances, size):
    """Insert a node into the list of the nearest so far, sorted by distance; return its new size.

    nodes (b,) and distances (b,) hold `size` ≤ b entries. A full list drops its last entry; among
    equals the earlier stays ahead.
    """
    if size < nodes.shape[0]:
        size += 1
    elif distance >= distances[size - 1]:
        return size
    place = size - 1
    while place > 0 and distance < distances[place - 1]:
        nodes[place] = nodes[place - 1]
        distances[place] = distances[place - 1]
        place -= 1
    nodes[place] = node
    distances[place] = distance
    return size


@kernel
def descend_uint8(descriptors, centroids, norms, first_child, child_count, beams, costs, leaves, distances):
    """Walk each descriptor from the root to the nearest leaf that a beam search finds.

    At every level the beam keeps the `b` nearest of the children of the nodes that it kept before;
    b = 1 is greedy descent. Distances are ‖c‖² − 2·x·c in int32; equals keep the order of the tree.

    descriptors: (n, d) uint8. centroids: (m, d) uint8, row i of node i; the root is node 0 and its
    row is never read. norms: (m,) int32, ‖c‖². first_child, child_count: (m,) integers; a leaf has no
    children. beams: (2, b) int64 and costs: (2, b) int32, work space.
    Written: leaves (n, k) int64, k ≤ b: the nearest leaves in order, −1 where the tree has fewer;
    distances (n, k) float32: their ‖c‖² − 2·x·c, 0 where there is no leaf.
    """
    dimensions = descriptors.shape[1]
    for i in range(descriptors.shape[0]):
        now = 0
        kept = 1
        beams[now, 0] = 0
        costs[now, 0] = 0
        inner_nodes = child_count[0] > 0
        while inner_nodes:
            inner_nodes = False
            after = 1 - now
            found = 0
            for entry in range(kept):
                node = beams[now, entry]
                first = first_child[node]
                if child_count[node] == 0:
                    found = keep_nearest(node, costs[now, entry], beams[after], costs[after], found)
                for child in range(first, first + child_count[node]):
                    # int16 factors and an int32 sum become one packed multiply-add (vpmaddwd).
                    product = np.int32(0)
                    for dimension in range(dimensions):
                        factor = np.int32(np.int16(descriptors[i, dimension]))
                        other = np.int32(np.int16(centroids[child, dimension]))
                        product = np.int32(product + np.int32(factor * other))
                    distance = np.int32(norms[child] - np.int32(2) * product)
                    found = keep_nearest(child, distance, beams[after], costs[after], found)
            for entry in range(found):
                if child_count[beams[after, entry]] > 0:
                    inner_nodes = True
            now = after
            kept = found
        for entry in range(leaves.shape[1]):
            leaves[i, entry] = beams[now, entry] if entry < kept else -1
            distances[i, entry] = costs[now, entry] if entry < kept else 0


@kernel
def descend_float32(descriptors, centroids, norms, first_child, child_count, beams, costs, leaves, distances):
    """The walk of :func:`descend_uint8` for float32 descriptors, centroids, norms and distances."""
    dimensions = descriptors.shape[1]
    for i in range(descriptors.shape[0]):
        now = 0
        kept = 1
        beams[now, 0] = 0
        costs[now, 0] = 0
        inner_nodes = child_count[0] > 0
        while inner_nodes:
            inner_nodes = False
            after = 1 - now
            found = 0
            for entry in range(kept):
                node = beams[now, entry]
                first = first_child[node]
                if child_count[node] == 0:
                    found = keep_nearest(node, costs[now, entry], beams[after], costs[after], found)
                for child in range(first, first + child_count[node]):
                    product = np.float32(0)
                    for dimension in range(dimensions):
                        product += descriptors[i, dimension] * centroids[child, dimension]
                    distance = norms[child] - np.float32(2) * product
                    found = keep_nearest(child, distance, beams[after], costs[after], found)
            for entry in range(found):
                if child_count[beams[after, entry]] > 0:
                    inner_nodes = True
            now = after
            kept = found
        for entry in range(leaves.shape[1]):
            leaves[i, entry] = beams[now, entry] if entry < kept else -1
            distances[i, entry] = costs[now, entry] if entry < kept else 0
