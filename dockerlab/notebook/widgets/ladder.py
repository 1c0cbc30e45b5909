"""Instrument: the size ladder with a switch between what was measured; a rung's button shows its Dockerfile."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from dockerlab.core.settings import ASSETS
from dockerlab.notebook.widgets import live

# Column, what its numbers are multiplied by, and how they are written.
MEASURES = {
    "disk": ("disk_bytes", 1e-6, "{:,.0f} MB"),
    "download": ("download_bytes", 1e-6, "{:,.0f} MB"),
    "build": ("build_seconds", 1, "{:.1f} s"),
    "rebuild": ("rebuild_seconds", 1, "{:.2f} s"),
    "start": ("cold_start_seconds", 1, "{:.2f} s"),
    "latency": ("latency_p50_ms", 1, "{:.1f} ms"),
}


def rows(frame: pd.DataFrame, measure: str) -> list[tuple[str, str, float]]:
    """Rung, its value as text, and its share of the largest, largest first. Pure. Raises KeyError for an unknown measure."""
    column, factor, form = MEASURES[measure]
    ordered = frame.sort_values(column, ascending=False)
    top = ordered[column].max() or 1
    return [
        (row["rung"], form.format(row[column] * factor), row[column] / top) for _, row in ordered.iterrows()
    ]


def finding(frame: pd.DataFrame, measure: str) -> str:
    """The message of the chart in one sentence. Pure."""
    column = MEASURES[measure][0]
    first, last = frame.loc[frame[column].idxmax()], frame.loc[frame[column].idxmin()]
    return f"{measure}: {last['rung']} needs {first[column] / max(last[column], 1e-9):,.1f} times less than {first['rung']}"


class LadderChart(live.Instrument):
    """Shows a frame of `dockerlab.detection.benchmark.ladder`; asks no engine."""

    lasting = True

    def __init__(self, frame: pd.DataFrame, dockerfiles: Path = ASSETS / "detection-api") -> None:
        super().__init__()
        self.frame = frame
        self._folder = dockerfiles
        self.switch = widgets.ToggleButtons(options=list(MEASURES), style={"button_width": "86px"})
        self._title, self._bars, self._file = widgets.HTML(), widgets.VBox(), widgets.HTML()
        self.switch.observe(lambda _: self._draw(), names="value")
        self.box.children = [self.switch, self._title, self._bars, self._file]
        self._draw()

    def _draw(self) -> None:
        self._title.value = f'<b style="color:{live.INK}">{finding(self.frame, self.switch.value)}</b>'
        for old in self._bars.children:
            live.close_tree(old)
        self._bars.children = [self._row(*row) for row in rows(self.frame, self.switch.value)]

    def _row(self, rung: str, value: str, share: float) -> widgets.HBox:
        made = live.button(rung, lambda: self.show(rung), self._dockerfile(rung))
        made.layout.width = "120px"
        drawn = f'<div style="width:{78 * share:.2f}%;min-width:2px;height:16px;background:{live.RUN}"></div>'
        said = f'<span style="padding-left:8px;font-size:12px;white-space:nowrap">{value}</span>'
        bar = widgets.HTML(
            f'<div style="display:flex;align-items:center;color:{live.INK}">{drawn}{said}</div>',
            layout=widgets.Layout(flex="1 1 auto"),
        )
        return widgets.HBox([made, bar], layout=widgets.Layout(align_items="center"))

    def _dockerfile(self, rung: str) -> str:
        path = self._folder / f"Dockerfile.{rung}"
        return path.read_text(encoding="utf-8") if path.is_file() else f"There is no Dockerfile.{rung}."

    def show(self, rung: str) -> None:
        """Show a rung's Dockerfile below the chart."""
        self._file.value = live.log(self._dockerfile(rung), f"Dockerfile of {rung}", height="22em")

    def text(self) -> str:
        """The chosen measure, one line a rung."""
        lines = [f"{rung:<12} {value:>12}" for rung, value, _ in rows(self.frame, self.switch.value)]
        return "\n".join([finding(self.frame, self.switch.value), *lines])
