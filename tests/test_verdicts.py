"""What a verdict depends on: the files of the package, of the lab and of the submission; one byte more and it is judged again."""

from __future__ import annotations

from pathlib import Path

import pytest
import verdicts


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of one lab with one submission."""
    for name in ("dockerlab/checks/lab05.py", "assets/figures/ladder.png", "sources/labs/05_shrink/Dockerfile", "tests/labs/05/wrong_all/Dockerfile",
                 "sources/labs/06_other/Dockerfile"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(verdicts, "ROOT", tmp_path)
    monkeypatch.setattr(verdicts, "_common", lambda: verdicts.files(path for pattern in verdicts.CODE for path in tmp_path.glob(pattern)))
    return tmp_path


def key(course: Path) -> str:
    verdicts.verdict.cache_clear()
    return verdicts.verdict(course / "tests/labs/05/wrong_all")


@pytest.mark.parametrize(("name", "again"), [
    ("dockerlab/checks/lab05.py", True), ("dockerlab/new.py", True), ("sources/labs/05_shrink/Dockerfile", True),
    ("tests/labs/05/wrong_all/Dockerfile", True), ("tests/labs/05/wrong_all/more", True),
    ("sources/labs/06_other/Dockerfile", False), ("assets/figures/ladder.png", False), ("README.md", False),
])
def test_what_makes_a_verdict_old(course: Path, name: str, again: bool) -> None:
    before = key(course)
    assert before == key(course)
    (course / name).write_text("changed")
    assert (key(course) != before) == again


def test_without_an_engine_there_is_no_verdict(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "_common", lambda: "")
    assert key(course) == ""


def test_in_ci_and_on_request_all_are_judged(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(pytestconfig.option, "judge_again", False)
    assert verdicts._used(pytestconfig)
    monkeypatch.setenv("CI", "true")
    assert not verdicts._used(pytestconfig)
    monkeypatch.delenv("CI")
    monkeypatch.setattr(pytestconfig.option, "judge_again", True)
    assert not verdicts._used(pytestconfig)


def test_the_folder_of_a_test() -> None:
    assert verdicts._folder(f"{verdicts.TEST}[05-wrong_one_layer]") == verdicts.SUBMISSIONS / "05/wrong_one_layer"
    assert verdicts._folder(f"{verdicts.TEST}[05-wrong_one_layer]").is_dir()
