"""What every extractor that runs a network does with the options."""

from __future__ import annotations

from handcraft.errors import HandcraftError
from handcraft.options import FeatureOptions, Setting

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


def network_options(options: FeatureOptions) -> dict[str, Setting]:
    """The options that a network's features depend on, with the settings, by name."""
    plain = {name: getattr(options, name) for name in ("extractor", "max_size", "max_features")}
    return {**plain, **options.settings}
