"""What all instruments share: a background thread that never outlives its cell, a printed form, and one look.

An instrument belongs to the notebook cell that made it. When that cell runs again, the instrument of its last run is closed first:
its thread ends, its connection to the engine is closed, its widgets are freed. At the end of a lesson it only rests: a reader who ran
all cells at once still sees what it showed.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import docker
import ipywidgets as widgets
import requests
from docker.errors import APIError, DockerException, NotFound
from IPython import get_ipython
from matplotlib.figure import Figure

from dockerlab.core.errors import CourseError
from dockerlab.engine import connection

JOIN_SECONDS = 3.0
_OPEN: dict[str, Instrument] = {}

# JupyterLab's own colours, so that light and dark themes both work; the fallback is for other front ends.
INK = "var(--jp-ui-font-color1, #22303a)"
FAINT = "var(--jp-border-color2, #d9dee2)"
RUN = "var(--dockerlab-run, #2f6f9f)"
CACHED = "repeating-linear-gradient(45deg, #9fb4c2 0 4px, #c9d6df 4px 8px)"
BAD = "#b03a48"
GOOD = "#2f7d5b"


class Instrument:
    """The base of all instruments. A subclass fills `self.box`, says `text()`, and gives `self.start(...)` what to do in the background.

    `lasting` says that what it shows can still be used when the engine is not asked any more.
    """

    lasting = False

    def __init__(self) -> None:
        self.box = widgets.VBox(layout=widgets.Layout(max_width="960px"))
        self.note = widgets.HTML()
        self._client: docker.DockerClient | None = None
        self._connecting = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._key = _cell(type(self).__name__)
        if self._key in _OPEN:
            _OPEN[self._key].close()
        _OPEN[self._key] = self

    @property
    def client(self) -> docker.DockerClient:
        """The instrument's own connection to the engine, made at first use. Raises EngineUnavailable; CourseError where it was closed."""
        with self._connecting:
            if self._client is None and not self._ended.is_set():
                self._client = connection.connect()
            if self._client is None or self._ended.is_set():
                self._hang_up()
                raise CourseError("This instrument is closed.", fix="Run its cell again.")
            return self._client

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._ended.is_set()

    def text(self) -> str:
        """The printed form: what the instrument shows, as text."""
        raise NotImplementedError

    def start(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread of its own; an error that a reader can mend is shown in the instrument."""
        thread = threading.Thread(
            target=self._guarded, args=(work,), name=f"dockerlab-{type(self).__name__}", daemon=True
        )
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def every(self, seconds: float, look: Callable[[], bool]) -> None:
        """Call `look` again and again in the background until it returns False or the instrument is closed."""

        def work() -> None:
            while not self._ended.is_set() and look():
                self._ended.wait(seconds)

        self.start(work)

    def wait(self, timeout: float = 600) -> None:
        """Block until the background work is done, at most `timeout` seconds; for scripts and tests."""
        for thread in list(self._threads):
            thread.join(timeout)

    def say(self, text: str, bad: bool = False) -> None:
        """One sentence below the instrument; screen readers speak it when it changes."""
        mark = "✗ " if bad else ""
        self.note.value = f'<div role="status" style="color:{INK}">{mark}{escape(text)}</div>'

    def rest(self) -> None:
        """End threads and the connection; what is seen stays, and buttons that need them are switched off. May be called more than once."""
        again = self._ended.is_set()
        self._ended.set()
        self.interrupt()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(JOIN_SECONDS)
        self._hang_up()
        if not (again or self.lasting):
            switch_off(self.box)
            self.say("Closed: run this cell again to go on.")

    def close(self) -> None:
        """End it and free its widgets: they go from the notebook. May be called more than once."""
        self.lasting = True  # nothing to switch off
        self.rest()
        if _OPEN.get(self._key) is self:
            del _OPEN[self._key]
        close_tree(self.box)

    def interrupt(self) -> None:
        """Unblock the background work; a subclass that waits for a stream closes it here."""

    def _hang_up(self) -> None:
        """Close what is open of the connection; a thread that still has it in hand would open it again, and so closes it again when it ends."""
        if self._client is not None:
            self._client.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except NotFound:
            self._tell("It is gone: somebody removed it.")
        except CourseError as error:
            self._tell(str(error))
        except APIError as error:
            self._tell(f"The engine refused: {str(error.explanation or error).rstrip('.')}.")
        except (DockerException, requests.RequestException, OSError):
            self._tell("The engine does not answer. Run `dockerlab doctor`.")
        finally:
            if self._ended.is_set():
                self._hang_up()

    def _tell(self, sentence: str) -> None:
        if not self._ended.is_set():
            self.say(sentence, bad=True)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs) | {
            "text/plain": f"{self.text()}\n(An instrument: run this cell to use it.)"
        }

    def __repr__(self) -> str:
        return self.text()


def close_all() -> None:
    """End every instrument that is open, as the clean-up of a lesson and the end of a kernel do; what they show stays to be read."""
    for instrument in list(_OPEN.values()):
        with contextlib.suppress(Exception):
            instrument.rest()


atexit.register(close_all)


def _cell(kind: str) -> str:
    """What names the running cell: its id in JupyterLab and VS Code; elsewhere the kind alone, so one of each is open."""
    shell = get_ipython()
    parent = shell.get_parent() if shell is not None and hasattr(shell, "get_parent") else {}
    metadata = (parent or {}).get("metadata") or {}
    return f"{kind}@{metadata.get('cellId') or (metadata.get('vscode') or {}).get('cellId') or ''}"


def close_tree(widget: widgets.Widget) -> None:
    """Free a widget with all that it holds."""
    for child in getattr(widget, "children", ()):
        close_tree(child)
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None), widget):
        if isinstance(part, widgets.Widget):
            part.close()


def switch_off(widget: widgets.Widget) -> None:
    """Let a widget, and all that it holds, take no more clicks and keys."""
    for child in getattr(widget, "children", ()):
        switch_off(child)
    if widget.has_trait("disabled"):
        widget.disabled = True


def button(text: str, action: Callable[[], None], tooltip: str = "", icon: str = "") -> widgets.Button:
    """A button that calls `action`; `tooltip` is also what a screen reader says."""
    made = widgets.Button(
        description=text,
        tooltip=tooltip or text,
        icon=icon,
        layout=widgets.Layout(width="auto", align_self="flex-start"),
    )
    made.on_click(lambda _: action())
    return made


def png(figure: Figure) -> bytes:
    """A figure for widgets.Image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A small HTML table with left-aligned text, for widgets.HTML; cells are escaped."""
    style = f"text-align:left;padding:1px 12px 1px 0;color:{INK};vertical-align:top"
    titles = "".join(f'<th scope="col" style="{style}">{escape(each)}</th>' for each in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{style}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<table style="border-collapse:collapse"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def log(text: str, label: str, height: str = "9em") -> str:
    """Lines of a log as HTML: fixed width, scrollable by keyboard."""
    return (
        f'<pre tabindex="0" role="log" aria-label="{escape(label)}" style="max-height:{height};overflow:auto;margin:4px 0;padding:4px 6px;'
        f'border:1px solid {FAINT};font-size:12px;line-height:1.35;white-space:pre-wrap;color:{INK}">{escape(text) or "(nothing yet)"}</pre>'
    )
