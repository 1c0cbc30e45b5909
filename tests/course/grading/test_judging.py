"""The checks themselves: verdicts, stable reports, progress, and that nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import docker
import pytest

from dockerlab.core import polling
from dockerlab.core.errors import CourseError
from dockerlab.course import grading
from dockerlab.course.grading import (
    Criterion,
    Lab,
    NotStarted,
    Outcome,
    Status,
    Submission,
    commands,
    judging,
    progress,
    report,
)
from dockerlab.engine import endpoint, object_labels, process_marks


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "progress.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "05_shrink"
    path.mkdir()
    (path / "Dockerfile").write_text("FROM scratch\n")
    return path


def _holds(_: Submission) -> Outcome:
    return Outcome(True, "85 MB")


def _fails(_: Submission) -> Outcome:
    return Outcome(False, "900 <MB>")


def _raises(error: BaseException) -> Callable[[Submission], Any]:
    def measure(_: Submission) -> Any:
        raise error

    return measure


def _criterion(
    key: str, measure: Callable[[Submission], Outcome] = _holds, needs: tuple[str, ...] = ()
) -> Criterion:
    return Criterion(
        key,
        f"The {key} is small",
        "why",
        f"look at {key}",
        f"line of {key}",
        "at most 100 MB",
        measure,
        needs,
    )


def _lab(*criteria: Criterion, **more: Any) -> Lab:
    return Lab("05", "shrink", criteria, **more)


def _statuses(result: report.Report) -> list[Status]:
    return [item.status for item in result.results]


def test_all_that_holds_passes(folder: Path) -> None:
    result = judging.judge(_lab(_criterion("image"), _criterion("start")), folder)
    assert result.passed and result.held == 2 and result.first_failure is None
    assert repr(result).splitlines()[0] == "Lab 05, shrink: all 2 hold"
    assert result.hints() == "Nothing needs a hint."


def test_the_report_is_stable_and_hints_at_the_first_failure(folder: Path) -> None:
    lab = _lab(_criterion("image"), _criterion("start", _fails), _criterion("edit", needs=("start",)))
    result = judging.judge(lab, folder)
    assert not result.passed
    assert repr(result) == repr(judging.judge(lab, folder)) == (
        "Lab 05, shrink: 1 of 3 hold\n"
        "✓ 1. The image is small\n"
        "     wanted: at most 100 MB   measured: 85 MB\n"
        "✗ 2. The start is small\n"
        "     wanted: at most 100 MB   measured: 900 <MB>\n"
        "· 3. The edit is small\n"
        "     not checked (needs: The start is small)\n"
        "Hint: look at start"
    )  # fmt: skip
    assert repr(result.hints()) == "The start is small\n  look at start\n  line of start"
    assert "line of image" in result.hints(1)
    with pytest.raises(CourseError, match="Use 1 to 3"):
        result.hints(4)


def test_it_can_stop_at_the_first_failure_or_go_past_some(folder: Path) -> None:
    lab = _lab(
        _criterion("image", _fails),
        _criterion("start", _fails),
        _criterion("edit", _raises(AssertionError("not asked"))),
    )
    stopped = judging.judge(lab, folder, first=True)
    assert _statuses(stopped) == [Status.FAILED, Status.NOT_CHECKED, Status.NOT_CHECKED]
    assert stopped.results[1].measured == "stopped at: The image is small"
    assert _statuses(judging.judge(lab, folder, first=True, past=["image"])) == [
        Status.FAILED,
        Status.FAILED,
        Status.NOT_CHECKED,
    ]


def test_the_table_says_the_same_and_escapes(folder: Path) -> None:
    html = judging.judge(_lab(_criterion("image"), _criterion("start", _fails)), folder)._repr_html_()
    assert "900 &lt;MB&gt;" in html and "<MB>" not in html
    assert html.count("<tr>") == 3 and "✓" in html and "✗" in html and "look at start" in html


@pytest.mark.parametrize("error", [NotImplementedError(), NotStarted("Dockerfile is still empty.")])
def test_what_was_not_begun_is_not_a_failure(folder: Path, error: Exception) -> None:
    result = judging.judge(_lab(_criterion("image", _raises(error))), folder)
    assert _statuses(result) == [Status.NOT_STARTED] and not result.started and not result.passed
    assert "not started" in repr(result) and "Traceback" not in repr(result)


@pytest.mark.parametrize("content", [None, "", "\n \n", "# only a comment\n"])
def test_an_empty_or_missing_file_is_not_started(folder: Path, content: str | None) -> None:
    (folder / "Dockerfile").unlink()
    if content is not None:
        (folder / "Dockerfile").write_text(content)
    result = judging.judge(_lab(_criterion("image"), files=("Dockerfile",)), folder)
    assert _statuses(result) == [Status.NOT_STARTED]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (CourseError("It does not build.", "No base."), "It does not build. No base."),
        (KeyError("boxes"), "KeyError: 'boxes'"),
    ],
)
def test_an_error_is_a_failure_with_its_sentence(folder: Path, error: Exception, sentence: str) -> None:
    result = judging.judge(_lab(_criterion("image", _raises(error)), _criterion("start")), folder)
    assert _statuses(result) == [Status.FAILED, Status.PASSED]
    assert result.results[0].measured == sentence


def test_after_a_failed_preparation_nothing_is_checked(folder: Path) -> None:
    lab = _lab(_criterion("image"), _criterion("start"), prepare=_raises(CourseError("It does not build.")))
    result = judging.judge(lab, folder)
    assert _statuses(result) == [Status.NOT_CHECKED] * 2 and not result.passed and result.started
    assert repr(result).splitlines()[1] == "  It does not build."
    lab = _lab(_criterion("image"), prepare=_raises(NotImplementedError()))
    assert _statuses(judging.judge(lab, folder)) == [Status.NOT_STARTED]


def test_no_engine_is_nobodys_failure(folder: Path) -> None:
    with pytest.raises(endpoint.EngineUnavailable):
        judging.judge(_lab(_criterion("image", _raises(endpoint.EngineUnavailable("No engine.")))), folder)


def test_an_empty_lab_never_passes(folder: Path) -> None:
    assert not judging.judge(_lab(), folder).passed


def test_criteria_are_unique_and_in_order() -> None:
    for criteria in ((_criterion("a"), _criterion("a")), (_criterion("a", needs=("b",)), _criterion("b"))):
        with pytest.raises(ValueError, match="comes twice, or before"):
            _lab(*criteria)


def test_clean_up_runs_last_first_also_after_ctrl_c(folder: Path) -> None:
    done: list[object] = []

    copies: list[Path] = []

    def measure(submission: Submission) -> Outcome:
        copies.append(submission.copy())
        assert (copies[0] / "Dockerfile").read_text() == "FROM scratch\n"
        submission.callback(lambda: done.append(copies[0].exists()))
        submission.callback(done.append, "first")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judging.judge(_lab(_criterion("image", measure)), folder)
    assert done == ["first", True] and not copies[0].exists() and not copies[0].parent.exists()


def test_a_cached_build_happens_once_and_its_error_stays(folder: Path) -> None:
    calls: list[str] = []

    def make() -> str:
        calls.append("made")
        if len(calls) > 1:
            raise CourseError("It does not build.")
        return "image"

    with Submission(folder) as submission:
        assert submission.cached("good", make) == submission.cached("good", make) == "image"
        for _ in range(2):
            with pytest.raises(CourseError):
                submission.cached("bad", make)
    assert len(calls) == 2


@pytest.mark.engine
def test_nothing_is_left_on_the_engine(folder: Path, client: Any, tiny_image: str) -> None:
    made: dict[str, str] = {}

    def measure(submission: Submission) -> Outcome:
        container = submission.client.containers.create(
            tiny_image, name=submission.name("run"), labels=submission.labels()
        )
        made["tag"] = submission.tag("app")
        container.commit(*made["tag"].split(":"))
        submission.client.networks.create(submission.name("net"), labels=submission.labels())
        submission.client.volumes.create(submission.name("data"), labels=submission.labels())
        made["id"] = submission.id
        return Outcome(True, "made")

    assert judging.judge(_lab(_criterion("image", measure)), folder, client).passed
    filters = {"label": f"dockerlab.check={made['id']}"}
    left = [*client.containers.list(all=True, filters=filters), *client.images.list(filters=filters)]
    assert [*left, *client.networks.list(filters=filters), *client.volumes.list(filters=filters)] == []
    assert client.images.list(name=made["tag"]) == []
    assert client.images.get(tiny_image)


@pytest.mark.engine
def test_no_nameless_volume_is_left(folder: Path, client: Any, tiny_image: str) -> None:
    made: dict[str, str] = {}

    def measure(submission: Submission) -> Outcome:
        learner = submission.client  # connected: from now on it is followed
        nameless = [docker.types.Mount("/data", None, type="volume")]
        foreign = learner.containers.run(tiny_image, "true", mounts=nameless, detach=True)
        own = learner.containers.run(
            tiny_image, "true", mounts=nameless, detach=True, labels=submission.labels()
        )
        for name, box in (("foreign", foreign), ("own", own)):
            box.wait()
            made[name] = box.attrs["Mounts"][0]["Name"]
            box.remove()
        return Outcome(True, "made")

    assert judging.judge(_lab(_criterion("image", measure)), folder, client).passed
    left = {volume.name for volume in client.volumes.list()}
    assert made["foreign"] in left and made["own"] not in left
    client.volumes.get(made["foreign"]).remove()


# bounds


@pytest.mark.engine
def test_a_build_that_does_not_end_is_ended(folder: Path, client: Any, tiny_image: str) -> None:
    (folder / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN sleep 600 # {uuid.uuid4().hex}\n")

    def measure(submission: Submission) -> Outcome:
        submission.build("app", seconds=4)
        return Outcome(True, "built")

    started = time.monotonic()
    (result,) = judging.judge(_lab(_criterion("image", measure)), folder, client).results
    assert (
        result.measured.startswith("The build of app was ended after 4 s.")
        and time.monotonic() - started < 60
    )


def test_a_check_says_once_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judging, "PATIENCE", 0.1)
    with judging.waiting("the build of app", 1200):
        time.sleep(0.5)
    with judging.waiting("nothing", 0.05):
        time.sleep(0.2)
    assert (
        capsys.readouterr().err
        == "The check waits for the build of app, for at most 1,200 s; Ctrl-C ends it.\n"
    )


@pytest.mark.engine
def test_a_container_that_writes_without_end_is_bounded(folder: Path, client: Any, tiny_image: str) -> None:
    seen: dict[str, Any] = {}

    def measure(submission: Submission) -> Outcome:
        endless = "while true; do echo harbour harbour harbour harbour; done"
        with submission.running(
            "app", tiny_image, command=["sh", "-c", endless], ready=None, port=0
        ) as service:
            assert polling.wait_until(lambda: len(judging.log_of(service.container, 5000)) == 5000, 60, 0.2)
            service.container.reload()
            seen["host"], seen["labels"] = service.container.attrs["HostConfig"], service.container.labels
            seen["log"] = judging.log_of(service.container, 5000)
        return Outcome(True, "ran")

    assert judging.judge(_lab(_criterion("image", measure)), folder, client).passed
    assert (
        seen["host"]["PidsLimit"] == 512
        and seen["host"]["Memory"] == 2**30
        and seen["host"]["LogConfig"]["Config"]["max-size"] == "10m"
    )
    assert len(seen["log"]) == 5000 and "dockerlab.check" in seen["labels"]


@pytest.mark.parametrize(
    ("options", "added"),
    [
        (
            [],
            [
                "--pids-limit",
                "512",
                "--log-driver",
                "json-file",
                "--log-opt",
                "max-size=10m",
                "--log-opt",
                "max-file=1",
                "--memory",
                "1g",
            ],
        ),
        (["--memory=64m", "--log-driver", "none"], ["--pids-limit", "512"]),
        (["-m", "64m", "--log-opt", "max-size=1m"], ["--pids-limit", "512"]),
        (["-m64m", "--log-opt=x=y"], ["--pids-limit", "512"]),
        (["--mount", "type=tmpfs,target=/x", "--log-opt=x=y"], ["--pids-limit", "512", "--memory", "1g"]),
    ],
)
def test_options_of_a_learner_are_bounded_where_they_say_nothing(
    options: list[str], added: list[str]
) -> None:
    assert judging.bounds(options, memory=True) == added


def test_what_was_measured_moves_no_cursor(folder: Path) -> None:
    evil = "\x1b[31mred\x1b[0m \x1b[2J\x07\udcff end"
    for measure in (lambda _: Outcome(False, evil), _raises(CourseError(evil))):
        (result,) = judging.judge(_lab(_criterion("image", measure)), folder).results
        assert (
            result.measured.startswith("red ")
            and "\x1b" not in result.measured
            and "\x07" not in result.measured
        )
        repr(judging.judge(_lab(_criterion("image", measure)), folder)).encode()
    prepared = judging.judge(_lab(_criterion("image"), prepare=_raises(CourseError(evil))), folder)
    assert "\x1b" not in repr(prepared)


def test_what_several_threads_ask_for_is_made_once(folder: Path) -> None:
    made: list[int] = []

    def make() -> int:
        time.sleep(0.2)
        made.append(1)
        return len(made)

    with Submission(folder) as submission:
        pool = submission.pool(8)
        assert {
            each.result() for each in [pool.submit(submission.cached, "key", make) for _ in range(8)]
        } == {1}


def test_no_image_names_a_process(folder: Path) -> None:
    with Submission(folder) as submission:
        assert (
            object_labels.PROCESS_LABEL not in submission.image_labels()
            and object_labels.PROCESS_LABEL in submission.labels()
        )
        assert submission.tag("app").startswith(judging.IMAGE_PREFIX) and submission.tag("app").endswith(
            process_marks.mark()
        )


KILLED = """
import os, signal, sys
from pathlib import Path
import docker
from dockerlab.course.grading.judging import Submission
with Submission(Path(sys.argv[1]), lab="05") as submission:
    tag = submission.build("app").tag
    docker.from_env().containers.run(tag, ["sleep", "600"], detach=True, name=submission.name("learner"))  # as a learner's program does it
    submission.client.volumes.create(submission.name("data"), labels=submission.labels())
    print(submission.id, tag, submission.scratch(), flush=True)
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
    signal.pause()
