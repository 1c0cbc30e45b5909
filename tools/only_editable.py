"""Let the package be installed as an editable checkout only: its lessons, labs and assets lie beside it and are in no wheel."""

from __future__ import annotations

from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class OnlyEditable(BuildHookInterface[BuilderConfig]):
    """Refuse the wheel that `pip install .` or `pip wheel` asks for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build; `version` is "editable" for `pip install -e`, else "standard"."""
        if version != "editable":
            raise RuntimeError(
                "dockerlab works from its checkout only, where its lessons and labs are. Run `pip install -e .` there."
            )
