"""Extractors and descriptors for tests, and the names of those that come with handcraft."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handcraft.features.extractor import PatchDescriptor
from handcraft.features.plugins import EXTRACTORS, plugs

REGIONS = ("sift", "hessian-affine", "mser", "dense-sift")  # extractors that describe patches of regions


@dataclass(frozen=True)
class Patches(PatchDescriptor):
    """A descriptor of patches by a function."""

    side: int
    dimension: int
    dtype: str
    function: Callable[[NDArray[np.float32]], NDArray[np.generic]]

    def describe(self, patches: NDArray[np.float32]) -> NDArray[np.generic]:
        return self.function(patches)


def unknown_extractor(name: str) -> str:
    """The sentence about an extractor that there is not."""
    return f"There is no extractor {name!r}; the extractors are {', '.join(plugs(EXTRACTORS))}."


def write_package(folder: Path, name: str, entries: Mapping[str, Mapping[str, str]], source: str) -> Path:
    """Install a package of one module into a folder, which is to be on sys.path. entries: by their group,
    what in the module each name means."""
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, named in entries.items():
        lines += [f"[{group}]", *(f"{entry} = {what}" for entry, what in named.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.py").write_text(source)
    return folder


CELLS = """
'''An extractor for tests.'''
import numpy as np
from handcraft.features.extractor import Described, Extractor, PatchDescriptor, parameters_of

class Cells(Extractor):
    '''Cells of a grid, described by their
    own pixels.

    More of this is nobody's business.'''

    settings = {"side": 20, "contrast": 1.0, "mean": True, "label": "grid"}
    descriptor, dtype = "cells", "float32"

    def __init__(self, options):
        self.side, self.most = options.settings["side"], options.max_features
        self.parameters, self.dimension = parameters_of(options), 16

    def find(self, photos):
        return [Described(self.features_of(photo)) for photo in photos]

    def features_of(self, photo):
        step, (height, width) = self.side, photo.pixels.shape
        corners = [(x, y) for y in range(0, height - step, step) for x in range(0, width - step, step)]
        inner = slice(None, 4 * (step // 4), step // 4)
        cells = [photo.pixels[y : y + step, x : x + step][inner, inner] for x, y in corners]
        rows = np.reshape(cells, (-1, 16)).astype(np.float32)
        half = step / 2
        frames = np.array([[[half, 0, x + half - 0.5], [0, half, y + half - 0.5]] for x, y in corners])
        return photo.features(frames.reshape(-1, 2, 3), rows).head(self.most)

class NeedsMore(Cells):
    '''Cells of a network.'''

    needs = ("no_such_module", "no_such_package.part", "numpy")
    install = 'pip install "foreign[network]"'

class Mean(PatchDescriptor):
    '''Mean levels of patches.'''

    side, dimension, dtype = 8, 8, "float32"

    def describe(self, patches):
        return patches.mean(axis=1)
"""
