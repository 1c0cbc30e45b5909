"""A project and the edits that a developer may make, for the cache model: each is tried on BuildKit and kept as a record.

`python tests/support/cache_edits.py` builds every edit anew and writes tests/data/cache_builds.json.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.cache_model import BuildDiary, Inputs, Recorded, Verdict

RECORD = Path(__file__).parents[1] / "data" / "cache_builds.json"
TAG = f"dockerlab-test-cache:edits-{os.getpid()}"
DOCKERFILE = """\
# first
ARG SUITE=slim-bookworm
FROM python:3.11-${SUITE} AS left
WORKDIR /opt/MARK
ENV MODE=fast
COPY tools tools
RUN ls tools > list

FROM python:3.11-slim-bookworm
ENV HOME=/srv GREETING=hello
WORKDIR /srv
COPY requirements.txt ./
RUN --mount=type=bind,source=app/data.txt,target=/tmp/data.txt cat /tmp/data.txt requirements.txt > seen
ARG RELEASE=dev
WORKDIR /srv/app
COPY app .
RUN ls > list \\
    # within
    && echo done
COPY --link --chown=7 requirements.txt /etc/linked
COPY --from=left /opt/MARK/list /srv/left
RUN <<EOF
ls
EOF
LABEL made=by
CMD ["true"]
"""


class Project:
    """A fresh copy of the project; `mark` makes its content new to every engine, so that no earlier run can be remembered."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder, self.mark = folder, mark
        self.buildargs: dict[str, str] = {}
        shutil.rmtree(folder, ignore_errors=True)
        files = {
            "Dockerfile": DOCKERFILE.replace("MARK", mark),
            "requirements.txt": mark,
            "app/data.txt": mark,
            "app/main.py": mark,
            "app/sub/x.txt": "x",
            "tools/t.sh": mark,
            "notes.txt": "n",
            ".dockerignore": "*.log\n",
        }
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def replace(self, old: str, new: str, name: str = "Dockerfile") -> None:
        text = (self.folder / name).read_text()
        assert old in text, old
        self.write(name, text.replace(old, new, 1))


def text(old: str, new: str, name: str = "Dockerfile") -> Callable[[Project], None]:
    return lambda project: project.replace(old, new, name)


def argument(name: str, value: str) -> Callable[[Project], None]:
    return lambda project: project.buildargs.update({name: value})


# What is done, and how many steps run. Steps: 3 of the stage `left`, 9 of the last one.
EDITS: dict[str, tuple[Callable[[Project], None], int]] = {
    "nothing": (lambda project: None, 0),
    "touch": (lambda project: os.utime(project.folder / "app/main.py", (1, 1)), 0),
    "comment": (text("# first", "# other"), 0),
    "comment within a RUN": (text("# within", "# inside"), 0),
    "mode of a file": (lambda project: (project.folder / "app/main.py").chmod(0o700), 5),
    "content of a file": (lambda project: project.write("app/main.py", "new"), 5),
    "mounted file": (lambda project: project.write("app/data.txt", "new"), 7),
    "requirements": (lambda project: project.write("requirements.txt", "new"), 8),
    "file that nothing copies": (lambda project: project.write("notes.txt", "new"), 0),
    "new file": (lambda project: project.write("app/new.py", ""), 5),
    "new empty folder": (lambda project: (project.folder / "app/empty").mkdir(), 5),
    "comment in .dockerignore": (text("*.log", "# logs\n*.log", ".dockerignore"), 0),
    "file ignored": (text("*.log", "*.log\napp/sub", ".dockerignore"), 5),
    "other stage, same result": (lambda project: project.write("tools/t.sh", "new"), 2),
    "other stage, new result": (lambda project: project.write("tools/z.sh", ""), 4),
    "argument": (argument("RELEASE", "1.0"), 4),
    "argument that nobody declares": (argument("NOBODY", "1.0"), 0),
    "proxy": (argument("http_proxy", ""), 0),
    "default of an argument": (text("RELEASE=dev", "RELEASE=test"), 4),
    "variable": (text("GREETING=hello", "GREETING=bye"), 7),
    "label": (text("made=by", "made=for"), 0),
    "command": (text('["true"]', '["false"]'), 0),
    "user": (text("ARG RELEASE=dev", "ARG RELEASE=dev\nUSER 7"), 6),
    "shell": (text("ARG RELEASE=dev", 'ARG RELEASE=dev\nSHELL ["/bin/sh","-ec"]'), 4),
    "folder": (text("WORKDIR /srv/app", "WORKDIR /srv/other"), 6),
    "folder, written otherwise": (text("WORKDIR /srv/app", "WORKDIR app"), 0),
    "lower case": (text("RUN ls tools", "run ls tools"), 0),
    "space around": (text("RUN ls tools > list", "RUN   ls tools > list  "), 0),
    "space within": (text("ls tools > list", "ls  tools > list"), 1),
    "indentation": (text("    && echo done", "  && echo done"), 4),
    "target, written otherwise": (text("COPY app .", "COPY ./app/ ./"), 0),
    "all of the context": (text("COPY app .", "COPY . ."), 5),
    "pattern": (text("COPY requirements.txt", "COPY requirements*.txt"), 8),
    "heredoc": (text("ls\nEOF", "ls -l\nEOF"), 1),
    "new step": (text("ARG RELEASE=dev", "RUN true\nARG RELEASE=dev"), 7),
    "step removed": (text("RUN ls > list \\\n    # within\n    && echo done\n", ""), 3),
    "argument moved down": (
        text("ARG RELEASE=dev\nWORKDIR /srv/app\n", "WORKDIR /srv/app\nARG RELEASE=dev\n"),
        0,
    ),
    "base": (argument("SUITE", "bookworm"), 3),
    "owner": (text("--chown=7", "--chown=8"), 3),
}


def verdicts_of(
    edit: Callable[[Project], None], folder: Path, client: Any
) -> tuple[BuildDiary, list[Verdict]]:
    """Build the project, edit it, build it again. Asks the engine."""
    project = Project(folder, str(time.time_ns()))
    diary = BuildDiary(folder, TAG, client)
    diary.build()
    edit(project)
    diary.build(project.buildargs)
    return diary, diary.explain()


def dump(build: Recorded) -> dict[str, Any]:
    inputs = build.inputs
    short = {name: digest[:8] for name, digest in inputs.files.items()}
    steps = [[step.name, step.cached] for step in build.report.instructions]
    bases = {name: digest[:8] for name, digest in inputs.bases.items()}
    return {
        "dockerfile": inputs.dockerfile,
        "files": short,
        "buildargs": dict(inputs.buildargs),
        "bases": bases,
        "steps": steps,
    }


def load(data: dict[str, Any]) -> Recorded:
    steps = [Step(name, cached=cached, done=True) for name, cached in data["steps"]]
    return Recorded(
        Inputs(data["dockerfile"], data["files"], data["buildargs"], data["bases"]),
        BuildReport("sha256:0", None, steps),
    )


def main() -> None:
    from dockerlab.engine import connection

    client = connection.connect()
    with tempfile.TemporaryDirectory() as folder:
        record = {
            name: [dump(build) for build in verdicts_of(edit, Path(folder) / "project", client)[0].builds]
            for name, (edit, _) in EDITS.items()
        }
    client.images.remove(TAG, force=True)
    RECORD.write_text(json.dumps(record, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
