"""Networks that give keypoints, their scores and descriptors, of any ONNX file or of one's own making."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import ExtractorError
from handcraft.features.extractor import Extractor, Found, parameters_of
from handcraft.features.images import DecodedPhoto
from handcraft.features.learned import onnx_files
from handcraft.features.learned.pixels import as_image
from handcraft.features.learned.turning import QUARTERS, QuarterTurns
from handcraft.features.learned.unused_options import require_no_region_options
from handcraft.features.regions import circles
from handcraft.options import FeatureOptions, Setting
from handcraft.types import Features

LEAST_SIDE = 32  # pixels; smaller photos have no features
RADIUS = 8.0  # pixels of the circle that is drawn about a point: of an 8 x 8 cell of these networks
PROBE = 64  # pixels a side of the image that tells what a network gives
OUTPUTS = ("keypoints", "scores", "descriptors")

# From an image (1, 3, h, w) float32, RGB from 0 to 1, to outputs by name: keypoints (n, 2), x and y in pixels
# of the image, 0 the centre of the first; scores (n,); descriptors (n, d); and radii (n,), in pixels, where
# the network gives sizes.
Detect = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.generic]]]


class KeypointNetwork(Extractor):
    """What all extractors share that run a network which gives keypoints."""

    colour = True
    points = True
    directions = QUARTERS

    def __init__(self, options: FeatureOptions) -> None:
        require_no_region_options(options)
        self.options = options
        self.device = onnx_files.device()
        self.detect, which = self.load(options)
        self.descriptor, self.dtype = options.extractor, "float32"
        self.parameters: Mapping[str, Setting] = {**parameters_of(options), **which}
        with onnx_files.probing(f"the extractor {options.extractor}"):
            probed = self.outputs_of(np.full((1, 3, PROBE, PROBE), 0.5, np.float32))
        self.dimension = probed["descriptors"].shape[1]
        self.points = "radii" not in probed

    @abstractmethod
    def load(self, options: FeatureOptions) -> tuple[Detect, Mapping[str, Setting]]:
        """The network, and the settings that tell which it is; raises HandcraftError."""

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        """See Extractor."""
        return [QuarterTurns(photo, self.features_of) for photo in photos]

    def features_of(self, photo: DecodedPhoto) -> Features:
        """The strongest features of a photo as it is held."""
        if min(photo.pixels.shape[:2]) < LEAST_SIDE:
            return photo.features(np.empty((0, 2, 3)), np.empty((0, self.dimension), np.float32))
        found = self.outputs_of(as_image(photo.pixels))
        if not np.isfinite(found["scores"]).all():
            raise ArithmeticError("its network gives scores of NaN or infinity")
        rows = np.argsort(-found["scores"], kind="stable")[: self.options.max_features]
        radii = found["radii"][rows] if "radii" in found else np.full(len(rows), RADIUS)
        frames = circles(found["keypoints"][rows].astype(np.float64), radii.astype(np.float64))
        if (radii <= 0).any():
            raise ArithmeticError("its network gives radii that are not above 0")
        return photo.features(frames, np.ascontiguousarray(found["descriptors"][rows]))

    def outputs_of(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """What the network gives; raises ExtractorError for what does not fit together."""
        outputs = {name: np.asarray(array, np.float32) for name, array in self.detect(image).items()}
        shapes = {name: array.shape for name, array in outputs.items()}
        keypoints, scores, descriptors = (shapes.get(name, ()) for name in OUTPUTS)
        fits = len(scores) == 1 and keypoints == (*scores, 2) and shapes.get("radii", scores) == scores
        if not fits or len(descriptors) != 2 or descriptors[:1] != scores:
            listed = ", ".join(f"{name} of {' x '.join(map(str, shape))}" for name, shape in shapes.items())
            raise ExtractorError(
                f"The network of {self.options.extractor} gives {listed}; it must give keypoints of n x 2, "
                "scores of n, descriptors of n x d and, if any, radii of n."
            )
        return outputs


class OnnxKeypoints(KeypointNetwork):
    """Any network of an ONNX file that gives keypoints, scores and descriptors."""

    settings: ClassVar[Mapping[str, Setting]] = {**onnx_files.SETTINGS, "name": ""}
    needs = onnx_files.NEEDS
    needs_unless = onnx_files.NEEDS_UNLESS
    install = onnx_files.INSTALL

    def __init__(self, options: FeatureOptions) -> None:
        super().__init__(options)
        self.descriptor = str(options.settings["name"] or f"onnx-{self.parameters['weights']}")

    def load(self, options: FeatureOptions) -> tuple[Detect, Mapping[str, Setting]]:
        """See KeypointNetwork."""
        network = onnx_files.open_network("the extractor onnx", options.settings, OUTPUTS)
        return network.run, network.parameters
