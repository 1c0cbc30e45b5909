"""docs/ground.md: everything that the course stands on, and until when upstream looks after it.

The entries stand in docs/ground.toml, a `[[thing]]` each. `ends` is a date, a month where upstream names no day, or one of ENDLESS:
"rolling" (the name stays, its content moves on), "pinned" (exact, and upstream names no end), "unknown" (no source found). These need a
`why`. What has ended and is still used carries `accepted_until`, at most ACCEPTED days after `checked`, and a `why`.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockerlab.course.authoring.regions import BuildError

SOURCE = "docs/ground.toml"
KINDS = {
    "release": "Python, Debian and Kubernetes",
    "image": "Images",
    "api": "API versions in manifests",
    "runner": "Continuous integration: machines",
    "runtime": "Continuous integration: runtimes of actions",
    "action": "Continuous integration: actions",
    "package": "Packages from PyPI inside images",
}
ENDLESS = ("rolling", "pinned", "unknown")
NOTICE = datetime.timedelta(days=60)  # before an end
ACCEPTED = datetime.timedelta(days=180)  # the longest that an end is put up with at a time
LOOK_AGAIN = datetime.timedelta(days=365)  # at what has no date
_TEXTS = ("kind", "name", "version", "source")
_OPTIONAL = ("why", "note", "commit", "runtime")
_KEYS = {*_TEXTS, *_OPTIONAL, "used", "ends", "checked", "accepted_until"}
INTRODUCTION = """\
# What the course stands on

Every release, image, API version, action and package that the course names, and the date when its support ends upstream.

This page is built from [ground.toml](ground.toml) by `tools/build_course.py --tables`.
`tests/repository/test_ground.py` fails 60 days before an end, and whenever this table and the files of the repository name different versions.

- **rolling**: the name stays, and its content moves on.
- **pinned**: an exact version, for which upstream names no end.
- **unknown**: no source was found; the entry says what was tried.

