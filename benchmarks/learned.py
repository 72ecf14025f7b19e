"""Features of networks in the engine: what they find, what they take, and what the engine adds to that.

    python -m benchmarks.learned --scratch FOLDER [accuracy times overhead runtimes exchange]

XFeat and ALIKED need the extras of their names. Their vocabularies are trained on data/train, as the shipped
ones of SIFT and Hessian-affine are; all are asked by ASMK*. `accuracy` keeps its stores in the scratch
folder.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import handcraft
from benchmarks.accuracy import SETS
from benchmarks.report import data_folder, earlier_figures, in_turns, report, seconds
from handcraft.features.extraction import extract_photo, opencv_threads
from handcraft.features.images import DecodedPhoto, read_photo
from handcraft.features.learned.exporting import OUTPUTS, export_network, load_network
from handcraft.features.learned.onnx_files import SETTINGS, Run, open_network
from handcraft.features.learned.pixels import as_image
from handcraft.features.registry import find
from handcraft.options import FeatureOptions, QueryOptions, VocabularyOptions
from handcraft.types import Features

NETWORKS = ("xfeat", "aliked")
WORDS = 65_536
RANKINGS = {
    "votes": QueryOptions(method="asmk"),
    "verified": QueryOptions(method="asmk", verify=True),
}
WITH_DESCRIPTORS = QueryOptions(
    method="asmk", verify=True, verification=handcraft.VerificationOptions(pairing="descriptors")
)
TIMED = 8  # photos of kth that are timed
REPEATS = 7  # of what is timed in turns
SAME_PLACE = 0.01  # pixels


def network_file(scratch: Path, name: str) -> Path:
    """The ONNX file of a network, exported where it is not there yet."""
    path = scratch / f"{name}.onnx"
    if not path.exists():
        export_network(name, path)
    return path


def options_of(scratch: Path) -> dict[str, FeatureOptions]:
    """What is compared, by name; the networks in the runtime that is faster."""
    networks = {
        name: FeatureOptions(
            extractor="onnx", settings={"model": str(network_file(scratch, name)), "name": name}
        )
        for name in NETWORKS
    }
    return {
        "hessian-affine": FeatureOptions(),
        "sift": FeatureOptions(extractor="sift"),
        **networks,
    }


def accuracy(scratch: Path) -> dict[str, Any]:
    """Mean average precision and bytes a photo of each."""
    return {
        f"{name}, {collection}": _measured(scratch, name, options, collection)
        for name, options in options_of(scratch).items()
        for collection in SETS
    }


def _measured(scratch: Path, name: str, options: FeatureOptions, collection: str) -> dict[str, Any]:
    database, queries, truth = SETS[collection]
    data = data_folder()
    store = handcraft.open(
        scratch / f"{name}-{database.split('/')[0]}",
        features=options,
        vocabulary=_vocabulary(scratch, name, options),
    )
    figures: dict[str, Any] = {}
    if not store.exists:
        store.add(data / database)
    segments = store.info().segments
    index = sum(segment.index_bytes + segment.signatures_bytes for segment in segments)
    figures["bytes a photo"] = round(index / len(store))
    figures["features a photo"] = round(sum(segment.features for segment in segments) / len(store))
    for ranking, asked in RANKINGS.items():
        measured = store.evaluate(data / queries, data / truth, options=asked)
        figures[f"mAP, {ranking}"] = round(measured.mean_average_precision, 4)
    return figures


def _vocabulary(scratch: Path, name: str, options: FeatureOptions) -> Path | None:
    """Where a network's vocabulary is, trained where it is not there yet; None for one that ships."""
    if name not in NETWORKS:
        return None
    path = scratch / f"{name}-words.h5"
    if not path.exists():
        store = handcraft.open(scratch / f"{name}-none", features=options)
        store.build_vocabulary(data_folder() / "train", VocabularyOptions(words=WORDS), output=path)
    return path


def _photos() -> list[Path]:
    return sorted((data_folder() / "kth" / "queries").iterdir())[:TIMED]


def times(scratch: Path) -> dict[str, Any]:
    """Milliseconds that a photo of 1024 x 768 pixels takes on one thread, from its file to its features: the
    median, the kinds in turns; and as a ratio to SIFT in the same run."""
    kinds = options_of(scratch)
    took: dict[str, list[float]] = {name: [] for name in kinds}
    with opencv_threads(1):
        for path in [_photos()[0], *_photos()]:  # the first time is not counted
            for name, options in kinds.items():
                took[name].append(seconds(_running(extract_photo, path, options)))
    median = {name: statistics.median(values[1:]) for name, values in took.items()}
    return {
        name: {"ms a photo": round(1000 * value), "of SIFT": round(value / median["sift"], 2)}
        for name, value in median.items()
    }


