"""The inverted files of others: the package asmk and a sparse matrix of scipy (pip install ".[bench]")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from asmk.codebook import Codebook
from asmk.inverted_file import IVF
from asmk.kernel import ASMKKernel
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from handcraft.index.bow import BowQuery, BowScorer
from handcraft.index.collection import Collection


class Asmk:
    """asmk with given centroids, α and τ, binary and without idf."""

    def __init__(self, centroids: NDArray[np.generic], alpha: float, tau: float) -> None:
        codebook = Codebook(None, size=len(centroids))
        codebook.centroids = centroids.astype(np.float32)
        self.kernel = ASMKKernel(codebook, binary=True)
        self.lists = IVF.initialize_empty(codebook_size=len(centroids), use_idf=False)
        self.selectivity = {"alpha": alpha, "similarity_threshold": tau}

    def add(self, descriptors: Sequence[NDArray[np.generic]], words: Sequence[NDArray[np.int32]]) -> None:
        """Add photos with the words (n, 1) of their descriptors (n, d), by asmk's own means."""
        ids = self.lists.n_images + np.repeat(np.arange(len(words)), [len(each) for each in words])
        every = np.concatenate(descriptors).astype(np.float32)
        self.lists.add(*self.kernel.aggregate(every, np.concatenate(words), ids))

    def fill(self, collection: Collection) -> None:
        """Take over the lists of a collection, copied."""
        lists = self.lists
        for segment, start in zip(collection.segments, collection.starts, strict=False):
            assert segment.signatures is not None
            columns = (
                (lists.ivf_vecs, _in_order_of_asmk(segment.signatures.codes)),
                (lists.ivf_image_ids, segment.postings.photo_ids + start),
            )
            bounds = segment.postings.offsets.tolist()
            for word, low, high in zip(segment.postings.words.tolist(), bounds, bounds[1:], strict=False):
                for column, rows in columns:
                    known = column[word]
                    column[word] = rows[low:high] if known is None else np.append(known, rows[low:high], 0)
                lists.counts[word] += high - low
            lists.norm_factor = np.append(lists.norm_factor, segment.signatures.entries)
            lists.n_images += len(segment)

    def aggregate(self, descriptors: NDArray[np.float32], words: NDArray[np.int32]) -> Any:
        """A query's signatures and their words."""
        return self.kernel.aggregate_image(descriptors, words)

    def search(self, aggregated: Any, top: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best photos and their scores."""

        def similarity(*arguments: Any) -> Any:
            return self.kernel.similarity(*arguments, **self.selectivity)

        ranks, scores = self.lists.search(*aggregated, topk=top, similarity_func=similarity)
        return ranks, scores


def _in_order_of_asmk(codes: NDArray[np.generic]) -> NDArray[np.uint32]:
    """Signatures (planes, e) as asmk has them, (e, bits / 32), each word filled from its highest bit."""
    table = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"))
    return table[np.ascontiguousarray(codes.T).view(np.uint8)].view(">u4").astype(np.uint32)


class SparseMatrix:
    """The tf-idf vectors of a collection of one segment as the rows of a matrix stored by columns."""

    def __init__(self, scorer: BowScorer) -> None:
        postings = scorer.collection.segments[0].postings
        counts = np.zeros(scorer.collection.vocabulary_size, np.int64)
        counts[postings.words] = np.diff(postings.offsets).astype(np.int64)
        values = scorer.term_weights[postings.frequencies] * np.repeat(scorer.idf, counts)
        values *= scorer.scales[0][postings.photo_ids]
        ends = np.concatenate([[0], np.cumsum(counts)])
        shape = (len(scorer.collection), len(counts))
        self.matrix = csc_matrix((values, postings.photo_ids.astype(np.int32), ends), shape, np.float32)

    @property
    def bytes(self) -> int:
        """Of its arrays."""
        return int(self.matrix.data.nbytes + self.matrix.indices.nbytes + self.matrix.indptr.nbytes)

    def search(self, query: BowQuery, top: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The best photos and their scores."""
        scores = self.matrix[:, query.words] @ query.weights
        found = np.argpartition(-scores, top)[:top]
        found = found[np.argsort(-scores[found], kind="stable")]
        return found, scores[found]
