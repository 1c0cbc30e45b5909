"""Instrument: two sliders, memory and CPU, and what the detection API does under them."""

from __future__ import annotations

import ipywidgets as widgets

from dockerlab.detection.limit_report import UnderLimits, frame
from dockerlab.detection.limits import try_limits
from dockerlab.notebook.charts.limits import latency_under_limits
from dockerlab.notebook.widgets import live


class LimitSliders(live.Instrument):
    """Each try starts a fresh container of `image` under the chosen limits, sends it pictures and removes it."""

    def __init__(self, image: str) -> None:
        super().__init__()
        self.image = image
        self.tries: list[UnderLimits] = []
        wide = {
            "style": {"description_width": "110px"},
            "layout": widgets.Layout(width="420px"),
            "continuous_update": False,
        }
        self.memory = widgets.IntSlider(value=256, min=32, max=512, step=16, description="Memory, MB", **wide)
        self.cpus = widgets.FloatSlider(value=1.0, min=0.25, max=2.0, step=0.25, description="CPUs", **wide)
        self.run = live.button(
            "Try these limits", self._try, "Start a container with these limits and measure it", "play"
        )
        self._line, self._chart, self._table = (
            widgets.HTML(),
            widgets.Image(layout=widgets.Layout(max_width="800px", display="none")),
            widgets.HTML(),
        )
        for slider in (self.memory, self.cpus):
            slider.observe(lambda _: self._show_command(), names="value")
        self.box.children = [
            self.memory,
            self.cpus,
            self._line,
            self.run,
            self.note,
            self._chart,
            self._table,
        ]
        self._show_command()

    @property
    def command(self) -> str:
        """The command line that a try stands for."""
        return f"docker run --memory {self.memory.value}m --memory-swap {self.memory.value}m --cpus {self.cpus.value:g} {self.image}"

    def _show_command(self) -> None:
        self._line.value = f'<code style="color:{live.INK}">$ {self.command}</code>'

    def _try(self) -> None:
        self.run.disabled = True
        self.say("A container starts under these limits and is asked for detections …")
        self.start(self._measure)

    def _measure(self) -> None:
        try:
            result = try_limits(self.image, self.memory.value, self.cpus.value, self.client)
            self.tries.append(result)
            if not self.ended:
                self._chart.value, self._chart.layout.display = (
                    live.png(latency_under_limits(self.tries)),
                    "block",
                )
                rows = [
                    ["–" if cell != cell else str(cell) for cell in row]
                    for row in frame(self.tries).itertuples(index=False)
                ]  # NaN is not itself
                self._table.value = live.table(list(frame(self.tries).columns), rows)
                self.say(f"{result}.", bad=not result.survived)
        finally:
            self.run.disabled = False

    def text(self) -> str:
        """One line a try."""
        return "\n".join(str(each) for each in self.tries) or "No limits were tried yet."
