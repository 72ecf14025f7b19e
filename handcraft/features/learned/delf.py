"""DELF (Noh, Araujo, Sim, Weyand & Han, "Large-Scale Image Retrieval with Attentive Deep Local Features",
ICCV 2017).

Each cell of the map of a convolutional network is a feature; those that the attention finds worth it, over a
pyramid of the photo, are kept. The numbers are those of the published models (github.com/tensorflow/models,
research/delf: delf_config_example.pbtxt, feature_extractor.py, delf_v1.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.errors import HandcraftError, ModelError
from handcraft.features.extractor import Extractor, Found, parameters_of
from handcraft.features.images import DecodedPhoto
from handcraft.features.learned import onnx_files
from handcraft.features.learned.pca import Pca, normed, read_pca
from handcraft.features.learned.pixels import as_image
from handcraft.features.learned.turning import QUARTERS, QuarterTurns
from handcraft.features.learned.unused_options import require_no_region_options
from handcraft.features.regions import circles
from handcraft.options import FeatureOptions, Setting
from handcraft.types import Features, scale_coordinates

OWNER = "the extractor delf"
OUTPUTS = ("features", "attention")
GREY = 128.0  # the network sees (v − 128) / 128 of values v from 0 to 255
LEAST_SIDE = 10  # pixels; smaller images have no features
PROBE = 256  # pixels a side of the image that tells what a network gives


class Delf(Extractor):
    """DELF: cells of a network's map that its attention keeps, over seven scales.

    The network is an ONNX file from an image (1, 3, h, w) float32, RGB from −1 to 1, to `features` (1, c, i,
    j) and `attention` (1, 1, i, j), a cell for every `stride` pixels.
    """

    settings: ClassVar[Mapping[str, Setting]] = {
        **onnx_files.SETTINGS,
        "pca": "",  # its file, see learned.pca; "": features keep their dimension, as those of DELG do
        "pca_weights": "",  # the digest that the file of the PCA must have, "" for any
        "dimension": 40,  # that the PCA reduces to
        "threshold": 100.0,  # the least attention that is kept
        "best": 1000,  # features of a photo, or max_features if that is less
        "scales": "0.25 0.3536 0.5 0.7071 1 1.4142 2",  # of the photo
        "stride": 32,  # pixels from a cell to the next
        "field": 291,  # pixels of a cell's receptive field, whose circle is the feature's frame
        "padding": 145,  # pixels by which the first cell's receptive field begins before the image
    }
    needs = onnx_files.NEEDS
    needs_unless = onnx_files.NEEDS_UNLESS
    install = onnx_files.INSTALL
    colour = True
    directions = QUARTERS
    dtype = "float32"

    def __init__(self, options: FeatureOptions) -> None:
        require_no_region_options(options)
        settings = options.settings
        self.device = onnx_files.device()
        self._network = onnx_files.open_network(OWNER, settings, OUTPUTS)
        onnx_files.require_positive(OWNER, settings, "best", "stride", "field")
        self._best = min(int(settings["best"]), options.max_features)
        self._threshold = float(settings["threshold"])
        self._scales = _parse_scales(str(settings["scales"]))
        self._stride, self._field = int(settings["stride"]), int(settings["field"])
        self._first = (self._field - 1) / 2 - int(settings["padding"])  # the centre of the first cell, pixels
        with onnx_files.probing(OWNER):
            self._channels = self._map_of(np.zeros((PROBE, PROBE, 3), np.uint8))[0].shape[0]
        self._pca = _pca_of(settings, self._channels)
        self.dimension = self._channels if self._pca is None else len(self._pca.matrix)
        which = dict(self._network.parameters)
        self.descriptor = f"delf-{which['weights']}"
        if self._pca is not None:
            which |= {"pca": self._pca.path, "pca_weights": self._pca.digest}
            self.descriptor += f"-{self._pca.digest}"
        self.parameters: Mapping[str, Setting] = {**parameters_of(options), **which}

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        """See Extractor."""
        return [QuarterTurns(photo, self._features_of) for photo in photos]

    def _features_of(self, photo: DecodedPhoto) -> Features:
        """The features that the attention keeps of a photo as it is held, the strongest first."""
        parts = [self._at_scale(photo.pixels, scale) for scale in self._scales]
        frames, attention, raw = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        rows = np.argsort(-attention, kind="stable")[: self._best]
        descriptors = normed(raw[rows])
        if self._pca is not None:
            descriptors = self._pca.reduced(descriptors)
        return photo.features(frames[rows], descriptors)

    def _at_scale(
        self, pixels: NDArray[np.uint8], scale: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
        """The frames (n, 2, 3) in these pixels, the attention (n,) and the features (n, c) of the cells that
        are worth it at a scale, row by row."""
        height, width = pixels.shape[:2]
        size = round(width * scale), round(height * scale)
        if min(size) < LEAST_SIDE:
            return np.empty((0, 2, 3)), np.empty(0, np.float32), np.empty((0, self._channels), np.float32)
        features, attention = self._map_of(np.asarray(cv2.resize(pixels, size), np.uint8))  # linearly
        if not (np.isfinite(attention).all() and np.isfinite(features).all()):
            raise ArithmeticError("its network gives NaN or infinity")  # NaN would be worth nothing
        rows, columns = np.nonzero(attention >= self._threshold)
        factors = np.array([width / size[0], height / size[1]])
        places = scale_coordinates(self._first + self._stride * np.stack([columns, rows], axis=1), factors)
        radii = np.full(len(rows), self._field / 2 * np.sqrt(factors.prod()))
        return circles(places, radii), attention[rows, columns], features[:, rows, columns].T

    def _map_of(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The features (c, i, j) and the attention (i, j) of an image; raises ModelError for a network that
        gives maps of other sizes."""
        outputs = self._network.run(as_image(pixels, GREY, GREY))
        features, attention = (np.asarray(outputs[name], np.float32) for name in OUTPUTS)
        height, width = (-(-side // self._stride) for side in pixels.shape[:2])
        of_one = features.ndim == 4 and len(features) == 1
        if not of_one or features.shape[2:] != (height, width) or attention.shape != (1, 1, height, width):
            shapes = " and ".join(" x ".join(map(str, array.shape)) for array in (features, attention))
            raise ModelError(
                f"The network of {OWNER} gives maps of {shapes} for {pixels.shape[1]} x {pixels.shape[0]} "
                f"pixels, where a cell for every {self._stride} would be {height} x {width}; give its own "
                "with --set stride=PIXELS, or export it again."
            )
        return features[0], attention[0, 0]


def _pca_of(settings: Mapping[str, Setting], channels: int) -> Pca | None:
    """The PCA that the settings name; raises ModelError where it is not of so many channels."""
    if not settings["pca"]:
        return None
    path = onnx_files.find_model(OWNER, str(settings["pca"]))
    pca = read_pca(path, int(settings["dimension"]))
    onnx_files.require_digest(OWNER, "PCA", path, pca.digest, str(settings["pca_weights"]))
    if pca.matrix.shape[1] != channels:
        raise ModelError(
            f"The PCA {path} is of {pca.matrix.shape[1]} dimensions, the network of {OWNER} gives "
            f"{channels}; name the one that was learned with it."
        )
    return pca


def _parse_scales(text: str) -> tuple[float, ...]:
    try:
        scales = tuple(float(number) for number in text.replace(",", " ").split())
    except ValueError:
        scales = ()
    if not scales or not all(0 < scale < 100 for scale in scales):
        raise HandcraftError(f"The scales {text!r} are not numbers above 0, such as 0.5 1 2.")
    return scales
