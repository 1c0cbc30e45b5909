"""Instruments: their pure parts, their effect on the engine, and that nothing outlives its cell."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import ipywidgets
import pandas as pd
import psutil
import pytest

from dockerlab.containers.compose import Service, running_stack
from dockerlab.containers.compose_graph import graph
from dockerlab.containers.container import remove
from dockerlab.containers.stats import Load, load
from dockerlab.core.polling import wait_until
from dockerlab.detection.api_client import Answer
from dockerlab.detection.limit_report import UnderLimits, frame
from dockerlab.engine import object_labels
from dockerlab.images.build_errors import BuildCancelled
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.image_report import ImageReport, Layer
from dockerlab.notebook.charts.limits import latency_under_limits
from dockerlab.notebook.charts.stack import columns, stack_svg
from dockerlab.notebook.widgets import (
    BuildTimeline,
    CachePredictor,
    ContainerConsole,
    LadderChart,
    LayerExplorer,
    LimitSliders,
    StackGraph,
    close_all,
    compare_builds,
)
from dockerlab.notebook.widgets import ladder as ladder_module
from dockerlab.notebook.widgets import live as live_module
from dockerlab.notebook.widgets import timeline as timeline_module
from dockerlab.notebook.widgets.console import sparkline, state_of
from dockerlab.notebook.widgets.layers import ALL, lines, tree, tree_html, wasted_html
from dockerlab.notebook.widgets.playground import time_split
from dockerlab.notebook.widgets.stack import states
from dockerlab.notebook.widgets.timeline import bar_html, spans


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    close_all()
    assert wait_until(lambda: not _threads(), 60), _threads()


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("dockerlab-")]


def _sockets() -> int:
    return len(psutil.Process().net_connections("all"))


@pytest.fixture
def sleeper(client: docker.DockerClient, tiny_image: str) -> Iterator[str]:
    name = f"dockerlab-console-{uuid.uuid4().hex[:8]}"
    made = client.containers.run(
        tiny_image,
        ["sh", "-c", "echo ready; sleep 300"],
        name=name,
        detach=True,
        init=True,
        labels=object_labels.labels(kind="test"),
    )
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
    assert wait_until(lambda: console.buttons["kill"].disabled and not console.buttons["start"].disabled, 60)
    console.buttons["start"].click()
    assert console.wait_for("running")
    assert "running" in console.text() and "x" in console.text()


def test_the_consoles_name_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContainerConsole, "every", lambda *_: None)
    monkeypatch.setattr(ContainerConsole, "start", lambda *_: None)
    console = ContainerConsole("<b>x")
    console._do("stop", lambda found: None)
    console._draw("<i>log")
    for shown in (console._head.value, console._line.value, console._lines.value):
        assert "&lt;" in shown and "<b>x" not in shown and "<i>log" not in shown


@pytest.mark.engine
def test_a_container_that_goes_away_is_an_end_not_an_error(client: docker.DockerClient, sleeper: str) -> None:
    console = ContainerConsole(sleeper)
    assert console.wait_for("running")
    client.containers.get(sleeper).remove(force=True)
    assert console.wait_for("gone")
    console.wait(60)
    assert "was removed" in console.note.value and "Traceback" not in console.note.value


@pytest.mark.engine
def test_fifty_runs_of_one_cell_leave_nothing_behind(sleeper: str) -> None:
    first = ContainerConsole(sleeper)
    first.wait_for("running")
    first.close()
    threads, sockets, widgets = threading.active_count(), _sockets(), len(_live_widgets())
    for _ in range(50):
        console = ContainerConsole(sleeper)
    assert console.wait_for("running")
    assert len(_threads()) <= 2
    console.close()
    assert wait_until(lambda: threading.active_count() <= threads, 60)
    assert _sockets() <= sockets + 1
    assert len(_live_widgets()) <= widgets + 2


@pytest.mark.engine
def test_after_the_clean_up_it_is_still_there_to_be_read(
    client: docker.DockerClient, sleeper: str, tiny_image: str
) -> None:
    console, explorer = ContainerConsole(sleeper), LayerExplorer(tiny_image)
    assert console.wait_for("running")
    explorer.wait(120)
    close_all()
    close_all()
    assert not _threads() and console.ended
    assert "running" in console._head.value and "run this cell again" in console.note.value
    assert all(each.disabled for each in console.buttons.values())
    explorer.choose(ALL, search="busybox")  # needs no engine any more
    assert "bin/busybox" in explorer._view.value and not explorer._search.disabled
    widgets = len(_live_widgets())
    ContainerConsole(sleeper).close()  # its cell runs again: the resting one makes room
    assert len(_live_widgets()) < widgets and client.containers.get(sleeper).status == "running"


def _live_widgets() -> list[object]:
    registry = getattr(ipywidgets.widgets.widget, "_instances", None)
    assert registry is not None, "ipywidgets keeps its registry elsewhere now"
    return list(registry.values())


@pytest.mark.engine
class Client:
    """A connection that counts how often it was made and whether it is open."""

    made: list[Client] = []

    def __init__(self) -> None:
        self.open = True
        self.made.append(self)

    def use(self) -> None:
        self.open = True

    def close(self) -> None:
        self.open = False


@pytest.fixture
def slow_connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Connections are made only once the event is set."""
    may = threading.Event()
    monkeypatch.setattr(Client, "made", [])
    monkeypatch.setattr(live_module.connection, "connect", lambda: may.wait(30) and Client())
    monkeypatch.setattr(live_module, "JOIN_SECONDS", 0.1)
    yield may
    close_all()


