"""The workflows that prove the course are themselves checked: by a linter that knows GitHub's own rules, and a shell linter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dockerlab.core.settings import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
# The environment's own tools first, so that the locked version is the one that judges.
TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    """Run the workflow linter without the network; it calls shellcheck for the scripts of `run:` steps."""
    linter = shutil.which("jactionlint", path=TOOLS)
    assert linter, "jactionlint is not installed: run `make setup`"
    command = [linter, "--no-online", "--oneline", *map(str, files)]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": TOOLS},
    )


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_finding(file: Path) -> None:
    done = lint(file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_linter_finds_what_it_should(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(
        """\
name: bad
on: [push]
jobs:
  build:
    runs-on: ubuntu-latets
    needs: nothing
    steps:
      - uses: actions/checkout@v4
        with: {fetch-dept: 1}
      - run: echo "${{ github.event.pull_request.title }}"
      - run: echo ${{ github.even_name }}
      - run: for file in $(ls *.txt); do echo $file; done
"""
    )
    done = lint(bad)
    assert done.returncode == 1
    found = set(re.findall(r"\[([a-z-]+)\]$", done.stdout, re.MULTILINE))
    assert found >= {"unknown-runner-label", "undefined-job-needs", "unpinned-uses", "unknown-action-input", "template-injection",
                     "undefined-property", "shellcheck", "missing-permissions", "missing-timeout"}  # fmt: skip


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_and_says_its_version(file: Path) -> None:
    uses = re.findall(r"^\s*(?:- )?uses: (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_may_wait_for_ever_or_write(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    minutes = (
        120 if "push" in workflow[True] else 350
    )  # YAML 1.1 reads `on` as true; GitHub ends every job after 360
    assert all(job["timeout-minutes"] <= minutes for job in workflow["jobs"].values())


def test_the_script_of_ci_has_no_finding() -> None:
    shellcheck = shutil.which("shellcheck", path=TOOLS)
    assert shellcheck, "shellcheck is not installed: run `make setup`"
    done = subprocess.run(
        [shellcheck, "--severity=style", ROOT / ".ci/run"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
