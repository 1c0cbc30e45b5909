"""What a build would send is what it does send."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from dockerlab.images import context_contents
from dockerlab.images.build import build

FILES = {
    "Dockerfile": "FROM scratch\nCOPY . /\n",
    "app/main.py": "1\n",
    "app/__pycache__/main.pyc": "22\n",
    "__pycache__/top.pyc": "333\n",
    ".env": "SECRET=1\n",
    "docs/a.md": "4444\n",
    "README.md": "55555\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _sent(folder: Path, patterns: str) -> set[str]:
    (folder / ".dockerignore").write_text(patterns)
    frame = context_contents.contents(folder)
    return set(frame.loc[frame["sent"], "path"])


def test_without_a_list_everything_is_sent(folder: Path) -> None:
    frame = context_contents.contents(folder)
    assert frame["sent"].all()
    assert set(frame["path"]) == set(FILES)
    assert frame["bytes"].sum() == sum(len(text) for text in FILES.values())


def test_patterns_count_from_the_top_and_the_last_match_wins(folder: Path) -> None:
    assert _sent(folder, "__pycache__\n*.md\n") == {
        "Dockerfile",
        ".dockerignore",
        "app/main.py",
        "app/__pycache__/main.pyc",
        ".env",
        "docs/a.md",
    }
    assert _sent(folder, "**/__pycache__\n**/*.md\n!README.md\n") == {
        "Dockerfile",
        ".dockerignore",
        "app/main.py",
        ".env",
        "README.md",
    }
    assert _sent(folder, "*\n!app\n**/__pycache__\n") == {"app/main.py"}


def test_a_list_of_its_own_for_one_dockerfile(folder: Path) -> None:
    (folder / "Dockerfile.prod").write_text("FROM scratch\n")
    (folder / "Dockerfile.prod.dockerignore").write_text("*\n")
    frame = context_contents.contents(folder, "Dockerfile.prod")
    assert "app/main.py" not in set(frame.loc[frame["sent"], "path"])


def test_bytes_are_summed_by_the_entry_at_the_top(folder: Path) -> None:
    (folder / ".dockerignore").write_text("app/__pycache__\n")
    summed = context_contents.by_top(context_contents.contents(folder)).set_index("entry")
    assert tuple(summed.loc["app/"]) == (len(FILES["app/main.py"]), len(FILES["app/__pycache__/main.pyc"]))
    assert list(summed["sent"] + summed["ignored"]) == sorted(
        summed["sent"] + summed["ignored"], reverse=True
    )


@pytest.mark.engine
def test_a_build_sends_just_that(folder: Path, client: docker.DockerClient) -> None:
    (folder / ".dockerignore").write_text("*\n!app\n**/__pycache__\n")
    frame = context_contents.contents(folder)
    report = build(folder, tag="dockerlab-test-context:1", client=client)
    client.images.remove("dockerlab-test-context:1")
    assert report.context_bytes == frame.loc[frame["sent"], "bytes"].sum()
