"""Networks in ONNX files, run by onnxruntime or, those that it can, by OpenCV."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handcraft.errors import DependencyError, HandcraftError, ModelError
from handcraft.options import Setting
from handcraft.storage.atomic import sha256

MODELS_VARIABLE = "HANDCRAFT_MODELS"  # a folder of networks that are not where they are said to be
DEVICE_VARIABLE = "HANDCRAFT_DEVICE"  # where networks run, "cpu" without it; "cuda" needs onnxruntime-gpu
INSTALL = 'pip install "handcraft[learned]"'
DIGEST = 16  # of the hexadecimal digits of a file's SHA-256: enough to tell networks apart

# The settings of whatever runs a network: its file; the digest that the file must have, "" for any; and what
# runs it, one of RUNTIMES.
SETTINGS: Mapping[str, Setting] = {"model": "", "weights": "", "runtime": "onnxruntime"}

NEEDS = ("onnxruntime",)
NEEDS_UNLESS: Mapping[str, Setting] = {"runtime": "opencv"}

Run = Callable[[NDArray[np.float32]], dict[str, NDArray[np.generic]]]


@dataclass(frozen=True)
class Network:
    """An opened network. run: the outputs by name for one input; from several threads at once. parameters:
    the settings that tell which network it is."""

    run: Run
    parameters: dict[str, Setting]


def device() -> str:
    """Where networks run."""
    return os.environ.get(DEVICE_VARIABLE, "cpu")


def open_network(owner: str, settings: Mapping[str, Setting], outputs: Sequence[str]) -> Network:
    """Open the network that the settings name and that has these outputs; raises ModelError or
    DependencyError. owner: the extractor or descriptor that needs it, for the person who reads the error."""
    path = find_model(owner, str(settings["model"]))
    digest = digest_of(path)
    runtime = str(settings["runtime"])
    require_digest(owner, "network", path, digest, str(settings["weights"]))
    if runtime not in _RUNTIMES:
        raise HandcraftError(
            f"There is no runtime {runtime!r} for networks; the runtimes are {', '.join(_RUNTIMES)}."
        )
    run = _opened(owner, path, digest, runtime, device(), tuple(outputs))
    return Network(run, {"model": os.path.abspath(path), "weights": digest, "runtime": runtime})


def find_model(owner: str, name: str) -> Path:
    """Where a file of a network is: where its name says, or in the folder that HANDCRAFT_MODELS names; raises
    ModelError."""
    if not name:
        raise ModelError(f"There is no network for {owner}; name its ONNX file with --set model=FILE.")
    path, folder = Path(name), os.environ.get(MODELS_VARIABLE, "")
    if path.is_file():
        return path
    if folder and (Path(folder) / path.name).is_file():
        return Path(folder) / path.name
    raise ModelError(
        f"There is no file {path} for {owner}; give its place with --set, or name the folder that it is in "
        f"with {MODELS_VARIABLE}."
    )


def digest_of(path: Path) -> str:
    """What tells the content of a file from others."""
    try:
        return sha256(path)[:DIGEST]
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error


def require_digest(owner: str, what: str, path: Path, digest: str, wanted: str) -> None:
    """Raise ModelError unless a file has the digest that is wanted, "" being any."""
    if wanted and wanted != digest:
        raise ModelError(
            f"{path} is not the {what} that {owner} made these features with: its digest is {digest}, not "
            f"{wanted}; put that {what} there, or in the folder that {MODELS_VARIABLE} names."
        )


def require_positive(owner: str, settings: Mapping[str, Setting], *names: str) -> None:
    """Raise HandcraftError unless these settings are whole numbers above 0."""
    for name in names:
        if int(settings[name]) < 1:
            raise HandcraftError(f"{name}={settings[name]} of {owner} is too small; give 1 or more.")


@contextmanager
def probing(owner: str) -> Iterator[None]:
    """Say that a network is of another kind where it fails on the image that tells what it gives."""
    try:
        yield
    except HandcraftError:
        raise
    except Exception as error:  # whatever a runtime raises
        raise ModelError(
            f"The network of {owner} cannot be run: {_reason(error)}; export it again, with a float32 "
            "input of any size."
        ) from error


@lru_cache(maxsize=8)
def _opened(owner: str, path: Path, digest: str, runtime: str, where: str, outputs: tuple[str, ...]) -> Run:
    """What runs a network; the same for everyone who asks for it. digest: of what the file holds now."""
    return _RUNTIMES[runtime](owner, path, where, outputs)


def _onnxruntime(owner: str, path: Path, where: str, outputs: tuple[str, ...]) -> Run:
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            f"The network of {owner} needs onnxruntime to run; install it with `{INSTALL}`."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # photos are what is done in parallel
    options.log_severity_level = 4
    provider = "CUDAExecutionProvider" if where.startswith("cuda") else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():  # it would warn, and take the CPU
        raise DependencyError(
            f"This onnxruntime cannot run the network of {owner} on {where}; install it with "
            f"`pip install onnxruntime-gpu`, or leave {DEVICE_VARIABLE} out."
        )
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # of many types of its own
        raise _unreadable(owner, path, error) from error
    given = [output.name for output in session.get_outputs()]
    _require_outputs(owner, path, outputs, given, len(session.get_inputs()))
    (source,) = session.get_inputs()

    def run(values: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
        return dict(zip(given, session.run(given, {source.name: values}), strict=True))

    return run


def _opencv(owner: str, path: Path, where: str, outputs: tuple[str, ...]) -> Run:
    try:
        with _silent_opencv():
            network: Any = cv2.dnn.readNetFromONNX(str(path))
        if network.empty():  # which is all that OpenCV 5 raises
            raise ValueError("OpenCV knows not all of its operators")
        given = list(network.getUnconnectedOutLayersNames())
    except (cv2.error, ValueError) as error:
        raise _unreadable(owner, path, error) from error
    _require_outputs(owner, path, outputs, given, 1)
    lock = threading.Lock()  # a network of OpenCV holds what it is working on

    def run(values: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
        with lock:
            network.setInput(values)
            return {name: np.array(one) for name, one in zip(given, network.forward(given), strict=True)}

    return run


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """Let OpenCV write nothing to the terminal."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


_RUNTIMES: dict[str, Callable[[str, Path, str, tuple[str, ...]], Run]] = {
    "onnxruntime": _onnxruntime,
    "opencv": _opencv,
}


def _unreadable(owner: str, path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} is not a network that {owner} can run: {_reason(error)}; export it again, with standard "
        "operators only."
    )


def _reason(error: Exception) -> str:
    """What a runtime says, on one line, without where in its own sources it says it."""
    said = error.err if isinstance(error, cv2.error) else str(error).rpartition("failed:")[2]
    return " ".join(said.split()).rstrip(".") or type(error).__name__


def _require_outputs(
    owner: str, path: Path, wanted: Sequence[str], given: Sequence[str], inputs: int
) -> None:
    """Raise ModelError unless a network has one input and these outputs."""
    if inputs != 1 or not set(wanted) <= set(given):
        raise ModelError(
            f"{path} is not a network for {owner}: it has {inputs} inputs and the outputs {', '.join(given)} "
            f"in place of one input and {', '.join(wanted) or 'one output'}; export it again with these."
        )