"""


@pytest.mark.engine
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_nothing_is_left_of_a_check_that_was_ended(
    folder: Path, client: Any, tiny_image: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "DOCKERLAB_OWNER", f"owner-{uuid.uuid4().hex[:8]}"
    )  # no check of another process sweeps this one's things
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (folder / "Dockerfile").write_text(f"FROM {tiny_image}\nLABEL x={uuid.uuid4().hex}\n")
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{KILLED}"  # also where the run ignores it
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), how],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode, done.stderr
    check, tag, scratch = done.stdout.split()
    if how == "SIGKILL":
        assert client.images.list(tag) and Path(scratch).exists()
        assert {tag, scratch} <= set(judging.sweep(client))
    made = {"label": f"dockerlab.check={check}"}
    left = [
        *client.containers.list(all=True, filters=made),
        *client.images.list(tag),
        *client.volumes.list(filters=made),
    ]
    assert left == [] and not Path(scratch).exists()


@pytest.mark.engine
def test_an_end_before_time_does_not_wait_for_what_other_threads_build(
    folder: Path, client: Any, tiny_image: str
) -> None:
    (folder / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN sleep 600 # {uuid.uuid4().hex}\n")
    started = time.monotonic()

    def measure(submission: Submission) -> Outcome:
        submission.pool(1).submit(submission.build, "app")
        assert polling.wait_until(lambda: bool(submission._builds), 10)
        time.sleep(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judging.judge(_lab(_criterion("image", measure)), folder, client)
    assert time.monotonic() - started < 60


# progress and the command line


@pytest.fixture
def lab05(monkeypatch: pytest.MonkeyPatch, folder: Path) -> SimpleNamespace:
    """Lab 05 with one criterion whose outcome the test chooses."""
    chosen = SimpleNamespace(measure=_fails, folder=folder)
    module = ModuleType("dockerlab.lessons.lesson05_multi_stage.lab")
    module.LAB = _lab(_criterion("image", lambda submission: chosen.measure(submission)))  # type: ignore[attr-defined]
    root = folder.parent
    (root / "sources/labs/05_shrink").mkdir(parents=True)
    (root / "labs").mkdir()
    folder.rename(root / "labs/05_shrink")
    monkeypatch.setitem(sys.modules, "dockerlab.lessons.lesson05_multi_stage.lab", module)
    monkeypatch.setattr(grading, "known", lambda: ["05"])
    monkeypatch.setattr(grading, "ROOT", root)
    monkeypatch.setattr(commands, "ROOT", root)
    find = grading.workspace.find
    monkeypatch.setattr(grading.workspace, "find", lambda lab: find(lab, root))
    return chosen


def test_check_prints_notes_and_returns_the_exit_code(
    lab05: SimpleNamespace, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.progress()
    assert "· 05  shrink" in capsys.readouterr().out
    assert commands.check("5") == 1
    assert "0 of 1 hold" in capsys.readouterr().out and state.is_file()
    commands.progress()
    assert "0 of 1 criteria hold" in capsys.readouterr().out
    lab05.measure = _holds
    assert commands.check("05") == 0
    lab05.measure = _fails
    assert commands.check("05_shrink") == 1
    capsys.readouterr()
    assert commands.progress() == 0
    assert capsys.readouterr().out.split() == ["✓", "05", "shrink", "passed"]


def test_a_check_that_stops_early_notes_only_a_success(lab05: SimpleNamespace, state: Path) -> None:
    assert commands.check("05", first=True) == 1 and not state.exists()
    lab05.measure = _holds
    assert commands.check("05", first=True) == 0 and progress.load_progress()["05"]["passed"]


def test_the_own_folder_is_noted_when_a_notebook_names_it(lab05: SimpleNamespace, state: Path) -> None:
    lab05.measure = _holds
    assert grading.check("05", folder=grading.ROOT / "labs/05_shrink").passed
    assert progress.load_progress()["05"]["passed"]


def test_another_folder_is_judged_but_not_noted(lab05: SimpleNamespace, state: Path, tmp_path: Path) -> None:
    lab05.measure = _holds
    assert commands.check("05", tmp_path) == 0 and not state.exists()
    with pytest.raises(CourseError, match="There is no folder gone"):
        commands.check("05", tmp_path / "gone")


def test_an_unknown_lab_is_one_sentence(lab05: SimpleNamespace) -> None:
    with pytest.raises(CourseError, match="Lab '77' has no checks. Labs: 05"):
        commands.check("77")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"05": 1}'])
def test_a_broken_progress_file_counts_as_none(state: Path, content: str) -> None:
    state.parent.mkdir()
    state.write_text(content)
    assert progress.load_progress() == {}


def test_progress_that_cannot_be_saved_says_so(state: Path, folder: Path) -> None:
    state.parent.write_text("a file where the folder should be")
    with pytest.raises(CourseError, match="cannot be saved"):
        progress.save_progress(judging.judge(_lab(_criterion("image")), folder))


def test_every_lab_of_the_course_loads() -> None:
    for number in grading.known():
        assert grading.load(number).number == number


def test_code_in_a_promise_is_shown_as_code() -> None:
    item = report.Result(
        "a", "It prints `a<b>`", "why", "`a<b>`", "nothing", Status.FAILED, "Look at `CMD`.", "second"
    )
    html = report.Report("09", "code", (item,))._repr_html_()
    assert html.count("<code>a&lt;b&gt;</code>") == 2 and "<code>CMD</code>" in html and "`" not in html
