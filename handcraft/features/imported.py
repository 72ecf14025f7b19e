"""Features that another program computed: a store's photos have them, and none can be computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from handcraft.errors import PhotoError
from handcraft.features.extractor import Extractor, Found
from handcraft.features.images import DecodedPhoto
from handcraft.options import IMPORTED, FeatureOptions, Setting


class Imported(Extractor):
    """Features that another program computed, for handcraft import-features."""

    settings: ClassVar[Mapping[str, Setting]] = {
        "name": IMPORTED,  # of the space of the descriptors: what computed them
        "dimension": 128,
        "dtype": "float32",
        "shapes": True,  # False: points, of which nothing but the place is known
    }

    def __init__(self, options: FeatureOptions) -> None:
        settings = options.settings
        self.descriptor, self.dtype = str(settings["name"]), str(settings["dtype"])
        self.dimension = int(settings["dimension"])
        self.points = not settings["shapes"]
        self.parameters = {"extractor": IMPORTED, "max_features": options.max_features, **settings}

    def find(self, photos: Sequence[DecodedPhoto]) -> Sequence[Found]:
        """Raises PhotoError: none can be computed here."""
        raise PhotoError(
            f"The features of {photos[0].photo.name} are to be those of {self.descriptor}, which handcraft "
            "cannot compute; compute them as those of the store were, and name their file: with --features "
            "to ask, to `handcraft import-features` to add."
        )
