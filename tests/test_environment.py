"""pyproject.toml, environment.yml and requirements.lock name the same course; every make target explains itself."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dockerlab.site import ROOT

# PyPI's name -> conda-forge's
CONDA_NAMES = {"docker": "docker-py", "playwright": "playwright-python", "isal": "python-isal", "prometheus-client": "prometheus_client"}
# What conda needs beside the project's own list.
CONDA_ONLY = {"python", "pytorch-cpu", "pip"}


def declared(*groups: str) -> dict[str, str]:
    """Project -> version rule in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for group in groups for line in project["optional-dependencies"][group])]
    return {canonicalize_name(need.name): str(need.specifier) for need in map(Requirement, lines)}


def locked() -> dict[str, list[tuple[str, str]]]:
    """Project -> (version, hashes) for each marker in requirements.lock."""
    found: dict[str, list[tuple[str, str]]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text(encoding="utf-8")):
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", block):
            found.setdefault(canonicalize_name(match[1]), []).append((match[2], block))
    return found


def test_the_lock_holds_every_dependency_in_an_allowed_version() -> None:
    lock = locked()
    for name, rule in declared("dev").items():
        assert name in lock, f"{name} is not locked: run `make lock`"
        assert any(Requirement(f"{name}{rule}").specifier.contains(version) for version, _ in lock[name]), name


def test_every_locked_file_has_a_hash_and_no_place() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name, entries in locked().items():
        for version, block in entries:
            assert "--hash=sha256:" in block, name
            assert "+" not in version, f"{name} {version} is a build of somebody's own"
    assert not re.search(r"https?:|file:|--index|--find-links|--extra| @ |^/", text, re.MULTILINE)


def test_conda_users_get_the_same_course() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    conda, by_pip = {}, {}
    for line in environment["dependencies"]:
        if isinstance(line, dict):
            by_pip = {canonicalize_name(Requirement(each).name): str(Requirement(each).specifier) for each in line["pip"]}
        else:
            name, _, rule = line.partition(" ")
            conda[name] = rule
    wanted = {CONDA_NAMES.get(name, name): rule for name, rule in declared("dev", "model").items()}
    assert {name: rule for name, rule in (conda | by_pip).items() if name not in CONDA_ONLY} == wanted
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(conda["python"].split(",")) == sorted(project["requires-python"].split(","))


@pytest.fixture(scope="module")
def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_target_is_in_the_help(makefile: str) -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = re.findall(r"^\.PHONY: (\w+)$", makefile, re.MULTILINE)
    assert len(targets) > 10
    for target in targets:
        assert re.search(rf"make {target} +\w", done.stdout), target


def test_ci_runs_the_same_command_everywhere() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert any(step.get("run") == ".ci/run" for step in workflow["jobs"]["test"]["steps"])