def overhead(scratch: Path) -> dict[str, Any]:
    """What the engine adds to a bare network on one thread: to its run on pixels that are there already
    (frames, the order of features, checks), and in all (the photo's file is read and decoded too)."""
    figures = {}
    for name, options in options_of(scratch).items():
        if name not in NETWORKS:
            continue
        network = open_network("this benchmark", {**SETTINGS, **options.settings}, OUTPUTS)
        added, whole = [], []
        with opencv_threads(1):
            for path in _photos():
                photo = read_photo(path, options.max_size, colour=True)
                bare = _running(network.run, as_image(photo.pixels))
                own, engine = in_turns(bare, _running(_described, photo, options), REPEATS)
                added.append(engine / own)
                own, engine = in_turns(bare, _running(extract_photo, path, options), REPEATS)
                whole.append(engine / own)
        figures[name] = {
            "of the bare network": round(statistics.median(added), 3),
            "with the photo's file": round(statistics.median(whole), 3),
        }
    return figures


def _described(photo: DecodedPhoto, options: FeatureOptions) -> Features:
    return find([photo], options)[0].describe(0.0, options.max_features, None)


def _running(run: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: run(*arguments)


def runtimes(scratch: Path) -> dict[str, Any]:
    """ONNX against PyTorch on one thread: whether they find the same keypoints, the largest difference of the
    descriptors of one keypoint, and the ratio of times."""
    import torch

    torch.set_num_threads(1)  # of this process, which does nothing else afterwards that would mind
    figures = {}
    for name in NETWORKS:
        settings = {**SETTINGS, "model": str(network_file(scratch, name))}
        session, network = open_network("this benchmark", settings, OUTPUTS), load_network(name)
        with torch.inference_mode():
            compared = [_compared(session.run, network, torch.from_numpy, path) for path in _photos()]
        shared, worst, ratios = zip(*compared, strict=True)
        figures[name] = {
            "least share of the same keypoints": round(min(shared), 4),
            "largest difference": float(f"{max(worst):.2g}"),
            "time, ONNX of PyTorch": round(statistics.median(ratios), 3),
        }
    return figures


def _compared(
    onnx: Run, network: Any, as_tensor: Callable[[Any], Any], path: Path
) -> tuple[float, float, float]:
    """Of a photo: the share of the keypoints that both find, within a hundredth of a pixel; the largest
    difference of their descriptors; and the time of ONNX in PyTorch's."""
    image = as_image(read_photo(path, 1024, colour=True).pixels)
    tensor = as_tensor(image)
    one = onnx(image)
    other = dict(zip(OUTPUTS, (array.numpy() for array in network(tensor)), strict=True))
    apart = np.abs(one["keypoints"][:, None] - other["keypoints"]).max(axis=2)
    nearest = apart.argmin(axis=1)
    same = apart.min(axis=1) < SAME_PLACE
    differences = np.abs(one["descriptors"] - other["descriptors"][nearest])[same]
    took, own = in_turns(_running(onnx, image), _running(network, tensor), REPEATS)
    return float(same.mean()), float(differences.max()), took / own


def exchange(scratch: Path) -> dict[str, Any]:
    """Whether features that were exported to hloc's format and imported again rank as they did."""
    data, same = data_folder(), {}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        first = handcraft.open(Path(folder) / "first")
        first.add(data / "kth" / "database")
        file = Path(folder) / "features.h5"
        first.export_features(file, root=data / "kth" / "database")
        again = handcraft.open(Path(folder) / "again", features=FeatureOptions())
        again.import_features(file, data / "kth" / "database")
        for ranking, asked in {**RANKINGS, "verified with descriptors": WITH_DESCRIPTORS}.items():
            equal = sum(_ranking(first, path, asked) == _ranking(again, path, asked) for path in _photos())
            same[ranking] = f"{equal} of {len(_photos())} rankings identical"
    return same


def _ranking(store: handcraft.Store, path: Path, options: QueryOptions) -> list[tuple[int, float, int]]:
    return [(hit.image_id, hit.score, hit.inliers) for hit in store.query(path, options=options).hits]


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "accuracy": accuracy,
    "times": times,
    "overhead": overhead,
    "runtimes": runtimes,
    "exchange": exchange,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--scratch", type=Path, required=True, help="folder of networks, words, stores")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    figures = earlier_figures("learned")
    for part in arguments.parts:
        figures[part] = PARTS[part](arguments.scratch)
        report("learned", {"words": WORDS, "query options": repr(QueryOptions())}, figures)


if __name__ == "__main__":
    main()
