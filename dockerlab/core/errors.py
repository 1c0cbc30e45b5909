"""The one exception that learners see: what happened, why probably, and what to do now; and no password in any of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dockerlab.core.markup import printable

HIDDEN = "****"
# user:password@ and token@ of a URL, as pip hides them (pip._internal.utils.misc.redact_auth_from_url). A password that nobody
# escaped may hold a slash or an @: all up to the last @ of the word is hidden, unless what stands behind the colon is a port.
_LOGIN = re.compile(
    r"""(?P<scheme>\b[a-z][a-z0-9+.-]*:/{1,2})(?:(?P<user>[^\s/:@'"<>]*):(?!\d+(?:[/\s'"?#]|$))[^\s<>]*@|(?P<token>[^\s/:@'"<>]+)@)""",
    re.I,
)
# The same without a scheme, as proxies are often written; an image's digest (name:tag@sha256:...) is none.
_BARE_LOGIN = re.compile(r"""(?<![\w/:.@-])(?P<user>[\w.+-]+):(?!/)[^\s/@'"<>]+@(?!sha\d+:)(?=[\w\[])""")
_QUERY = re.compile(
    r"""([?&;][\w.-]*(?:token|key|secret|passw(?:or)?d|pwd|auth|credential|signature|sig|session)[\w.-]*=)[^&;#\s'"<>]+""",
    re.I,
)
_HEADER = re.compile(r"(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer|token)\s+)[^\s'\"]+", re.I)


def redact(text: str) -> str:
    """The text with every password, token and signature in its URLs hidden; a user's name stays where it has a password of its own.

    It stands at the edge, where something is printed or raised: `CourseError`, the rows of the doctor, the steps of a build.
    """
    text = _LOGIN.sub(_login, text)
    text = _BARE_LOGIN.sub(lambda found: f"{found['user']}:{HIDDEN}@", text)
    return _HEADER.sub(rf"\1{HIDDEN}", _QUERY.sub(rf"\1{HIDDEN}", text))


def _login(found: re.Match[str]) -> str:
    if found["token"] is None:
        return f"{found['scheme']}{found['user']}:{HIDDEN}@"
    # The user of an SSH address is a name; elsewhere a user without a password is a token.
    return found[0] if "ssh" in found["scheme"].lower() else f"{found['scheme']}{HIDDEN}@"


class CourseError(RuntimeError):
    """Something that the reader can mend.

    `what` happened, `why` it probably did and what `fix`es it are one sentence each; `str()` joins them.
    The command line prints them and exits with code 1; a notebook shows them without a stack trace. Passwords are hidden,
    and codes that would move the reader's cursor are replaced: a cause is often what another program wrote.
    """

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = (redact(printable(text)) for text in (what, why, fix))
        super().__init__(" ".join(part for part in (self.what, self.why, self.fix) if part))

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this instead of printing the stack."""
        lines = [f"{type(self).__name__}: {self.what}"]
        lines += [f"  why: {self.why}"] if self.why else []
        lines += [f"  do:  {self.fix}"] if self.fix else []
        return lines


@contextmanager
def of_extra(extra: str, package: str) -> Iterator[None]:
    """Around the use of a package that comes with an extra of the project. Raises CourseError where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise CourseError(
            f"{package} is not installed.",
            f"It comes with `{extra}`, an extra of the course that not every lesson needs.",
            f"Run `make setup`, or `pip install --editable '.[{extra}]'` in the environment of the course.",
        ) from error
