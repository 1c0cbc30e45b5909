"""A picture with the boxes that a service found on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image, ImageOps

from dockerlab.detection.api_client import Answer, Detection

# Dark enough for white letters on them.
COLOURS = ("#c2401a", "#12707f", "#8f5c00", "#6a3fb0", "#2f7a47", "#b02a6d", "#3a5bc0", "#75592a")


def draw(image_path: str | Path, answer: Answer) -> Figure:
    """The picture with its boxes and labels; the title says what was found. Pure but for reading the file."""
    with Image.open(image_path) as file:
        # The API answers in pixels of the upright picture.
        picture = ImageOps.exif_transpose(file).convert("RGB")
    figure = Figure(figsize=(8, 8 * picture.height / picture.width + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture)
    axes.set_axis_off()
    axes.set_title(answer.summary(), fontsize=13)
    labels = sorted({each.label for each in answer.detections})
    for each in answer.detections:
        colour = COLOURS[labels.index(each.label) % len(COLOURS)]
        axes.add_patch(_rectangle(each, colour))
        axes.text(
            each.x1, each.y1, f"{each.label} {each.score:.2f}", fontsize=7, color="white", va="bottom", clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    return figure


def _rectangle(each: Detection, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (each.x1, each.y1), each.x2 - each.x1, each.y2 - each.y1, fill=False, edgecolor=colour, linewidth=2
    )
