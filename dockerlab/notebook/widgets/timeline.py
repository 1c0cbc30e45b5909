"""Instrument: a build as it happens, a row a step; choose a row to read its log. Two builds on one scale."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from dockerlab.images.build import Cancel, build
from dockerlab.images.build_errors import BuildCancelled
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.notebook.widgets import live

REFRESH_SECONDS = 0.25
_LEFT = "<style>.dockerlab-step { text-align: left; }</style>"  # the names of steps begin in one column


class BuildTimeline(live.Instrument):
    """Builds in the background and draws each step while it runs.

    Takes what `dockerlab.images.build.build` takes. `report` is there when the build has ended, `error` when it failed.
    """

    def __init__(self, context: Path | str, **options: Any) -> None:
        super().__init__()
        self.report: BuildReport | None = None
        self.error: Exception | None = None
        self._steps: dict[str, Step] = {}
        self._began = time.monotonic()
        self._cancel = Cancel()
        self._drawing = threading.Lock()  # the build ends in one thread while the other draws
        self._rows = _Rows()
        self._stop = live.button("Cancel the build", self._cancel.request, icon="stop")
        self.box.children = [self._stop, self._rows.box, self.note]
        self.say("The context is being sent.")
        self.start(lambda: self._build(context, options))
        self.every(REFRESH_SECONDS, self._refresh)

    def _build(self, context: Path | str, options: dict[str, Any]) -> None:
        try:
            self.report = build(
                context, on_step=self._note_step, cancel=self._cancel, client=self.client, **options
            )
        except BuildCancelled as error:
            self.error = error
            raise
        except Exception as error:
            self.error = error
            raise
        finally:
            self._finish()

    def _note_step(self, step: Step) -> None:
        self._steps[step.digest] = step

    def _refresh(self) -> bool:
        steps = [
            step for step in list(self._steps.values()) if not step.internal and "] FROM " not in step.name
        ]
        with self._drawing:
            if self.report or self.error:
                return False
            if steps:
                self._rows.show(spans(steps, time.time()))
                running = sum(not (step.done or step.cached) for step in steps)
                self.say(
                    f"{time.monotonic() - self._began:.0f} s: {len(steps)} steps seen, {running} running."
                )
            return True

    def _finish(self) -> None:
        self._stop.disabled = True
        self.lasting = not self.ended  # its steps and their logs are in hand
        if self.report:
            with self._drawing:
                self._rows.show(spans(self.report.instructions))
            ran = len(self.report.ran)
            self.say(
                f"Done in {self.report.seconds:.1f} s: {ran} step{'' if ran == 1 else 's'} ran, {len(self.report.cached)} came from the cache; "
                f"{self.report.context_bytes / 1000:,.1f} kB of context were sent. Choose a step to read its log."
            )

    def interrupt(self) -> None:
        """End the build on the engine."""
        if not self.report:
            self._cancel.request()

    def text(self) -> str:
        """One line a step, and how the build ended."""
        if self.report:
            return f"{self.report.text()}\n{len(self.report.ran)} steps ran, {len(self.report.cached)} cached"
        return str(self.error) if self.error else "The build is running."


def compare_builds(reports: Mapping[str, BuildReport]) -> live.Instrument:
    """Two or more builds that have ended, on one scale of seconds; choose a step to read its log."""
    return _Comparison(reports)


class _Comparison(live.Instrument):
    lasting = True

    def __init__(self, reports: Mapping[str, BuildReport]) -> None:
        super().__init__()
        self._reports = dict(reports)
        end = max(
            (span[1] + span[2] for report in reports.values() for span in spans(report.instructions)),
            default=1.0,
        )
        parts: list[widgets.Widget] = []
        for title, report in reports.items():
            rows = _Rows()
            rows.show(spans(report.instructions), end)
            parts += [
                widgets.HTML(
                    f'<b style="color:{live.INK}">{escape(title)}: {len(report.ran)} of {len(report.instructions)} steps ran, '
                    f"{report.seconds:.1f} s</b>"
                ),
                rows.box,
            ]
        self.box.children = parts

    def text(self) -> str:
        return "\n".join(
            f"{title}: {len(report.ran)} of {len(report.instructions)} steps ran\n{report.text()}"
            for title, report in self._reports.items()
        )


Span = tuple[Step, float, float]


def spans(steps: list[Step], now: float | None = None) -> list[Span]:
    """Each step with its start and length in seconds from the first start; `now` (Unix time) ends what still runs. Pure."""
    begun = [step.started for step in steps if step.started]
    origin = min(begun) if begun else 0.0
    if now is None or origin < 1e6:  # the times of a finished report count from its first step
        return [
            (step, max(0.0, step.started - (origin if origin > 1e6 else 0.0)), step.seconds) for step in steps
        ]
    return [
        (
            step,
            max(0.0, step.started - origin) if step.started else 0.0,
            step.seconds if step.done or step.cached else max(0.0, now - (step.started or now)),
        )
        for step in steps
    ]


class _Rows:
    """Rows of a Gantt chart: a button with the step's name, and its bar; the chosen step's log below."""

    def __init__(self) -> None:
        self._list, self._log = widgets.VBox(), widgets.HTML()
        self._buttons: dict[str, tuple[widgets.Button, widgets.HTML]] = {}
        self.box = widgets.VBox(
            [widgets.HTML(_LEFT, layout=widgets.Layout(display="none")), self._list, self._log]
        )

    def show(self, rows: list[Span], end: float | None = None) -> None:
        """Draw all rows against a scale that ends at `end` seconds."""
        end = end or max((start + length for _, start, length in rows), default=0.0) or 1.0
        for step, start, length in rows:
            if step.digest not in self._buttons:
                self._add(step)
            _, bar = self._buttons[step.digest]
            drawn = bar_html(step, start, length, end)
            if bar.value != drawn:
                bar.value = drawn

    def _add(self, step: Step) -> None:
        name = step.name if len(step.name) <= 48 else step.name[:47] + "…"
        made = widgets.Button(
            description=name,
            tooltip=f"Show the log of {step.name}",
            layout=widgets.Layout(width="380px", height="24px"),
            style={"button_color": "transparent", "font_family": "monospace", "font_size": "11px"},
        )
        made.add_class("dockerlab-step")
        made.on_click(lambda _: self._choose(step))
        bar = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", min_width="220px"))
        self._buttons[step.digest] = (made, bar)
        self._list.children = (
            *self._list.children,
            widgets.HBox([made, bar], layout=widgets.Layout(align_items="center")),
        )

    def _choose(self, step: Step) -> None:
        said = (
            step.log.strip()
            or step.error
            or ("Its result came from the cache." if step.cached else "This step wrote nothing.")
        )
        self._log.value = live.log(said, f"Log of {step.name}")


def bar_html(step: Step, start: float, length: float, end: float) -> str:
    """One bar of the chart; hatched where cached, dashed while it runs; its words stand beside it. Pure."""
    left, width = 80 * start / end, max(0.8, 80 * length / end)
    running = not (step.done or step.cached)
    fill = live.CACHED if step.cached else (live.BAD if step.error else live.RUN)
    said = (
        "cached" if step.cached else ("failed" if step.error else f"{length:.1f} s{' …' if running else ''}")
    )
    edge = "1px dashed currentColor" if running else "1px solid transparent"
    return (
        f'<div style="position:relative;height:18px;color:{live.INK}">'
        f'<div style="position:absolute;left:{left:.1f}%;width:{width:.1f}%;top:2px;height:12px;background:{fill};border:{edge}"></div>'
        f'<span style="position:absolute;left:calc({left + width:.1f}% + 6px);font-size:11px;line-height:17px;white-space:nowrap">{said}</span></div>'
    )
