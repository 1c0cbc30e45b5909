"""The command line: exit codes, one clear error, and no import before it is needed."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from dockerlab import cli
from dockerlab.core.errors import CourseError
from dockerlab.images import build, build_report, image, image_report


@pytest.fixture
def labs(monkeypatch) -> types.SimpleNamespace:
    """The lab commands, replaced."""
    fake = types.ModuleType("dockerlab.course.grading.commands")
    calls: list[tuple[str, ...]] = []
    for name in ("check", "reset", "solve"):
        setattr(fake, name, lambda lab, name=name, **how: calls.append((name, lab)) or 0)
    fake.progress = lambda: calls.append(("progress",)) or 3
    package = types.ModuleType("dockerlab.course.grading")
    package.commands = fake
    monkeypatch.setitem(sys.modules, "dockerlab.course.grading", package)
    monkeypatch.setitem(sys.modules, "dockerlab.course.grading.commands", fake)
    return types.SimpleNamespace(calls=calls, module=fake)


def test_lab_commands_hand_over_and_return_the_code(labs) -> None:
    assert [cli.main([name, "05"]) for name in ("check", "reset", "solve")] == [0, 0, 0]
    assert cli.main(["progress"]) == 3
    assert labs.calls == [("check", "05"), ("reset", "05"), ("solve", "05"), ("progress",)]


def test_a_course_error_is_three_lines_and_code_one(labs, capsys) -> None:
    def fail(lab, **how: object):
        raise CourseError("It broke.", "Something was missing.", "Bring it.")

    labs.module.check = fail
    assert cli.main(["check", "05"]) == 1
    assert capsys.readouterr().err == "It broke.\nSomething was missing.\nBring it.\n"


def test_ctrl_c_is_130(labs) -> None:
    def stop(lab, **how: object):
        raise KeyboardInterrupt

    labs.module.check = stop
    assert cli.main(["check", "05"]) == 130


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["check"], ["clean", "--everything"], ["bases", "--source", "moon"]]
)
def test_wrong_arguments_are_two(arguments, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


def test_build_arguments_reach_build(monkeypatch, capsys) -> None:
    seen = {}
    steps = [
        build_report.Step("[1/2] RUN a", "1", cached=True),
        build_report.Step("[2/2] RUN b", "2", seconds=1.25, done=True),
    ]
    report = build_report.BuildReport("sha256:0", "dockerlab-x:1", steps, seconds=1.5)

    def fake(context, *, on_step, **options) -> build_report.BuildReport:
        seen.update(options, context=str(context))
        for step in (*steps, *steps):
            on_step(step)
        return report

    monkeypatch.setattr(build, "build", fake)
    assert cli.main(["build", "here", "-t", "dockerlab-x:1", "--build-arg", "A=b=c", "--no-cache"]) == 0
    assert seen == {
        "context": "here", "dockerfile": "Dockerfile", "tag": "dockerlab-x:1", "target": None, "buildargs": {"A": "b=c"}, "no_cache": True,
    }  # fmt: skip
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == [" cached  [1/2] RUN a", "  1.2 s  [2/2] RUN b"]
    assert last == "dockerlab-x:1: 1 steps ran, 1 came from the cache, 1.5 s."
    assert cli.main(["build", "here", "--build-arg", "A"]) == 1


def test_inspect_prints_layers_and_both_sizes(monkeypatch, capsys) -> None:
    layers = [
        image_report.Layer("RUN a", 5_000_000, 2_000_000, {"a": 5_000_000}),
        image_report.Layer("RUN rm a", 0, 100, {}, ["a"]),
    ]
    monkeypatch.setattr(
        image, "inspect", lambda name: image_report.ImageReport(name, layers, {"architecture": "amd64"})
    )
    assert cli.main(["inspect", "x"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert len(table) == 3 and "RUN rm a" in table[2]
    assert last == "5.0 MB on disk, 2.0 MB to download, 5.0 MB wasted; amd64, runs as root."


def test_no_engine_is_one_message_and_no_traceback(monkeypatch, capsys) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for command in (["clean"], ["bases"], ["engine"]):
        assert cli.main(command) == 1
        error = capsys.readouterr().err
        assert (
            error.startswith("No Docker Engine answers")
            and "Traceback" not in error
            and error.count("\n") <= 3
        )


def test_help_loads_neither_docker_nor_pandas() -> None:
    code = "import sys, dockerlab.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'docker', 'pandas', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
