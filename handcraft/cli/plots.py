"""Plots, for which matplotlib is asked when one is wanted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from handcraft.errors import DependencyError, HandcraftError
from handcraft.storage.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from handcraft.engine.vocabularies import VocabularyInfo

FORMATS = (".png", ".svg", ".pdf")
INK = "#8a4b17"  # the accent of the result page


def save_balance(path: Path, facts: VocabularyInfo) -> None:
    """Draw how many descriptors of the training a vocabulary's words have, the emptiest first.

    Raises DependencyError without matplotlib, HandcraftError for another format or a vocabulary that
    does not say, and StoreError where the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise HandcraftError(f"{path} is no picture that can be drawn; end its name in {', '.join(FORMATS)}.")
    balance = facts.training.balance
    if balance is None:
        raise HandcraftError(f"{facts.path} does not say how its words are filled; train it again.")
    figure, axes = _figure()
    axes.fill_between(range(101), balance.percentiles, color=INK, alpha=0.25, linewidth=0)
    axes.plot(range(101), balance.percentiles, color=INK)
    mean = facts.training.descriptors / facts.words
    axes.axhline(mean, color="black", linewidth=0.8, linestyle="--")
    axes.annotate(f"mean {mean:,.1f}", (1, mean), xytext=(0, 3), textcoords="offset points")
    axes.set(
        xlim=(0, 100),
        ylim=(0, None),
        xlabel="words, the emptiest first (%)",
        ylabel="descriptors of the training",
        title=f"{facts.words:,} words, imbalance {balance.imbalance:.2f}, {balance.empty:,} empty",
    )
    _save(path, figure, axes)


def save_precision_recall(path: Path, curves: Mapping[str, Sequence[float]]) -> None:
    """Draw the mean precision at the recalls 0, 0.01, … 1 of each ranking, by its label; raises
    DependencyError without matplotlib and StoreError where the file cannot be written."""
    figure, axes = _figure()
    for label, precision in curves.items():
        axes.plot([place / (len(precision) - 1) for place in range(len(precision))], precision, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(fontsize="small")
    _save(path, figure, axes)


def save_tradeoff(path: Path, points: Mapping[str, tuple[float, float]]) -> None:
    """Draw milliseconds and mAP of each ranking, by its label; raises as save_precision_recall."""
    figure, axes = _figure()
    for label, (milliseconds, mean) in points.items():
        axes.plot([milliseconds], [mean], "o")
        axes.annotate(
            label, (milliseconds, mean), xytext=(5, 3), textcoords="offset points", fontsize="small"
        )
    slowest = max(milliseconds for milliseconds, _ in points.values())
    axes.set(xlim=(0, 1.6 * slowest), ylim=(None, 1.02), xlabel="milliseconds a query", ylabel="mAP")
    _save(path, figure, axes)


def _figure() -> tuple[Figure, Axes]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(
            'Plots need matplotlib, which is not installed: pip install "handcraft[plots]".'
        ) from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    return figure, figure.add_subplot()


def _save(path: Path, figure: Figure, axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:].lower(), dpi=150)
    write_atomically(path, drawn.getvalue())
