"""What a verdict depends on: the files of the package, of the lab and of what was judged; one byte more and it is judged again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins import verdicts


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of one lab with one submission."""
    for name in (
        "dockerlab/lessons/lesson05_multi_stage/lab.py",
        "assets/figures/ladder.png",
        "sources/labs/05_shrink/Dockerfile",
        "tests/labs/05/wrong_all/Dockerfile",
        "sources/labs/06_other/Dockerfile",
        "solutions/05_shrink/lab.ipynb",
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(verdicts, "ROOT", tmp_path)
    monkeypatch.setattr(
        verdicts,
        "_common",
        lambda: verdicts.files(path for pattern in verdicts.CODE for path in tmp_path.glob(pattern)),
    )
    return tmp_path


def key(course: Path, folder: str = "tests/labs/05/wrong_all") -> str:
    verdicts.verdict.cache_clear()
    return verdicts.verdict(course / folder)


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("dockerlab/lessons/lesson05_multi_stage/lab.py", True),
        ("dockerlab/new.py", True),
        ("sources/labs/05_shrink/Dockerfile", True),
        ("tests/labs/05/wrong_all/Dockerfile", True),
        ("tests/labs/05/wrong_all/more", True),
        ("sources/labs/06_other/Dockerfile", False),
        ("assets/figures/ladder.png", False),
        ("README.md", False),
    ],
)
def test_what_makes_a_verdict_old(course: Path, name: str, again: bool) -> None:
    before = key(course)
    assert before == key(course)
    (course / name).write_text("changed")
    assert (key(course) != before) == again


def test_without_an_engine_there_is_no_verdict(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "_common", lambda: "")
    assert key(course) == ""


def test_in_ci_and_on_request_all_are_judged(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(pytestconfig.option, "judge_again", False)
    assert verdicts._used(pytestconfig)
    monkeypatch.setenv("CI", "true")
    assert not verdicts._used(pytestconfig)
    monkeypatch.delenv("CI")
    monkeypatch.setattr(pytestconfig.option, "judge_again", True)
    assert not verdicts._used(pytestconfig)


def test_a_starter_and_a_solution_have_verdicts_of_their_own(course: Path) -> None:
    starter, solution = "sources/labs/05_shrink", "solutions/05_shrink"
    before = [key(course, folder) for folder in (starter, solution)]
    assert len({*before, key(course)}) == 3
    (course / "solutions/05_shrink/lab.ipynb").write_text("changed")
    assert [key(course, folder) == old for folder, old in zip((starter, solution), before, strict=True)] == [
        True,
        False,
    ]
    (course / "sources/labs/05_shrink/Dockerfile").write_text("changed")
    assert key(course, starter) != before[0]


def test_what_a_test_judges() -> None:
    labs = "tests/labs/test_labs.py::"
    assert (
        verdicts.subject(f"{labs}{verdicts.SUBMISSION}[05-wrong_one_layer]")
        == verdicts.ROOT / "tests/labs/05/wrong_one_layer"
    )
    assert (
        verdicts.subject(f"{labs}{verdicts.STARTER}[05_shrink_the_image]")
        == verdicts.ROOT / "sources/labs/05_shrink_the_image"
    )
    assert (
        verdicts.subject("solutions/05_shrink_the_image/lab.ipynb::Cell 0")
        == verdicts.ROOT / "solutions/05_shrink_the_image"
    )
    for other in (
        f"{labs}test_every_lab_has_checks_and_enough_submissions",
        "notebooks/05_ship_only_what_runs.ipynb::Cell 0",
        "tests/repository/test_cli.py::test_x",
    ):
        assert verdicts.subject(other) is None


def test_the_tests_that_a_verdict_knows_exist() -> None:
    source = (verdicts.ROOT / "tests/labs/test_labs.py").read_text()
    assert f"def {verdicts.SUBMISSION}(path" in source and f"def {verdicts.STARTER}(lab" in source


def test_a_notebook_is_kept_when_all_its_cells_passed(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr(verdicts, "KEPT", course / "kept")
    monkeypatch.setattr(verdicts, "_passed", type(verdicts._passed)())
    (course / "solutions/05_shrink/lab.ipynb").write_text(
        '{"cells": [{"cell_type": "code"}, {"cell_type": "markdown"}, {"cell_type": "code"}]}'
    )
    verdicts.verdict.cache_clear()
    verdicts.tests_of.cache_clear()

    def passes(cell: int, outcome: str = "passed") -> None:
        nodeid = f"solutions/05_shrink/lab.ipynb::Cell {cell}"
        verdicts.pytest_runtest_logreport(
            pytest.TestReport(nodeid, (nodeid, 0, nodeid), {}, outcome, None, "call")
        )

    passes(0)
    passes(1, "failed")
    assert not (course / "kept").exists()
    passes(1)
    assert [path.name for path in (course / "kept").iterdir()] == [
        verdicts.verdict(course / "solutions/05_shrink")
    ]
