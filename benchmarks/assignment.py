"""How often the beam search finds a descriptor's true nearest word, and what it costs."""

from __future__ import annotations

import numpy as np

from benchmarks.report import median_seconds, photo_paths, repeats_argument, report
from handcraft.features.extraction import extract_photos
from handcraft.options import FeatureOptions
from handcraft.vocabulary.assignment import BEAM, assign
from handcraft.vocabulary.files import read_vocabulary, shipped_vocabulary

DESCRIPTORS = 4000


def main() -> None:
    repeats = repeats_argument(__doc__, 5)
    photos = photo_paths("oxford1k/jpg")[::20]
    features = [
        extraction.features.descriptors
        for extraction in extract_photos(((path, path.name) for path in photos), FeatureOptions())
        if extraction.features is not None
    ]
    everything = np.concatenate(features)
    chosen = np.random.default_rng(0).choice(len(everything), DESCRIPTORS, replace=False)
    descriptors = np.ascontiguousarray(everything[chosen])
    tree = read_vocabulary(shipped_vocabulary())
    words = tree.centroids[tree.leaves].astype(np.float32)
    half_norms = (words**2).sum(axis=1) / 2
    nearest = np.concatenate(
        [np.argmin(half_norms - block @ words.T, axis=1) for block in np.array_split(descriptors * 1.0, 16)]
    )
    figures = {}
    for beam in (1, 2, 4, 6, 8, BEAM, 16):
        assigned = assign(descriptors, tree, beam=beam).words[:, 0]
        figures[f"beam {beam}"] = {
            "recall@1": round(float((assigned == nearest).mean()), 4),
            "µs a descriptor": round(
                1e6 * median_seconds(lambda: assign(descriptors, tree, beam=beam), repeats) / DESCRIPTORS,  # noqa: B023
                1,
            ),
        }
    report("assignment", {"descriptors": DESCRIPTORS, "words": tree.words, "repeats": repeats}, figures)


if __name__ == "__main__":
    main()
