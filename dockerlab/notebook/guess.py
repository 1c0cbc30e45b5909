"""A guess before the outcome, beside the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import pandas as pd

_GUESS_STYLE = """<style>
.dockerlab-guess { margin: 2px 0 6px; max-width: 760px; }
.dockerlab-guess > .widget-html { display: none; }
.dockerlab-guess .widget-inline-hbox { flex-wrap: wrap; height: auto; width: auto; margin: 0; gap: 2px 10px; align-items: center; }
.dockerlab-guess .widget-label { white-space: normal; overflow: visible; height: auto; width: auto; max-width: 100%; line-height: 1.4;
  text-align: left; font-weight: 600; align-self: center; }
.dockerlab-guess .widget-inline-hbox input { flex: 0 0 9em; min-width: 0; }
.dockerlab-guess .widget-toggle-buttons { display: flex; flex-wrap: wrap; gap: 6px; overflow: visible; width: auto; }
.dockerlab-guess .widget-toggle-buttons > div { display: flex; flex-wrap: wrap; gap: 6px; }
.dockerlab-guess .widget-toggle-button { width: auto; max-width: 100%; height: auto; min-height: 30px; margin: 0; padding: 4px 12px; line-height: 1.35;
  white-space: normal; text-align: left; border-radius: 4px; box-shadow: none; color: var(--jp-ui-font-color1, inherit);
  background: var(--jp-layout-color2, #eee); border: 1px solid var(--jp-border-color1, #bbb); }
.dockerlab-guess .widget-toggle-button::before { content: "○ "; }
.dockerlab-guess .widget-toggle-button.mod-active { font-weight: 600; border: 2px solid var(--jp-brand-color1, #2f6f9f); padding: 3px 11px; }
.dockerlab-guess .widget-toggle-button.mod-active::before { content: "● "; }
.dockerlab-guess :focus-visible { outline: 3px solid var(--jp-brand-color1, #2f6f9f); outline-offset: 2px; }
</style>"""


class Guess:
    """A guess with a default, so that the notebook runs unattended; `value` is what stands in its widget."""

    def __init__(self, question: str, widget: Any) -> None:
        self.question, self.widget = question, widget
        self._box = widgets.VBox([widgets.HTML(_GUESS_STYLE), widget])
        self._box.add_class("dockerlab-guess")

    @property
    def value(self) -> Any:
        """The reader's guess, or the default."""
        return self.widget.value

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self._box._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Your guess: {self.question} (default {self.value})"


def guess_box(question: str, options: Sequence[Any] | None = None, default: Any = None) -> Guess:
    """Ask for a guess: one of `options`, or a number like `default`."""
    style = {"description_width": "initial"}
    layout = widgets.Layout(width="auto")
    if options is not None:
        choice = widgets.ToggleButtons(
            options=list(options),
            value=default,
            description=question,
            layout=layout,
            style=style | {"button_width": "auto"},
        )
        return Guess(question, choice)
    kind = widgets.IntText if isinstance(default, int) else widgets.FloatText
    return Guess(question, kind(value=default, description=question, style=style, layout=layout))


def beside(guess: Guess, outcome: Any) -> pd.DataFrame:
    """The guess and what really happened, in one line."""
    return pd.DataFrame({"your guess": [guess.value], "outcome": [outcome]}, index=[guess.question])
