"""The files of a new lesson or lab, laid down from the folders beside this one; its tests pass as they stand.

In paths and texts `NN` and `topic` (in texts between two @) are the number and the name; every template ends in .txt.
"""

from __future__ import annotations

import re
from pathlib import Path

from dockerlab.core.errors import CourseError

FOLDER = Path(__file__).parent
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def lay_down(kind: str, number: str, topic: str, root: Path) -> list[Path]:
    """Write the files of a `lesson` or a `lab` under `root`; returns their paths, relative to it.

    A lab goes to the lesson package of its number where there is one. Raises CourseError for a number or a name that cannot be, and
    where something of the kind with this number is there already; then nothing is written.
    """
    if not re.fullmatch(r"\d\d", number):
        raise CourseError(f"{number!r} is no number of a lesson.", fix="Use two digits, such as 13.")
    if not NAME.fullmatch(topic):
        raise CourseError(
            f"{topic!r} is no name of a lesson.", fix="Use lower-case words, such as watch_a_registry."
        )
    there = next((root / "dockerlab/lessons").glob(f"lesson{number}_*"), None) if kind == "lab" else None
    package = there.name.partition("_")[2] if there else topic
    title = topic.replace("_", " ")
    marks = {"NN": number, "topic": package, "title": title, "Title": title.capitalize()}
    files = {}
    for template in sorted((FOLDER / kind).rglob("*.txt")):
        place = template.relative_to(FOLDER / kind).as_posix().removesuffix(".txt")
        name = package if place.startswith(("dockerlab/", "tests/lessons/")) else topic
        place = place.replace("NN", number).replace("topic", name)
        text = template.read_text(encoding="utf-8")
        files[Path(place)] = re.sub(r"@(NN|topic|title|Title)@", lambda mark: marks[mark[1]], text)
    taken = [path for path in files if (root / path).exists()]
    source = "notebooks" if kind == "lesson" else "labs"
    taken += [path.relative_to(root) for path in (root / "sources" / source).glob(f"{number}_*")]
    if taken:
        raise CourseError(f"{taken[0]} is there already.", fix="Choose another number.")
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return list(files)
