"""One precondition of the course: what was found, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dockerlab.core.errors import redact

if TYPE_CHECKING:
    pass


Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One precondition; `fix` is the command or sentence that mends it, empty where it is ok. Passwords are hidden."""

    name: str
    status: Status
    found: str
    fix: str = ""

    def __post_init__(self) -> None:
        for name in ("found", "fix"):
            object.__setattr__(self, name, redact(getattr(self, name)))
