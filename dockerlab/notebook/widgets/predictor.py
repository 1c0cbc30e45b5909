"""Instrument: choose an edit, tick the steps that will run again, build, and see each tick marked with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from dockerlab.images.cache_model import BuildDiary
from dockerlab.notebook.predict import COLUMNS, Ticks, marked, score, tick_steps
from dockerlab.notebook.widgets import live

# What an edit does to the folder; it may return build arguments for the build that follows.
Edit = Callable[[Path], Mapping[str, str] | None]


class CachePredictor(live.Instrument):
    """Works on `folder` itself: each chosen edit is made there before the build. `edits` are offered by their names, in order."""

    def __init__(
        self, folder: Path | str, tag: str, edits: Mapping[str, Edit], dockerfile: str = "Dockerfile"
    ) -> None:
        super().__init__()
        self.folder, self.edits = Path(folder), dict(edits)
        self.results: list[pd.DataFrame] = []
        self._diary: BuildDiary | None = None
        self._tag, self._dockerfile = tag, dockerfile
        self.choice = widgets.Dropdown(
            options=list(edits),
            description="Edit",
            style={"description_width": "40px"},
            layout=widgets.Layout(width="420px"),
        )
        self.ticks: Ticks | None = None
        self._ticks, self._marks = widgets.VBox(), widgets.HTML()
        self.run = live.button(
            "Make the edit and build",
            self._build,
            "Make this edit in the folder, build, and mark the ticks",
            "play",
        )
        self.run.disabled = True
        self.box.children = [self.choice, self._ticks, self.run, self.note, self._marks]
        self.say("The first build fills the cache …")
        self.start(self._first)

    def _first(self) -> None:
        self._diary = BuildDiary(self.folder, self._tag, self.client, self._dockerfile)
        self._diary.build()
        self._ask()
        self.say("Choose an edit, tick the steps that you think will run, then build.")

    def _ask(self) -> None:
        """Boxes for the steps as they stand now; ticks of the last round are not kept, since another edit is another question."""
        if self._diary is None or self.ended:
            return
        live.close_tree(self._ticks)
        self.ticks = tick_steps("After this edit", list(dict.fromkeys(self._diary.steps)))
        self._ticks = self.ticks.widget
        self.box.children = [self.choice, self._ticks, self.run, self.note, self._marks]
        self.run.disabled = False

    def _build(self) -> None:
        self.run.disabled = True
        self.say(f"{self.choice.value}: building …")
        self.start(self._verify)

    def _verify(self) -> None:
        diary, ticks = self._diary, self.ticks
        assert diary is not None and ticks is not None
        try:
            buildargs = self.edits[self.choice.value](self.folder)
            diary.build(buildargs)
            table = marked(ticks, diary.explain())
        finally:
            self.run.disabled = False
        self.results.append(table)
        rows = [[str(step), *(str(row[column]) for column in COLUMNS[1:])] for step, row in table.iterrows()]
        self._marks.value = live.table(COLUMNS, rows)
        self.say(f"{self.choice.value}: {score([table])}.")
        self._ask()

    def text(self) -> str:
        """The ticks of every round beside what happened."""
        if not self.results:
            return "No edit was tried yet."
        return "\n\n".join(
            [*(table.to_string(max_colwidth=60) for table in self.results), score(self.results)]
        )
