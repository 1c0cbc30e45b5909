"""What a learner has reached in each lab, and the hints they read: one file on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import state_folder
from dockerlab.engine import object_labels

if TYPE_CHECKING:
    from dockerlab.course.grading.report import Report


def state_file() -> Path:
    """progress.json in the folder for the course's state; progress-NAME.json for a learner who shares the login with others."""
    return state_folder() / (
        f"progress-{object_labels.owner()}.json" if object_labels.shares_a_login() else "progress.json"
    )


def load_progress() -> dict[str, dict[str, Any]]:
    """What was checked so far, by lab number; an unreadable file counts as none."""
    try:
        data = json.loads(state_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {key: value for key, value in data.items() if isinstance(value, dict)}
        if isinstance(data, dict)
        else {}
    )


def save_progress(report: Report) -> None:
    """Note a report in the progress file, whole or not at all; a lab once passed stays passed.

    Raises CourseError where the file cannot be written.
    """
    data: dict[str, Mapping[str, Any]] = dict(load_progress())
    before = data.get(report.number, {})
    data[report.number] = dict(before) | {
        "name": report.name,
        "held": report.held,
        "of": len(report.results),
        "started": report.started,
        "passed": report.passed or bool(before.get("passed")),
    }
    _write(data)


def hints_read(note: Mapping[str, Any]) -> dict[str, int]:
    """How many of the two hints were read, by criterion, from a lab's entry in the progress file."""
    read = note.get("hints")
    return (
        {str(key): value for key, value in read.items() if isinstance(value, int)}
        if isinstance(read, dict)
        else {}
    )


def count_hints(number: str, key: str, read: int) -> None:
    """Note that `read` hints of a criterion are known now; one that is read again counts once.

    Raises CourseError where the progress file cannot be written.
    """
    data: dict[str, Mapping[str, Any]] = dict(load_progress())
    note = data.get(number, {})
    known = hints_read(note)
    if known.get(key, 0) < read:
        data[number] = dict(note) | {"hints": known | {key: read}}
        _write(data)


def _write(data: Mapping[str, Any]) -> None:
    path = state_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".progress-", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, sort_keys=True)
        Path(name).replace(path)
    except OSError as error:
        raise CourseError(
            "Your progress cannot be saved.",
            f"{error}.",
            "Set DOCKERLAB_STATE to a folder that you can write to.",
        ) from error