What has no date is looked up again after a year. What has ended and is still in use is accepted for at most 180 days at a time, with a reason.
A date without a day counts from the first of the month.
"""


@dataclass(frozen=True)
class Thing:
    """One entry. `used` are patterns of the files that name it; an action has its `commit` and the `runtime` it runs on."""

    kind: str
    name: str
    version: str
    used: tuple[str, ...]
    ends: datetime.date | str
    source: str
    checked: datetime.date
    why: str = ""
    note: str = ""
    commit: str = ""
    runtime: str = ""
    accepted_until: datetime.date | None = None

    @property
    def label(self) -> str:
        """What one types: `redis:7-bookworm`, `numpy==2.4.6`, `Python 3.11`."""
        joint = {"image": ":", "package": "==", "action": "@"}.get(self.kind, " ")
        return f"{self.name}{joint}{self.version}"

    @property
    def end(self) -> datetime.date | None:
        """The day from which upstream no longer looks after it; None where there is none."""
        if isinstance(self.ends, datetime.date):
            return self.ends
        return None if self.ends in ENDLESS else datetime.date.fromisoformat(f"{self.ends}-01")


def read(root: Path) -> list[Thing]:
    """The entries, in order. Raises BuildError that names the one that is not complete."""
    try:
        entries = tomllib.loads((root / SOURCE).read_text(encoding="utf-8")).get("thing", [])
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{SOURCE} cannot be read.", f"{error}.", "Correct that line.") from error
    things = []
    for number, entry in enumerate(entries, 1):
        wrong = _wrong(entry)
        if wrong:
            name = entry.get("name") or f"entry {number}"
            raise BuildError(
                f"{SOURCE}, {name}: {wrong}.",
                fix="dockerlab/course/authoring/tables/ground.py says what it needs.",
            )
        things.append(Thing(**(entry | {"used": tuple(entry["used"])})))
    labels = [thing.label for thing in things]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise BuildError(f"{SOURCE} names {', '.join(twice)} twice.", fix="Join the entries.")
    return things


def _wrong(entry: dict[str, Any]) -> str:
    """What is wrong with an entry; empty where it is complete."""
    unknown = sorted(set(entry) - _KEYS)
    missing = [key for key in (*_TEXTS, "used", "ends", "checked") if not entry.get(key)]
    odd = [key for key in (*_TEXTS, *_OPTIONAL) if not isinstance(entry.get(key, ""), str)]
    if unknown or missing or odd:
        return f"unknown keys {unknown}, missing {missing}, no text {odd}"
    if entry["kind"] not in KINDS:
        return f"no kind {entry['kind']!r}; there are {', '.join(KINDS)}"
    if not entry["source"].startswith("https://"):
        return "its source is no https address"
    if not isinstance(entry["used"], list) or not all(isinstance(path, str) for path in entry["used"]):
        return "`used` is no list of paths"
    if entry["kind"] == "action" and not (entry.get("commit") and entry.get("runtime")):
        return "an action needs a commit and a runtime"
    return _wrong_dates(entry)


def _wrong_dates(entry: dict[str, Any]) -> str:
    ends, checked, accepted = entry["ends"], entry["checked"], entry.get("accepted_until")
    if not _is_date(checked) or (accepted is not None and not _is_date(accepted)):
        return "`checked` and `accepted_until` are dates without quotes"
    if not _is_date(ends) and ends not in ENDLESS and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", str(ends)):
        return f"`ends` is {ends!r}: neither a date, a month in quotes, nor one of {', '.join(ENDLESS)}"
    if (ends in ENDLESS or accepted) and not entry.get("why"):
        return "it needs a `why`"
    if accepted and accepted - checked > ACCEPTED:
        return f"accepted until {accepted}, more than {ACCEPTED.days} days after {checked}"
    return ""


def _is_date(value: object) -> bool:
    return isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)


def due(things: list[Thing], today: datetime.date) -> list[str]:
    """One line for each entry that needs somebody: it ends within NOTICE and nobody accepted that, or it was not looked at for too long."""
    lines = []
    for thing in things:
        end, accepted = thing.end, thing.accepted_until
        if thing.checked > today:
            lines.append(f"{thing.label}: checked on {thing.checked}, which is yet to come")
        elif end is None and today - thing.checked > LOOK_AGAIN:
            lines.append(
                f"{thing.label}: has no date, and was last looked up on {thing.checked}: {thing.source}"
            )
        elif accepted and today > accepted:
            lines.append(f"{thing.label}: was accepted until {accepted} only ({thing.why})")
        elif end and not accepted and end - today <= NOTICE:
            verb = "ended" if end <= today else "ends"
            lines.append(
                f"{thing.label}: {verb} on {end}, says {thing.source}; replace it, or accept it with a reason"
            )
    return lines


def render(things: list[Thing]) -> str:
    """The text of docs/ground.md; it depends on the entries alone, not on the day."""
    parts = [INTRODUCTION]
    for kind, title in KINDS.items():
        rows = [_row(thing) for thing in things if thing.kind == kind]
        if rows:
            parts.append(
                "\n".join(
                    [
                        f"## {title}\n",
                        "| what | ends | used in | checked | remarks |",
                        "|---|---|---|---|---|",
                        *rows,
                    ]
                )
                + "\n"
            )
    return "\n".join(parts)


def _row(thing: Thing) -> str:
    accepted = f"accepted until {thing.accepted_until}" if thing.accepted_until else ""
    runs = f"runs on {thing.runtime}, commit `{thing.commit[:12]}`" if thing.commit else ""
    remarks = "; ".join(part for part in (accepted, runs, thing.why, thing.note) if part)
    used = ", ".join(f"`{path}`" for path in thing.used)
    cells = (f"`{thing.label}`", f"[{thing.ends}]({thing.source})", used, str(thing.checked), remarks)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