def test_two_threads_share_one_connection(slow_connect: threading.Event) -> None:
    instrument, got = live_module.Instrument(), []
    for _ in range(2):
        instrument.start(lambda: got.append(instrument.client))
    slow_connect.set()
    instrument.wait(30)
    assert len(Client.made) == 1 and got == Client.made * 2


@pytest.mark.parametrize("connected", [False, True])
def test_a_thread_that_outlives_its_instrument_leaves_no_connection(
    slow_connect: threading.Event, connected: bool
) -> None:
    instrument, go_on, reached = live_module.Instrument(), threading.Event(), threading.Event()

    def work() -> None:
        client = instrument.client if connected else None
        reached.set()
        go_on.wait(30)
        (client or instrument.client).use()

    if connected:
        slow_connect.set()
    instrument.start(work)
    assert reached.wait(30)
    instrument.rest()
    slow_connect.set()
    go_on.set()
    instrument.wait(30)
    assert not any(client.open for client in Client.made) and len(Client.made) == connected


def test_making_one_blocks_nobody(sleeper: str) -> None:
    began = time.monotonic()
    console = ContainerConsole(sleeper)
    assert time.monotonic() - began < 0.2
    assert console.wait_for("running")


@pytest.mark.engine
def test_a_build_is_seen_while_it_runs_and_its_log_can_be_read(tiny_image: str, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    (tmp_path / "Dockerfile").write_text(
        f"FROM {tiny_image}\nRUN echo hello-{marker}; sleep 2\nRUN touch /b\n"
    )
    shown = BuildTimeline(tmp_path, tag=f"dockerlab-test:{marker[:8]}")
    assert shown.text() == "The build is running."
    assert wait_until(lambda: "running" in shown.note.value, 300)
    shown.wait(120)
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
    assert wait_until(lambda: "1 running" in shown.note.value, 300)
    shown._stop.click()
    shown.wait(120)
    assert isinstance(shown.error, BuildCancelled) and "cancelled" in shown.note.value
    again = BuildTimeline(tmp_path, tag="dockerlab-test:cancelled")
    assert wait_until(lambda: "1 running" in again.note.value, 300)
    began = time.monotonic()
    close_all()
    assert time.monotonic() - began < 5
    assert "run this cell again" in again.note.value and again._stop.disabled
    again.close()


@pytest.mark.engine
def test_drawing_and_the_end_of_the_build_do_not_meet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A slow drawing of a running build, and the build ends meanwhile: each step once, and the end has the last word."""
    drawn = BuildReport(
        "sha256:1", "a:b", [Step(f"[{number}/3] RUN x", str(number), done=True) for number in range(1, 4)]
    )
    reached = threading.Event()

    def built(*_: object, on_step: Callable[[Step], None], **__: object) -> BuildReport:
        for step in drawn.steps:
            on_step(step)
        assert reached.wait(10)
        return drawn

    def slow(step: Step, *rest: float) -> str:
        if not reached.is_set():
            reached.set()
            time.sleep(0.5)
        return bar_html(step, *rest)

    monkeypatch.setattr(timeline_module, "build", built)
    monkeypatch.setattr(timeline_module, "bar_html", slow)
    shown = BuildTimeline(tmp_path)
    shown.wait(120)
    assert "Done in" in shown.note.value and len(shown._rows._list.children) == 3


@pytest.mark.engine
def test_a_failing_build_is_one_sentence(tiny_image: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN exit 3\n")
    shown = BuildTimeline(tmp_path)
    shown.wait(120)
    assert "line 2 failed" in shown.note.value and "Traceback" not in shown.note.value
    assert "line 2 failed" in shown.text()


@pytest.mark.engine
def test_an_explorer_opens_any_image(tiny_image: str) -> None:
    explorer = LayerExplorer(tiny_image)
    explorer.wait(120)
    assert "on disk" in explorer.note.value
    explorer.choose(ALL, search="busybox")
    assert "bin/busybox" in explorer._view.value
    explorer.choose(ALL, what="wasted")
    assert "Nothing is wasted" in explorer._view.value
    missing = LayerExplorer("dockerlab-nothing:here")
    missing.wait(120)
    assert "no image dockerlab-nothing" in missing.note.value


REPORT = ImageReport(
    "a:b",
    [
        Layer("COPY a", 900, 400, {"app/main.py": 300, "app/data/big.bin": 600}),
        Layer("RUN rm", 50, 20, {"app/main.py": 50}, ["app/data/big.bin"]),
    ],
    {},
)


def test_the_tree_adds_up_and_marks_changes() -> None:
    root = tree(REPORT, 0)
    assert root.size == 900 and root.children["app"].children["data"].size == 600
    assert [(level, node.name, node.size) for level, node in lines(root)] == [
        (0, "app", 900),
        (1, "data/big.bin", 600),
        (1, "main.py", 300),
    ]
    kinds = {node.name: node.kind for _, node in lines(tree(REPORT, 1))}
    assert kinds["main.py"] == "changed" and kinds["data/big.bin"] == "deleted"
    assert tree(REPORT, ALL, "BIG").size == 600
    assert "No file." in tree_html(tree(REPORT, 0, "nowhere"))
    assert "data/big.bin" in wasted_html(REPORT) and "main.py" not in wasted_html(REPORT, "big")


def test_load_follows_the_engines_formulas() -> None:
    stats = {
        "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
        "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
        "memory_stats": {"usage": 50, "limit": 100, "stats": {"inactive_file": 20}},
    }
    assert load(stats) == Load(40.0, 30, 100)
    assert load({"cpu_stats": {}, "memory_stats": {}}) is None


def test_state_is_health_where_there_is_a_check() -> None:
    assert state_of({"State": {"Status": "running", "Health": {"Status": "starting"}}}) == "starting"
    assert state_of({"State": {"Status": "exited", "Health": {"Status": "unhealthy"}}}) == "exited"
    assert state_of({"State": {"Status": "running"}}) == "running"


def test_spans_count_from_the_first_step_and_running_steps_grow() -> None:
    done, running = (
        Step("[1/2] RUN a", "1", started=1_000_000_010.0, seconds=4.0, done=True),
        Step("[2/2] RUN b", "2", started=1_000_000_014.0),
    )
    assert [(start, length) for _, start, length in spans([done, running], now=1_000_000_020.0)] == [
        (0.0, 4.0),
        (4.0, 6.0),
    ]
    finished = Step("[1/1] RUN a", "1", started=3.0, seconds=2.0, done=True)
    assert spans([finished])[0][1:] == (3.0, 2.0)
    assert "cached" in bar_html(Step("x", cached=True), 0, 0, 5) and "…" in bar_html(running, 0, 1, 5)


def test_the_time_split_states_its_finding() -> None:
    figure = time_split(Answer("m", "onnx", 1, 1, (), {"decode": 2.0, "inference": 15.0}), 20.0)
    assert figure.axes[0].get_title(loc="left") == "Inference takes 75% of the 20 ms"


def test_a_sparkline_of_nothing_is_still_drawn() -> None:
    assert "<svg" in sparkline([], "cpu") and "cpu" in sparkline([0.0, 1.0], "cpu")


LADDER = pd.DataFrame(
    {
        "rung": ["naive", "minimal"],
        "disk_bytes": [6.7e9, 1.6e8],
        "download_bytes": [3.4e9, 6e7],
        "build_seconds": [90.0, 60.0],
        "rebuild_seconds": [80.0, 0.5],
        "cold_start_seconds": [2.7, 0.9],
        "latency_p50_ms": [40.0, 20.0],
    }
)


def test_the_ladder_switches_between_measures_and_shows_dockerfiles() -> None:
    chart = LadderChart(LADDER)
    assert chart.text().splitlines() == [
        "disk: minimal needs 41.9 times less than naive",
        "naive            6,700 MB",
        "minimal            160 MB",
    ]
    chart.switch.value = "rebuild"
    assert "160.0 times less" in chart.text() and "0.50 s" in chart.text()
    chart.show("minimal")
    assert "FROM gcr.io/distroless" in chart._file.value
    assert set(ladder_module.MEASURES) == {"disk", "download", "build", "rebuild", "start", "latency"}


ALIVE, DEAD = UnderLimits(256, 1.0, 40.0, 60.0, None, False), UnderLimits(32, 0.5, None, None, 137, True)


def test_limits_in_words_rows_and_a_chart() -> None:
    assert str(ALIVE) == "256 MB, 1 CPU: 40 ms (slowest 60 ms)"
    assert str(DEAD) == "32 MB, 0.5 CPUs: killed by the kernel for memory, exit code 137"
    assert list(frame([ALIVE, DEAD])["outcome"]) == ["answers", "OOM killed"]
    slow = UnderLimits(256, 0.25, 200.0, 300.0, None, False)
    assert latency_under_limits([ALIVE, slow, DEAD]).axes[0].get_title(loc="left") == (
        "At 0.25 CPUs an answer takes 5.0 times as long as at 1; 1 of 3 tries was killed"
    )
    assert latency_under_limits([DEAD]).axes[0].get_title(loc="left") == "No try survived its memory limit"


@pytest.mark.engine
def test_sliders_state_their_command_and_tell_what_happened(tiny_image: str) -> None:
    sliders = LimitSliders(tiny_image)
    sliders.memory.value, sliders.cpus.value = 64, 0.5
    assert sliders.command == f"docker run --memory 64m --memory-swap 64m --cpus 0.5 {tiny_image}"
    sliders.run.click()
    sliders.wait(120)
    assert (
        sliders.tries[0].exit_code == 0 and not sliders.tries[0].survived
    )  # a shell without input ends at once
    assert "ended, exit code 0" in sliders.note.value and not sliders.run.disabled


CONFIG = {
    "services": {
        "api": {
            "image": "api",
            "networks": {"back": None},
            "depends_on": {"db": {}},
            "ports": [{"published": "80", "target": 8000}],
        },
        "db": {
            "image": "postgres",
            "networks": {"back": None},
            "volumes": [{"source": "rows", "target": "/data"}],
        },
    }
}


def test_the_picture_of_a_stack_reads_from_left_to_right() -> None:
    drawn = graph(CONFIG)
    assert columns(drawn) == {"api": 0, "db": 1}
    svg = stack_svg(drawn, {"api": "unhealthy"})
    for said in ("✗ unhealthy", "⇅ port 80 → 8000", "rows → /data", "network back"):
        assert said in svg
    circle = graph(
        {
            "services": {
                name: {"image": "x", "depends_on": {other: {}}} for name, other in (("a", "b"), ("b", "a"))
            }
        }
    )
    assert stack_svg(circle).startswith("<svg")


def test_the_worst_container_speaks_for_its_service() -> None:
    several = [
        Service("api", "api-1", "running", "healthy", 0),
        Service("api", "api-2", "exited", "", 1),
        Service("db", "db-1", "running", "", 0),
    ]
    assert states(several) == {"api": "exited", "db": "running"}


@pytest.mark.engine
def test_the_graph_follows_the_stack_until_it_is_down(tiny_image: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  one:\n    image: {tiny_image}\n    command: [sh, -c, 'echo hello; sleep 100']\n    init: true\n"
    )
    with running_stack(tmp_path, timeout=240) as stack:
        drawn = StackGraph(stack)
        assert wait_until(lambda: drawn.states == {"one": "running"}, 120)
        drawn.show("one")
        assert wait_until(lambda: "hello" in drawn._log.value, 120)
        assert "running" in drawn.text() and "▶ running" in drawn._picture.value
    assert wait_until(lambda: "is down" in drawn.note.value, 120)


@pytest.mark.engine
def test_ticks_are_marked_by_the_real_build(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    marker, tag = uuid.uuid4().hex, f"dockerlab-test:{uuid.uuid4().hex[:8]}"
    (tmp_path / "Dockerfile").write_text(
        f"FROM {tiny_image}\nRUN echo {marker}\nCOPY app.py /app.py\nRUN touch /done\n"
    )
    (tmp_path / "app.py").write_text(marker)
    edits = {
        "change app.py": lambda folder: (folder / "app.py").write_text(uuid.uuid4().hex) and None,
        "touch app.py": lambda folder: (folder / "app.py").touch(),
    }
    shown = CachePredictor(tmp_path, tag, edits)
    shown.wait(120)
    assert [box.description for box in shown.ticks.boxes] == [
        f"RUN echo {marker}",
        "COPY app.py /app.py",
        "RUN touch /done",
    ]
    shown.ticks.boxes[1].value = True
    shown.run.click()
    shown.wait(120)
    assert (
        list(shown.results[0]["right"]) == ["✓", "✓", "✗"]
        and "an earlier step ran" in shown.results[0]["why"].iloc[2]
    )
    assert (
        "2 of 3 steps rightly foreseen" in shown.note.value
        and "app.py, which it copies, changed" in shown._marks.value
    )
    shown.choice.value = "touch app.py"
    shown.run.click()
    shown.wait(120)
    assert "3 of 3" in shown.note.value and "5 of 6" in shown.text()
    client.images.remove(tag)
