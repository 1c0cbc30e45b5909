"""Builds on the real engine: steps, cache, both back ends, and what a failure says."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from matplotlib.figure import Figure

from dockerlab.core.polling import wait_until
from dockerlab.images import build as module
from dockerlab.images import build_errors, build_report, build_trace
from dockerlab.images.build import build
from dockerlab.images.build_errors import BuildFailed, ContextTooLarge
from dockerlab.images.build_report import BuildReport
from dockerlab.images.build_trace import Trace
from dockerlab.notebook.charts.timeline import compare_timelines
from tests.support.commands import sleeps

pytestmark = pytest.mark.engine


@pytest.fixture
def tag(client: docker.DockerClient) -> Iterator[str]:
    name = f"dockerlab-test:{uuid.uuid4().hex[:8]}"
    yield name
    if client.images.list(name):
        client.images.remove(name, force=True)


@pytest.fixture
def make(
    tmp_path: Path, tiny_image: str, client: docker.DockerClient, tag: str
) -> Callable[..., BuildReport]:
    """Build a Dockerfile given as text on top of the tiny image."""

    def run(text: str, **options: object) -> BuildReport:
        (tmp_path / "Dockerfile").write_text(text.replace("BASE", tiny_image), encoding="utf-8")
        return build(tmp_path, tag=tag, client=client, **options)

    return run


def test_second_build_comes_from_the_cache(
    make: Callable[..., BuildReport], client: docker.DockerClient, tag: str
) -> None:
    text = f"FROM BASE\nRUN echo {uuid.uuid4()} > /one\nRUN echo two > /two\n"
    first, second = make(text), make(text)
    assert len(first.ran) == 2 and not first.cached
    assert len(second.cached) == 2 and not second.ran
    assert first.image_id == second.image_id == client.images.get(tag).id
    assert client.images.get(tag).labels["dockerlab.course"] == "1"


def test_report_has_the_log_and_the_seconds_of_a_step(make: Callable[..., BuildReport]) -> None:
    report = make("FROM BASE\nRUN echo hello from the step && sleep 1\n", no_cache=True)
    step = next(step for step in report.steps if "sleep 1" in step.name)
    assert "hello from the step" in step.log
    assert 0.9 < step.seconds < 10
    assert list(report.frame()["cached"]) == [False]


def test_independent_stages_overlap(make: Callable[..., BuildReport]) -> None:
    report = make(
        "FROM BASE AS a\nRUN sleep 2; echo > /a\nFROM BASE AS b\nRUN sleep 2; echo > /b\nFROM BASE\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
        no_cache=True,
    )
    sleeps = [step for step in report.steps if "sleep 2" in step.name]
    assert {step.stage for step in sleeps} == {"a", "b"}
    assert max(step.started for step in sleeps) < min(step.started + step.seconds for step in sleeps)
    assert isinstance(compare_timelines({"parallel": report}), Figure)


def test_failure_names_line_log_and_exit_code(make: Callable[..., BuildReport]) -> None:
    with pytest.raises(BuildFailed) as caught:
        make("FROM BASE\n\nRUN echo before it breaks && false\n")
    assert (
        "line 3" in str(caught.value)
        and "before it breaks" in str(caught.value)
        and "exit code: 1" in str(caught.value)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM BASE\nCOPY missing.txt /\n", "not in the context"),
        ("FROM BASE\nRUNN true\n", "syntax error"),
        ("FROM dockerlab.invalid/nothing:here\nRUN true\n", "dockerlab bases"),
    ],
)
def test_likely_cause(make: Callable[..., BuildReport], text: str, expected: str) -> None:
    with pytest.raises(BuildFailed, match=expected):
        make(text)


def test_missing_dockerfile(tmp_path: Path, client: docker.DockerClient) -> None:
    with pytest.raises(BuildFailed, match="There is no Dockerfile"):
        build(tmp_path, client=client)


def test_context_is_weighed_before_it_is_sent(make: Callable[..., BuildReport], tmp_path: Path) -> None:
    (tmp_path / "video.bin").write_bytes(bytes(2_000_000))
    with pytest.raises(ContextTooLarge, match=r"video\.bin \(2 MB\)"):
        make("FROM BASE\n", max_context_bytes=1_000_000)
    (tmp_path / ".dockerignore").write_text("*.bin\n")
    assert make("FROM BASE\nCOPY . /c\n", max_context_bytes=1_000_000).context_bytes < 10_000


def test_names_with_spaces_and_accents(make: Callable[..., BuildReport], tmp_path: Path) -> None:
    (tmp_path / "été à la mer.txt").write_text("sand")
    (tmp_path / ("long" * 40 + ".txt")).write_text("sand")
    make('FROM BASE\nCOPY . /c\nRUN test -f "/c/été à la mer.txt"\n')


def test_arguments_and_target(
    make: Callable[..., BuildReport], client: docker.DockerClient, tag: str
) -> None:
    make(
        'FROM BASE AS first\nARG WHO\nRUN echo "$WHO" > /who\nFROM first\nRUN false\n',
        buildargs={"WHO": "learner"},
        target="first",
    )
    assert client.containers.run(tag, ["cat", "/who"], remove=True).decode().strip() == "learner"


def test_classic_backend_reports_the_same_steps(make: Callable[..., BuildReport]) -> None:
    text = f"FROM BASE\nRUN echo {uuid.uuid4()} > /one\n"
    assert any("RUN echo" in name for name in make(text, backend="classic").ran)
    assert any("RUN echo" in name for name in make(text, backend="classic").cached)
    with pytest.raises(BuildFailed, match="non-zero code: 3"):
        make("FROM BASE\nRUN exit 3\n", backend="classic")


def test_an_interrupt_stops_the_build_on_the_engine(make: Callable[..., BuildReport]) -> None:
    marker = f"41{os.getpid() % 1000:03d}"

    def interrupt(step: build_report.Step) -> None:
        if marker in step.name and not step.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(f"FROM BASE\nRUN sleep {marker}\n", no_cache=True, on_step=interrupt)
    assert wait_until(lambda: not sleeps(marker), 60)


@pytest.mark.parametrize("backend", ["buildkit", "classic"])
def test_another_thread_can_cancel(make: Callable[..., BuildReport], backend: str) -> None:
    marker, cancel = f"42{os.getpid() % 1000:03d}", module.Cancel()
    threading.Thread(
        target=lambda: wait_until(lambda: sleeps(marker), 300) and cancel.request(), daemon=True
    ).start()
    with pytest.raises(build_errors.BuildCancelled):
        make(f"FROM BASE\nRUN sleep {marker}\n", no_cache=True, cancel=cancel, backend=backend)
    assert wait_until(lambda: not sleeps(marker), 60)


def test_a_build_that_is_cancelled_as_it_ends_names_no_image(
    make: Callable[..., BuildReport], client: docker.DockerClient, tag: str
) -> None:
    text, cancel, seen = f"FROM BASE\nRUN echo {uuid.uuid4()} > /marker\n", module.Cancel(), []

    def at_the_end(step: build_report.Step) -> None:
        seen.append(step.name)
        if step.name.startswith("exporting"):
            cancel.requested = True  # too late for the engine: its answer comes whole

    with pytest.raises(build_errors.BuildCancelled):
        make(text, cancel=cancel, on_step=at_the_end)
    assert any(name.startswith("exporting") for name in seen)
    assert not client.images.list(tag)
    assert make(text, cancel=module.Cancel()).image_id == client.images.get(tag).id


def test_entries_may_be_split_anywhere() -> None:
    stream = b'{"id":"moby.image.id","aux":{"ID":"sha256:1"}}\n{"error":"broken"}\n'
    for cut in range(1, len(stream)):
        trace = Trace()
        for entry in build_trace.entries([stream[:cut], stream[cut:]]):
            trace.add(entry)
        assert (trace.image_id, trace.error) == ("sha256:1", "broken")
