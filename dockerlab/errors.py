"""The one exception that learners see: what happened, why probably, and what to do now."""

from __future__ import annotations


class CourseError(RuntimeError):
    """Something that the reader can mend.

    `what` happened, `why` it probably did and what `fix`es it are one sentence each; `str()` joins them.
    The command line prints them and exits with code 1; a notebook shows them without a stack trace.
    """

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__(" ".join(part for part in (what, why, fix) if part))

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this instead of printing the stack."""
        lines = [f"{type(self).__name__}: {self.what}"]
        lines += [f"  why: {self.why}"] if self.why else []
        lines += [f"  do:  {self.fix}"] if self.fix else []
        return lines
