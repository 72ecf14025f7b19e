"""An extractor for handcraft: a grid of cells, each known by the colours of its 4 x 4 parts."""

from typing import ClassVar

import cv2
import numpy as np

from handcraft import Described, Extractor, Features
from handcraft.features.extractor import parameters_of

PARTS = 4  # along each side of a cell


class ColourGrid(Extractor):
    """A grid of cells, known by the colours of their 4 x 4 parts."""

    settings: ClassVar = {"part": 8}  # pixels a side of a part; --set part=16 changes it
    descriptor, dimension, dtype = "colour-grid", PARTS * PARTS * 3, "float32"
    colour = True

    def __init__(self, options):
        self.part, self.limit = options.settings["part"], options.max_features
        self.parameters = parameters_of(options)

    def find(self, photos):
        return [Described(self.features(photo)) for photo in photos]

    def features(self, photo) -> Features:
        rows, columns = (side // self.part for side in photo.pixels.shape[:2])
        if min(rows, columns) < PARTS:
            return photo.features(np.empty((0, 2, 3)), np.empty((0, self.dimension), np.float32))
        pixels = photo.pixels[: rows * self.part, : columns * self.part]
        parts = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
        cells = np.lib.stride_tricks.sliding_window_view(parts, (PARTS, PARTS), axis=(0, 1))
        places = np.indices(cells.shape[:2]).reshape(2, -1).T[:, ::-1]  # x and y of each, in parts
        colours = (cells - cells.mean(axis=(3, 4), keepdims=True)).reshape(len(places), -1)
        contrast = np.linalg.norm(colours, axis=1)
        best = np.argsort(-contrast, kind="stable")[: self.limit]
        best = best[contrast[best] > 1]
        frames = np.zeros((len(best), 2, 3))  # upright circles about the middle of each cell
        frames[:, [0, 1], [0, 1]] = self.part * PARTS / 2
        frames[:, :, 2] = (places[best] + PARTS / 2) * self.part - 0.5
        return photo.features(frames, colours[best] / contrast[best, None])
