"""Descriptors of patches by a network of HardNet's shape (Mishchuk et al., NIPS 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import ModelError
from handcraft.features.extractor import PatchDescriptor
from handcraft.features.learned import onnx_files
from handcraft.options import FeatureOptions, Setting

OWNER = "the descriptor hardnet"


class HardNet(PatchDescriptor):
    """A network that describes patches: an ONNX file from (n, 1, 32, 32) float32, grey from 0 to 1, to one
    output (n, d)."""

    settings: ClassVar[Mapping[str, Setting]] = {**onnx_files.SETTINGS, "batch": 256}  # patches at once
    needs = onnx_files.NEEDS
    needs_unless = onnx_files.NEEDS_UNLESS
    install = onnx_files.INSTALL
    side = 32
    dtype = "float32"

    def __init__(self, options: FeatureOptions) -> None:
        onnx_files.require_positive(OWNER, options.settings, "batch")
        self._batch = int(options.settings["batch"])
        network = onnx_files.open_network(OWNER, options.settings, ())
        self._run = network.run
        self.parameters: Mapping[str, Setting] = {"batch": self._batch, **network.parameters}
        self.name = f"hardnet-{network.parameters['weights']}"
        with onnx_files.probing(OWNER):
            self.dimension = self._describe(np.full((2, self.side, self.side), 128, np.float32)).shape[1]

    def describe(self, patches: NDArray[np.float32]) -> NDArray[np.generic]:
        """See PatchDescriptor."""
        parts = [
            self._describe(patches[start : start + self._batch])
            for start in range(0, len(patches), self._batch)
        ]
        return np.concatenate([np.empty((0, self.dimension), np.float32), *parts])

    def _describe(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """One batch; raises ModelError where the network gives another shape than a row for each patch."""
        outputs = list(self._run(patches[:, None] / np.float32(255)).values())
        if len(outputs) != 1 or outputs[0].ndim != 2 or len(outputs[0]) != len(patches):
            shapes = " and ".join(" x ".join(map(str, array.shape)) for array in outputs)
            raise ModelError(
                f"The network of {OWNER} gives {shapes} for {len(patches)} patches; it must have one output, "
                "a row for each patch."
            )
        return np.asarray(outputs[0], np.float32)
