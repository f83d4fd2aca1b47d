"""A run's log as a picture: the loss of each step, and recall on the held-back photos as it went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from library.errors import MissingExtra
from training.checkpoint import replacing
from training.journal import Journal

_LOSS, _WAYS = "#6a727c", {"text_to_image": "#1f6feb", "image_to_text": "#d9480f"}
_NAMES = {"text_to_image": "caption → photo", "image_to_text": "photo → caption"}
_SMOOTH = 0.9  # at most, of the line through the losses, which jump from batch to batch
_SPAN = 10  # steps that a short run is smoothed over, or the line would lag behind it


def draw_curves(journal: Journal, path: Path) -> Path:
    """Writes the curves to `path` (.png or .svg). Raises MissingExtra without the package matplotlib, and DiskFull."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("the curves are drawn by the package matplotlib", extra="train") from error
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_loss(left, list(journal.lines("step")))
    _draw_recall(right, list(journal.lines("measured")))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("step")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip("."), dpi=150)
    return path


def _draw_loss(axes: Any, lines: list[dict[str, Any]]) -> None:
    known = [(line["step"], line["loss"]) for line in lines if line["loss"] is not None]
    axes.set_title("loss", loc="left")
    if not known:
        return
    steps, losses = zip(*known, strict=True)
    smooth, line = [], losses[0]
    share = min(_SMOOTH, max(0.0, 1 - _SPAN / len(losses)))
    for loss in losses:
        line = share * line + (1 - share) * loss
        smooth.append(line)
    axes.plot(steps, losses, color=_LOSS, alpha=0.35, linewidth=0.8)
    axes.plot(steps, smooth, color=_LOSS, linewidth=1.8)


def _draw_recall(axes: Any, lines: list[dict[str, Any]]) -> None:
    axes.set_title("recall among the held-back photos, %", loc="left")
    for way, colour in _WAYS.items():
        for k, style in (("1", "-"), ("10", "--")):
            points = [(line["step"], 100 * line[way][k]) for line in lines]
            if points:
                axes.plot(*zip(*points, strict=True), style, color=colour, label=f"{_NAMES[way]}, best {k}")
    axes.set_ylim(bottom=0)
    if lines:
        axes.legend(frameon=False, fontsize=8)
