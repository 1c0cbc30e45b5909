"""Dockerfiles and what BuildKit's own parser makes of them: the yardstick of dockerlab.dockerfile, in tests/data/dockerfile_yardstick.json.

Each row there is a text and what is read of it, null where it is refused. To add one, write `["text", null]` and run
`python tests/support/dockerfile_yardstick.py` where PyPI's `dockerfile` is installed: a wheel around BuildKit's Go parser. It is no dependency of
the course: it has no wheel for Linux on arm64, is no longer maintained, and holds BuildKit 0.12, which reads some things otherwise than
BuildKit 0.18 and later (JSON with something behind it, a space behind `<<`, the directive check): those are in test_dockerfile.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[1] / "data" / "dockerfile_yardstick.json"


def load() -> list[tuple[str, list[dict[str, Any]] | None]]:
    return [(text, expected) for text, expected in json.loads(RECORD.read_text(encoding="utf-8"))]


def record(text: str) -> list[dict[str, Any]] | None:
    """What BuildKit's parser reads of a text; None where it refuses it."""
    import dockerfile  # type: ignore[import-not-found]

    try:
        read = dockerfile.parse_string(text)
    except dockerfile.GoParseError:
        return None
    return [
        {"keyword": each.cmd.upper(), "json": each.json, "line": each.start_line, "flags": list(each.flags), "words": list(each.value),
         "heredocs": [[heredoc.name, heredoc.content] for heredoc in each.heredocs]}
        for each in read
    ]  # fmt: skip


if __name__ == "__main__":
    rows = [json.dumps([text, record(text)]) for text, _ in load()]
    RECORD.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
