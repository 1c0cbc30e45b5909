"""The release workflow of lesson 11 has no finding, pins all that it uses, and its scripts run as they stand."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.lessons.lesson11_production import release_workflow

RELEASE = ROOT / "assets/production/release.yml"


def test_the_release_has_no_finding_and_pins_its_actions() -> None:
    assert release_workflow.findings(RELEASE) == []
    steps = release_workflow.steps(RELEASE)
    assert len([step for step in steps if step.uses]) == 3 and all(step.pinned for step in steps)
    assert any("docker run" in step.run and ":test" in step.run for step in steps)


def test_no_script_of_the_release_holds_an_expression() -> None:
    assert not any(release_workflow.EXPRESSION.search(step.run) for step in release_workflow.steps(RELEASE))


def test_a_tag_is_no_pin_and_a_mistake_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latets\n    steps:\n      - uses: actions/checkout@v4\n      - run: echo\n"
    )
    assert [step.pinned for step in release_workflow.steps(bad)] == [False, True]
    assert any(
        line.startswith("bad.yml:4") and "ubuntu-latets" in line for line in release_workflow.findings(bad)
    )


def test_scripts_run_in_order_with_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    scripts = [
        "uses: a/b@v1",
        'name: write\n        run: echo "$WORD" > file',
        "name: read\n        run: cat file",
    ]
    file.write_text(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n"
        + "".join(f"      - {script}\n" for script in scripts)
    )
    assert release_workflow.rehearse(file, tmp_path, {"WORD": "hello"}).loc["read", "last line"] == "hello"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo no >&2; exit 3", "exit code 3"),
        ("false | true", "exit code 1"),
        ("echo ${{ x }}", "cannot be run here"),
    ],
)
def test_a_script_that_fails_stops_it(script: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(release_workflow.StepFailed, match=says):
        release_workflow.run(release_workflow.Step("step", script), tmp_path, {})


def test_without_its_linter_it_says_what_to_install(monkeypatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(CourseError, match="jactionlint is not installed") as caught:
        release_workflow.findings(RELEASE)
    assert "'.[production]'" in caught.value.fix
