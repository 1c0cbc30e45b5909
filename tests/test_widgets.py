"""Instruments: their pure parts, their effect on the engine, and that nothing outlives its cell."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import ipywidgets
import psutil
import pytest

from dockerlab import engine
from dockerlab.build import BuildCancelled, Step
from dockerlab.container import remove, wait_until
from dockerlab.detect import Answer
from dockerlab.image import ImageReport, Layer
from dockerlab.widgets import BuildTimeline, ContainerConsole, LayerExplorer, close_all, compare_builds
from dockerlab.widgets.console import Load, load, sparkline, state_of
from dockerlab.widgets.layers import ALL, lines, tree, tree_html, wasted_html
from dockerlab.widgets.playground import time_split
from dockerlab.widgets.timeline import bar_html, spans


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    close_all()
    assert wait_until(lambda: not _threads(), 5), _threads()


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("dockerlab-")]


def _sockets() -> int:
    return len(psutil.Process().net_connections("all"))


@pytest.fixture
def sleeper(client: docker.DockerClient, tiny_image: str) -> Iterator[str]:
    name = f"dockerlab-console-{uuid.uuid4().hex[:8]}"
    made = client.containers.run(tiny_image, ["sh", "-c", "echo ready; sleep 300"], name=name, detach=True, init=True, labels=engine.labels(kind="test"))
    yield name
    remove(made)


@pytest.mark.engine
def test_the_console_does_what_its_buttons_say(client: docker.DockerClient, sleeper: str) -> None:
    console = ContainerConsole(sleeper)
    assert console.wait_for("running")
    console.buttons["pause"].click()
    assert console.wait_for("paused") and client.containers.get(sleeper).status == "paused"
    assert console.command == f"docker pause {sleeper}"
    console.buttons["unpause"].click()
    assert console.wait_for("running")
    console.buttons["kill"].click()
    assert console.wait_for("exited") and client.containers.get(sleeper).attrs["State"]["ExitCode"] == 137
    assert wait_until(lambda: console.buttons["kill"].disabled and not console.buttons["start"].disabled, 5)
    console.buttons["start"].click()
    assert console.wait_for("running")
    assert "running" in console.text() and "x" in console.text()


@pytest.mark.engine
def test_a_container_that_goes_away_is_an_end_not_an_error(client: docker.DockerClient, sleeper: str) -> None:
    console = ContainerConsole(sleeper)
    assert console.wait_for("running")
    client.containers.get(sleeper).remove(force=True)
    assert console.wait_for("gone")
    console.wait(5)
    assert "was removed" in console.note.value and "Traceback" not in console.note.value


@pytest.mark.engine
def test_fifty_runs_of_one_cell_leave_nothing_behind(sleeper: str) -> None:
    ContainerConsole(sleeper).wait_for("running")
    close_all()
    threads, sockets, widgets = threading.active_count(), _sockets(), len(_live_widgets())
    for _ in range(50):
        console = ContainerConsole(sleeper)
    assert console.wait_for("running")
    assert len(_threads()) <= 2
    close_all()
    assert wait_until(lambda: threading.active_count() <= threads, 5)
    assert _sockets() <= sockets + 1
    assert len(_live_widgets()) <= widgets + 2


def _live_widgets() -> list[object]:
    registry = getattr(ipywidgets.widgets.widget, "_instances", None)
    assert registry is not None, "ipywidgets keeps its registry elsewhere now"
    return list(registry.values())


@pytest.mark.engine
def test_making_one_blocks_nobody(sleeper: str) -> None:
    began = time.monotonic()
    console = ContainerConsole(sleeper)
    assert time.monotonic() - began < 0.2
    assert console.wait_for("running")


@pytest.mark.engine
def test_a_build_is_seen_while_it_runs_and_its_log_can_be_read(tiny_image: str, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    (tmp_path / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN echo hello-{marker}; sleep 2\nRUN touch /b\n")
    shown = BuildTimeline(tmp_path, tag=f"dockerlab-test:{marker[:8]}")
    assert shown.text() == "The build is running."
    assert wait_until(lambda: "running" in shown.note.value, 20)
    shown.wait(60)
    assert shown.report is not None and len(shown.report.ran) == 2
    rows = shown._rows
    button, _ = next(pair for pair in rows._buttons.values() if "hello" in pair[0].tooltip)
    button.click()
    assert f"hello-{marker}" in rows._log.value
    assert "2 steps ran" in shown.text()
    compared = compare_builds({"once": shown.report, "again": shown.report})
    assert "once: 2 of 2 steps ran" in compared.text()
    shown.client.images.remove(f"dockerlab-test:{marker[:8]}")


@pytest.mark.engine
def test_a_build_can_be_cancelled_and_ends_with_its_cell(tiny_image: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN echo {uuid.uuid4()}; sleep 200\n")
    shown = BuildTimeline(tmp_path, tag="dockerlab-test:cancelled")
    assert wait_until(lambda: "1 running" in shown.note.value, 20)
    shown._stop.click()
    shown.wait(15)
    assert isinstance(shown.error, BuildCancelled) and "cancelled" in shown.note.value
    again = BuildTimeline(tmp_path, tag="dockerlab-test:cancelled")
    assert wait_until(lambda: "1 running" in again.note.value, 20)
    began = time.monotonic()
    again.close()
    assert time.monotonic() - began < 5


@pytest.mark.engine
def test_a_failing_build_is_one_sentence(tiny_image: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN exit 3\n")
    shown = BuildTimeline(tmp_path)
    shown.wait(30)
    assert "line 2 failed" in shown.note.value and "Traceback" not in shown.note.value
    assert "line 2 failed" in shown.text()


@pytest.mark.engine
def test_an_explorer_opens_any_image(tiny_image: str) -> None:
    explorer = LayerExplorer(tiny_image)
    explorer.wait(60)
    assert "on disk" in explorer.note.value
    explorer.choose(ALL, search="busybox")
    assert "bin/busybox" in explorer._view.value
    explorer.choose(ALL, what="wasted")
    assert "Nothing is wasted" in explorer._view.value
    missing = LayerExplorer("dockerlab-nothing:here")
    missing.wait(30)
    assert "no image dockerlab-nothing" in missing.note.value


REPORT = ImageReport("a:b", [Layer("COPY a", 900, 400, {"app/main.py": 300, "app/data/big.bin": 600}),
                             Layer("RUN rm", 50, 20, {"app/main.py": 50}, ["app/data/big.bin"])], {})


def test_the_tree_adds_up_and_marks_changes() -> None:
    root = tree(REPORT, 0)
    assert root.size == 900 and root.children["app"].children["data"].size == 600
    assert [(level, node.name, node.size) for level, node in lines(root)] == [(0, "app", 900), (1, "data/big.bin", 600), (1, "main.py", 300)]
    kinds = {node.name: node.kind for _, node in lines(tree(REPORT, 1))}
    assert kinds["main.py"] == "changed" and kinds["data/big.bin"] == "deleted"
    assert tree(REPORT, ALL, "BIG").size == 600
    assert "No file." in tree_html(tree(REPORT, 0, "nowhere"))
    assert "data/big.bin" in wasted_html(REPORT) and "main.py" not in wasted_html(REPORT, "big")


def test_load_follows_the_engines_formulas() -> None:
    stats = {"cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
             "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
             "memory_stats": {"usage": 50, "limit": 100, "stats": {"inactive_file": 20}}}
    assert load(stats) == Load(40.0, 30, 100)
    assert load({"cpu_stats": {}, "memory_stats": {}}) is None


def test_state_is_health_where_there_is_a_check() -> None:
    assert state_of({"State": {"Status": "running", "Health": {"Status": "starting"}}}) == "starting"
    assert state_of({"State": {"Status": "exited", "Health": {"Status": "unhealthy"}}}) == "exited"
    assert state_of({"State": {"Status": "running"}}) == "running"


def test_spans_count_from_the_first_step_and_running_steps_grow() -> None:
    done, running = Step("[1/2] RUN a", "1", started=1_000_000_010.0, seconds=4.0, done=True), Step("[2/2] RUN b", "2", started=1_000_000_014.0)
    assert [(start, length) for _, start, length in spans([done, running], now=1_000_000_020.0)] == [(0.0, 4.0), (4.0, 6.0)]
    finished = Step("[1/1] RUN a", "1", started=3.0, seconds=2.0, done=True)
    assert spans([finished])[0][1:] == (3.0, 2.0)
    assert "cached" in bar_html(Step("x", cached=True), 0, 0, 5) and "…" in bar_html(running, 0, 1, 5)


def test_the_time_split_states_its_finding() -> None:
    figure = time_split(Answer("m", "onnx", 1, 1, (), {"decode": 2.0, "inference": 15.0}), 20.0)
    assert figure.axes[0].get_title(loc="left") == "Inference takes 75% of the 20 ms"


def test_a_sparkline_of_nothing_is_still_drawn() -> None:
    assert "<svg" in sparkline([], "cpu") and "cpu" in sparkline([0.0, 1.0], "cpu")
