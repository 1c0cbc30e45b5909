"""pyproject.toml, environment.yml and requirements.lock name the same course; every make target explains itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dockerlab.core.settings import ROOT

# PyPI's name -> conda-forge's
CONDA_NAMES = {
    "docker": "docker-py",
    "playwright": "playwright-python",
    "isal": "python-isal",
    "prometheus-client": "prometheus_client",
}
# What conda needs beside the project's own list.
CONDA_ONLY = {"python", "pytorch-cpu", "pip"}


def declared(*groups: str) -> dict[str, str]:
    """Project -> version rule in pyproject.toml, with these extras; one that names other extras of the project brings those."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for group in groups for line in project["optional-dependencies"][group]),
    ]
    found: dict[str, str] = {}
    for need in map(Requirement, lines):
        found |= (
            declared(*need.extras)
            if need.name == project["name"]
            else {canonicalize_name(need.name): str(need.specifier)}
        )
    return found


def locked() -> dict[str, list[tuple[str, str]]]:
    """Project -> (version, hashes) for each marker in requirements.lock."""
    found: dict[str, list[tuple[str, str]]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text(encoding="utf-8")):
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", block):
            found.setdefault(canonicalize_name(match[1]), []).append((match[2], block))
    return found


def test_the_lock_holds_every_dependency_in_an_allowed_version() -> None:
    lock = locked()
    for name, rule in declared("all").items():
        assert name in lock, f"{name} is not locked: run `make lock`"
        assert any(Requirement(f"{name}{rule}").specifier.contains(version) for version, _ in lock[name]), (
            name
        )


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
            by_pip = {
                canonicalize_name(Requirement(each).name): str(Requirement(each).specifier)
                for each in line["pip"]
            }
        else:
            name, _, rule = line.partition(" ")
            conda[name] = rule
    wanted = {CONDA_NAMES.get(name, name): rule for name, rule in declared("all", "model").items()}
    assert {name: rule for name, rule in (conda | by_pip).items() if name not in CONDA_ONLY} == wanted
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(conda["python"].split(",")) == sorted(project["requires-python"].split(","))


def test_the_course_itself_needs_no_tool_of_one_lesson_or_of_the_tests() -> None:
    assert not set(declared()) & {"cfn-lint", "jactionlint", "kubernetes-validate", "nbval", "pytest", "ruff"}
    assert {"cfn-lint", "jactionlint", "kubernetes-validate"} <= set(declared("production"))


def test_a_wheel_is_refused_in_one_sentence(tmp_path) -> None:
    script = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode and "works from its checkout only" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "where",
    [
        "NOTICE",
        "README.md",
        "assets/model/README.md",
        *(
            f"notebooks/{name}.ipynb"
            for name in ("00_start_here", "06_weigh_images_for_ml", "12_package_a_new_service")
        ),
    ],
)
def test_the_models_licence_is_said_where_it_is_shipped(where) -> None:
    assert "AGPL-3.0" in (ROOT / where).read_text(encoding="utf-8")


def test_the_packages_licence_is_that_of_its_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "MIT" and (ROOT / "LICENSE").read_text(encoding="utf-8").startswith(
        "MIT License"
    )
    assert all((ROOT / name).is_file() for name in project["license-files"])


def test_uv_is_installed_as_it_is_locked(makefile: str) -> None:
    expression = re.search(r"sed -n '(.+?)' requirements.lock", makefile)[1].replace("$$", "$")
    block = subprocess.run(
        ["sed", "-n", expression, "requirements.lock"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert block.startswith("uv==") and block.count("==") == 1 and block.count("--hash=sha256:") > 10
    assert "--require-hashes --no-deps -r .venv-uv/uv.lock" in makefile


def test_nothing_is_installed_without_its_hash(makefile: str) -> None:
    """The project itself has none, so it brings nothing along: no dependency, and no build backend but the locked one."""
    installs = [
        line for line in makefile.splitlines() if re.search(r"\bpip install\b", line) and "echo " not in line
    ]
    unhashed = [line for line in installs if "--require-hashes" not in line]
    assert len(installs) > 1 and unhashed
    assert all(
        line.split()[-2:] == ["-e", "."] and {"--no-deps", "--no-build-isolation"} <= {*line.split()}
        for line in unhashed
    )
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert {canonicalize_name(Requirement(each).name) for each in backend} <= locked().keys()


GENERATED = ROOT / "dockerlab/images/buildkit_pb2.py"


def test_the_generated_code_is_that_of_the_proto_file(tmp_path) -> None:
    """Whatever compiler is installed: the messages are the same, in the same bytes."""
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={ROOT / 'dockerlab/images'}",
        f"--python_out={tmp_path}",
        "buildkit.proto",
    ]
    subprocess.run(command, check=True, timeout=60)
    messages = re.compile(r"AddSerializedFile\((.+)\)\n")
    assert (
        messages.search(GENERATED.read_text(encoding="utf-8"))[1]
        == messages.search((tmp_path / GENERATED.name).read_text(encoding="utf-8"))[1]
    )


def test_the_generated_code_runs_on_the_oldest_protobuf_that_is_allowed() -> None:
    version = re.search(r"# Protobuf Python Version: (\S+)", GENERATED.read_text(encoding="utf-8"))[1]
    assert Requirement(f"protobuf{declared()['protobuf']}").specifier.contains(version)
    assert declared()["protobuf"] == f">={version.rpartition('.')[0]}"


@pytest.mark.nightly
def test_make_proto_generates_the_same_file(tmp_path) -> None:
    subprocess.run(["make", "-s", "proto", f"OUT={tmp_path}"], cwd=ROOT, check=True, timeout=600)
    assert (tmp_path / GENERATED.name).read_bytes() == GENERATED.read_bytes()


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


def test_what_takes_too_long_for_every_change_runs_every_night() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"]  # YAML 1.1 reads `on` as true
    assert any(
        step.get("run") == ".ci/run nightly" for job in workflow["jobs"].values() for step in job["steps"]
    )
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == 'make "${@:-test}"'
    done = subprocess.run(["make", "-n", "nightly"], cwd=ROOT, capture_output=True, text=True, check=True)
    runs = [
        line.partition(" -m pytest ")[2].split() for line in done.stdout.splitlines() if " -m pytest " in line
    ]
    for selection in (
        ["-m", '""', "tests/repository/test_trust_notebooks.py", "-k", "runs_again"],
        ["-m", '""', "tests/labs"],
        ["-m", "nightly", "tests"],
    ):
        assert any("--require-docker" in run and run[-len(selection) :] == selection for run in runs), (
            selection
        )
