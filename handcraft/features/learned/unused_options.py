"""The options that a network has no use for."""

from __future__ import annotations

from handcraft.errors import HandcraftError
from handcraft.options import FeatureOptions

REGIONS_ONLY = ("upright", "spread", "doubled", "descriptor")  # options of extractors that describe patches


def require_no_region_options(options: FeatureOptions) -> None:
    """Raise HandcraftError where an option is set that a network has no use for."""
    default = FeatureOptions()
    for name in REGIONS_ONLY:
        if getattr(options, name) != getattr(default, name):
            raise HandcraftError(
                f"The extractor {options.extractor} runs a network, for which {name}="
                f"{getattr(options, name)} means nothing; leave that option out."
            )
