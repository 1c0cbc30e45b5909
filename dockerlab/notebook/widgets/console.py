"""Instrument: one container with its buttons, its state and health over time, its cpu and memory, its last lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets
from docker.errors import APIError, NotFound

from dockerlab.containers.stats import Load, load
from dockerlab.core.polling import wait_until
from dockerlab.notebook.widgets import live

LOOK_SECONDS = 0.7
STRIP_LENGTH = 60
STOP_SECONDS = 10
# Letters carry the meaning, colours only repeat it.
STATES = {
    "starting": ("s", "#d98e32"),
    "healthy": ("h", live.GOOD),
    "unhealthy": ("u", live.BAD),
    "running": ("r", live.RUN),
    "paused": ("p", "#8a97a1"),
    "restarting": ("o", "#d98e32"),
    "exited": ("x", "#22303a"),
    "gone": ("–", "#22303a"),
}


def state_of(attributes: Mapping[str, Any]) -> str:
    """One word from `docker inspect`: health where there is a check and it runs, else the state. Pure."""
    state = attributes["State"]
    health: str = (state.get("Health") or {}).get("Status", "none")
    status: str = state["Status"]
    return health if status == "running" and health not in ("", "none") else status


class ContainerConsole(live.Instrument):
    """Start, stop, kill, restart and pause one container; each button shows the command line that it stands for."""

    def __init__(self, container: str) -> None:
        super().__init__()
        self.name = container
        self.command = ""
        self._strip: deque[str] = deque(maxlen=STRIP_LENGTH)
        self._samples: deque[Load] = deque(maxlen=STRIP_LENGTH)
        self._before: dict[str, Any] = {}
        self._state, self._code = "", 0
        self._head, self._meters, self._lines = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._line = widgets.HTML()
        actions: dict[str, Callable[[Any], None]] = {
            "start": lambda found: found.start(),
            "stop": lambda found: found.stop(timeout=STOP_SECONDS),
            "kill": lambda found: found.kill(),
            "restart": lambda found: found.restart(timeout=STOP_SECONDS),
            "pause": lambda found: found.pause(),
            "unpause": lambda found: found.unpause(),
        }
        self.buttons = {
            verb: live.button(verb, partial(self._do, verb, act), f"docker {verb} {container}")
            for verb, act in actions.items()
        }
        self.box.children = [
            widgets.HBox(list(self.buttons.values()), layout=widgets.Layout(flex_flow="row wrap")),
            self._line,
            self._head,
            self._meters,
            self._lines,
            self.note,
        ]
        self.every(LOOK_SECONDS, self._look)

    def _do(self, verb: str, act: Callable[[Any], None]) -> None:
        self.command = f"docker {verb} {self.name}"
        self._line.value = f'<code style="color:{live.INK}">$ {escape(self.command)}</code>'
        self.start(lambda: act(self.client.containers.get(self.name)))

    def _look(self) -> bool:
        try:
            found = self.client.containers.get(self.name)
            self._state, self._code = state_of(found.attrs), found.attrs["State"]["ExitCode"]
            if self._state not in ("exited", "created", "dead"):
                self._measure()
            lines = found.logs(tail=8).decode(errors="replace").rstrip()
        except NotFound:
            self._state, lines = "gone", ""
            self.say(f"{self.name} was removed.", bad=True)
        except APIError as error:
            if error.status_code != 409:  # its removal has begun: the next look will not find it
                raise
            return True
        self._strip.append(self._state)
        self._draw(lines)
        return self._state != "gone"

    def _measure(self) -> None:
        """One reading at once; the one before it gives the time that passed."""
        stats = self.client.api.stats(self.name, stream=False, one_shot=True)
        sample = load(stats | {"precpu_stats": self._before}) if self._before else None
        self._before = stats.get("cpu_stats") or {}
        if sample:
            self._samples.append(sample)

    def _draw(self, lines: str) -> None:
        code = f", exit code {self._code}" if self._state == "exited" else ""
        cells = "".join(
            f'<span title="{state}" style="display:inline-block;width:12px;text-align:center;font:11px monospace;color:white;'
            f'background:{STATES.get(state, ("?", "#8a97a1"))[1]}">{STATES.get(state, ("?", ""))[0]}</span>'
            for state in self._strip
        )
        self._head.value = (
            f'<div style="color:{live.INK}"><b>{escape(self.name)}</b>: <span role="status">{self._state}{code}</span></div>'
            f'<div role="img" aria-label="State over time, now {self._state}">{cells}</div>'
        )
        if self._samples:
            now = self._samples[-1]
            self._meters.value = sparkline(
                [each.cpu_percent for each in self._samples], f"cpu {now.cpu_percent:.0f} % of one core"
            ) + sparkline(
                [each.memory_bytes / 1e6 for each in self._samples],
                f"memory {now.memory_bytes / 1e6:.0f} MB of {now.limit_bytes / 1e6:,.0f} MB",
            )
        if lines or self._state != "gone":
            self._lines.value = live.log(lines, f"Last lines of {self.name}")
        running = self._state not in ("exited", "created", "dead", "gone")
        for verb, made in self.buttons.items():
            allowed = {
                "start": not running,
                "unpause": self._state == "paused",
                "pause": running and self._state != "paused",
            }.get(verb, running)
            made.disabled = self._state == "gone" or not allowed

    def text(self) -> str:
        """State, load and the time line of states, one letter a look."""
        letters = "".join(STATES.get(state, ("?", ""))[0] for state in self._strip)
        last = self._samples[-1] if self._samples else None
        used = f", cpu {last.cpu_percent:.0f} %, memory {last.memory_bytes / 1e6:.0f} MB" if last else ""
        return f"{self.name}: {self._state or 'not looked at yet'}{used} [{letters}]"

    def wait_for(self, state: str, timeout: float = 30) -> bool:
        """Whether it showed `state` within `timeout` seconds; for scripts and tests."""
        wait_until(lambda: self._state == state or self.ended, timeout, 0.05)
        return self._state == state


def sparkline(values: list[float], label: str, width: int = 240, height: int = 28) -> str:
    """A small line chart as SVG from zero to the largest value, its label beside it. Pure."""
    top = max([*values, 1e-9])
    step = width / max(1, STRIP_LENGTH - 1)
    points = " ".join(
        f"{number * step:.1f},{height - 2 - (height - 4) * value / top:.1f}"
        for number, value in enumerate(values)
    )
    return (
        f'<div style="display:flex;align-items:center;gap:8px;color:{live.INK}"><svg width="{width}" height="{height}" role="img" aria-label="{label}">'
        f'<line x1="0" y1="{height - 1}" x2="{width}" y2="{height - 1}" stroke="currentColor" stroke-opacity="0.3"/>'
        f'<polyline points="{points}" fill="none" stroke="{live.RUN}" stroke-width="1.6"/></svg><span style="font-size:12px">{label}</span></div>'
    )
