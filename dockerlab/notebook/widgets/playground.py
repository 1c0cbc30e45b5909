"""Instrument: choose or upload a picture, send it to a running detection API, see the boxes and where the time went."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import ipywidgets as widgets
from matplotlib.figure import Figure

from dockerlab.detection.api_client import Answer, detect
from dockerlab.notebook.charts.detections import draw
from dockerlab.notebook.charts.style import PALETTE, state_finding
from dockerlab.notebook.charts.style import figure as chart
from dockerlab.notebook.widgets import live

UPLOAD = "your own picture"


class DetectionPlayground(live.Instrument):
    """Sends pictures to the API at `url`; `pictures` are offered by name, and one of the reader's own can be uploaded."""

    def __init__(self, url: str, pictures: list[Path]) -> None:
        super().__init__()
        self.url = url
        self.answer: Answer | None = None
        self.round_trip_ms = 0.0
        self._choice = widgets.Dropdown(
            options=[(path.name, path) for path in pictures], description="Picture"
        )
        self._upload = widgets.FileUpload(accept="image/*", multiple=False, description="Upload")
        self._confidence = widgets.FloatSlider(
            value=0.25, min=0.05, max=0.95, step=0.05, description="Confidence", continuous_update=False
        )
        self.send = live.button("Detect", self._send, "POST the picture to /detect", "search")
        self._picture, self._times = (
            widgets.Image(layout=widgets.Layout(max_width="800px", display="none")) for _ in range(2)
        )  # until there is one
        controls = widgets.HBox(
            [self._choice, self._upload, self._confidence, self.send],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        self.box.children = [controls, self.note, self._picture, self._times]
        self.say("Press Detect to send the picture.")

    def _send(self) -> None:
        self.send.disabled = True
        self.start(self._detect)

    def _detect(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="dockerlab-picture-") as folder:
                picture = self._chosen(Path(folder))
                began = time.perf_counter()
                self.answer = detect(self.url, picture, self._confidence.value)
                self.round_trip_ms = (time.perf_counter() - began) * 1000
                self._picture.value, self._picture.format = live.png(draw(picture, self.answer)), "png"
            self._times.value = live.png(time_split(self.answer, self.round_trip_ms))
            for image in (self._picture, self._times):
                image.layout.display = "block"
            self.say(f"{self.answer.summary()}; {self.round_trip_ms:.0f} ms from send to answer.")
        finally:
            self.send.disabled = False

    def _chosen(self, folder: Path) -> Path:
        if not self._upload.value:
            chosen: Path = self._choice.value
            return chosen
        file = self._upload.value[0]
        path = folder / f"upload{Path(file['name']).suffix.lower() or '.jpg'}"
        path.write_bytes(bytes(file["content"]))
        return path

    def text(self) -> str:
        """What was found last."""
        return (
            f"{self.answer.summary()}, {self.answer.backend}"
            if self.answer
            else f"Nothing was sent to {self.url} yet."
        )


def time_split(answer: Answer, round_trip_ms: float) -> Figure:
    """The round trip in milliseconds, split into network and server, decoding, inference. Pure."""
    decode, inference = answer.milliseconds.get("decode", 0.0), answer.milliseconds.get("inference", 0.0)
    rest = max(0.0, round_trip_ms - decode - inference)
    figure, axes = chart(rows=3)
    parts = (
        ("network and server", rest, "cached"),
        ("decode the picture", decode, "good"),
        ("inference", inference, "run"),
    )
    for row, (name, value, colour) in enumerate(parts):
        axes.barh(row, value, height=0.6, color=PALETTE[colour], edgecolor=PALETTE["ink"], linewidth=0.4)
        axes.text(
            value + round_trip_ms * 0.01,
            row,
            f"{value:.1f} ms",
            va="center",
            fontsize=9,
            color=PALETTE["ink"],
        )
        axes.text(-round_trip_ms * 0.01, row, name, va="center", ha="right", fontsize=9, color=PALETTE["ink"])
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.set_xlim(0, max(rest, decode, inference, 1e-3) * 1.15)
    axes.set_xlabel("milliseconds from send to answer")
    share = inference / round_trip_ms if round_trip_ms else 0.0
    state_finding(axes, f"Inference takes {share:.0%} of the {round_trip_ms:.0f} ms")
    return figure
