"""The files of DELF and DELG (tensorflow/models, research/delf): a serialized DelfFeatures a photo.

A folder has `<photo name without its suffix>.delf` (examples/extract_features.py) or `.delg_local`
(delg/extract_features.py) for each photo.

Locations are the centres of receptive boxes: cell (i, j) of the features of a photo resized by s has the box
from 32 i - 145 to 32 i + 145, divided by s (feature_extractor.py, CalculateReceptiveBoxes and
CalculateKeypointCenters; the stride may be 16 in DELG, export_model_utils.py). So cell (0, 0) lies at (0, 0),
and the origin is the centre of the top-left pixel, as handcraft's. Photos that were made smaller beforehand
(max_image_size, extractor.py) are taken back without half pixels, and their files do not tell.

A feature's scale is 1 / s, its receptive box 291 pixels times that wide. The frame is the upright circle
inscribed in the box. DELF writes no orientations but zero (feature_io.py), and no unit is told for them: they
are left out.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handcraft.errors import DependencyError, FeatureFileError
from handcraft.storage.exchange.folders import FeatureFolder, open_folder
from handcraft.storage.exchange.types import (
    ForeignFeatures,
    check_features,
    circles,
    damaged,
    file_error,
    photo_error,
    quietly,
)

SUFFIXES = (".delf", ".delg_local")
RECEPTIVE_FIELD = 291  # pixels, of ResNet-50's third block (feature_extractor.py)
RADIUS_PER_SCALE = RECEPTIVE_FIELD / 2


def open_delf(path: Path) -> FeatureFolder:
    """Open a folder of files of DELF; raises FeatureFileError, and DependencyError without protobuf."""
    _messages()
    return open_folder(path, SUFFIXES, _read)


def _read(path: Path, name: str) -> ForeignFeatures:
    """The features of a file; raises FeatureFileError. A file of no bytes is how DELF writes that it found
    nothing."""
    content = _read_bytes(path)
    features = _parse(path, "DelfFeatures", content).feature
    if content and not features:
        raise FeatureFileError(f"{path} has no DelfFeatures; name a folder of DELF's local features.")
    with quietly():
        return _features(path, name, features)


def read_datum(path: Path) -> NDArray[np.float32]:
    """The array of a .datum file, such as DELF's PCA: values row by row, in the shape that it tells
    (datum_io.py).

    Raises FeatureFileError, and DependencyError without protobuf.
    """
    datum = _parse(path, "DatumProto", _read_bytes(path))
    values = _values(datum)
    shape = tuple(datum.shape.dim)
    if not shape or min(shape) < 0 or int(np.prod(np.array(shape, dtype=object))) != len(values):
        raise FeatureFileError(
            f"{path} has {len(values)} values for an array of {shape}; name a .datum file or copy it again."
        )
    return values.reshape(shape)


def _features(path: Path, name: str, features: Any) -> ForeignFeatures:
    descriptors = [_values(feature.descriptor) for feature in features]
    lengths = {len(descriptor) for descriptor in descriptors}
    if len(lengths) > 1 or lengths == {0}:
        raise photo_error(
            path, name, f"has descriptors of {sorted(lengths)} values", "compute its features again"
        )
    rows = [(feature.x, feature.y, feature.scale, feature.strength) for feature in features]
    points, scales, scores = np.split(np.array(rows, np.float32).reshape(-1, 4), [2, 3], axis=1)
    known = any(feature.HasField("scale") for feature in features)
    strong = any(feature.HasField("strength") for feature in features)
    return check_features(
        path,
        name,
        points,
        circles(scales[:, 0], radius=RADIUS_PER_SCALE) if known else None,
        np.array(descriptors, np.float32).reshape(len(rows), -1 if rows else 0),
        scores if strong else None,
    )


def _values(datum: Any) -> NDArray[np.float32]:
    kind = datum.WhichOneof("kind_oneof")
    return np.array(getattr(datum, kind).value if kind else (), np.float32)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise file_error(path, error) from error


def _parse(path: Path, message: str, content: bytes) -> Any:
    kinds, decode_error = _messages()
    parsed = kinds[message]()
    try:
        parsed.ParseFromString(content)
    except (decode_error, MemoryError) as error:
        raise damaged(path) from error
    return parsed


@cache
def _messages() -> tuple[dict[str, Any], type[Exception]]:
    """The messages of protos/datum.proto and protos/feature.proto, and protobuf's error for other bytes.

    They are in a pool of their own: one process may have DELF's modules loaded as well.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError as error:
        raise DependencyError(
            'DELF\'s files need protobuf, which is not installed: pip install "handcraft[learned]".'
        ) from error
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="handcraft/delf.proto", package="delf.protos", syntax="proto2"
    )

    def define(name: str, *fields: tuple[str, int, int, str]) -> Any:
        """A message of fields: name, number, type, and the message that it is of or ""."""
        defined = file.message_type.add(name=name)
        for field_name, number, type_, of in fields:
            added = defined.field.add(name=field_name, number=number, type=type_, label=kind.LABEL_OPTIONAL)
            if of:
                added.type_name = f".delf.protos.{of}"
        return defined

    def repeat(defined: Any, packed: bool = True) -> None:
        defined.field[0].label = kind.LABEL_REPEATED
        if packed:
            defined.field[0].options.packed = True

    repeat(define("DatumShape", ("dim", 1, kind.TYPE_INT64, "")))
    repeat(define("FloatList", ("value", 1, kind.TYPE_FLOAT, "")))
    repeat(define("Uint32List", ("value", 1, kind.TYPE_UINT32, "")))
    datum = define(
        "DatumProto",
        ("shape", 1, kind.TYPE_MESSAGE, "DatumShape"),
        ("float_list", 2, kind.TYPE_MESSAGE, "FloatList"),
        ("uint32_list", 3, kind.TYPE_MESSAGE, "Uint32List"),
    )
    datum.oneof_decl.add(name="kind_oneof")
    datum.field[1].oneof_index = datum.field[2].oneof_index = 0
    numbers = [
        (n, i, kind.TYPE_FLOAT, "") for i, n in enumerate(("x", "y", "scale", "orientation", "strength"), 2)
    ]
    define("DelfFeature", ("descriptor", 1, kind.TYPE_MESSAGE, "DatumProto"), *numbers)
    repeat(define("DelfFeatures", ("feature", 1, kind.TYPE_MESSAGE, "DelfFeature")), packed=False)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    find = pool.FindMessageTypeByName
    names = ("DatumProto", "DelfFeatures")
    kinds = {name: message_factory.GetMessageClass(find(f"delf.protos.{name}")) for name in names}
    return kinds, message.DecodeError
