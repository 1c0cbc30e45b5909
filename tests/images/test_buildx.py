"""Builds whose .dockerignore lists the Dockerfile: by the docker command, with the same report, errors and ends as those by the API."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from dockerlab.core.polling import wait_until
from dockerlab.images.build import Cancel, build
from dockerlab.images.build_errors import BuildCancelled, BuildFailed
from dockerlab.images.build_report import BuildReport, Step
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
    (tmp_path / "a").write_text(
        str(uuid.uuid4())
    )  # else a second run on the same engine finds its step in the cache

    def run(text: str, rules: str = "Dockerfile\n", **options: object) -> BuildReport:
        (tmp_path / "Dockerfile").write_text(text.replace("BASE", tiny_image), encoding="utf-8")
        (tmp_path / ".dockerignore").write_text(rules)
        return build(tmp_path, tag=tag, client=client, **options)

    return run


def test_the_report_is_that_of_a_build_by_the_api(
    make: Callable[..., BuildReport], client: docker.DockerClient, tag: str
) -> None:
    text = (
        f"FROM BASE AS one\nARG WHO\nCOPY a /c/\nRUN echo {uuid.uuid4()} $WHO > /who\nFROM one\nRUN false\n"
    )
    options = {"buildargs": {"WHO": "a b=c"}, "target": "one", "network": "none", "labels": {"x": 'quote"d'}}
    seen: list[Step] = []
    first = make(text, on_step=seen.append, **options)
    assert [step.name for step in first.instructions] == [
        step.name for step in make(text, "", **options).instructions
    ]
    assert len(first.ran) == 2 and {step.name for step in first.instructions} <= {step.name for step in seen}
    again = make(text, **options)
    assert len(again.cached) == 2 and again.image_id == client.images.get(tag).id
    labels = client.images.get(tag).labels
    assert labels["x"] == 'quote"d' and labels["dockerlab.course"] == "1"
    assert client.containers.run(tag, ["cat", "/who"], remove=True).decode().endswith(" a b=c\n")


def test_a_failure_names_line_log_and_exit_code(make: Callable[..., BuildReport]) -> None:
    with pytest.raises(BuildFailed) as caught:
        make("FROM BASE\n\nRUN echo before it breaks && false\n")
    assert (
        "line 3" in str(caught.value)
        and "before it breaks" in str(caught.value)
        and "exit code: 1" in str(caught.value)
    )
    with pytest.raises(BuildFailed, match="syntax error"):
        make("FROM BASE\nRUNN true\n")


def test_another_thread_can_cancel(make: Callable[..., BuildReport]) -> None:
    marker, cancel = f"43{os.getpid() % 1000:03d}", Cancel()
    threading.Thread(
        target=lambda: wait_until(lambda: sleeps(marker), 300) and cancel.request(), daemon=True
    ).start()
    with pytest.raises(BuildCancelled):
        make(f"FROM BASE\nRUN sleep {marker}\n", no_cache=True, cancel=cancel)
    assert wait_until(lambda: not sleeps(marker), 60)


def test_an_interrupt_stops_the_build_on_the_engine(make: Callable[..., BuildReport]) -> None:
    marker = f"44{os.getpid() % 1000:03d}"

    def interrupt(step: Step) -> None:
        if marker in step.name and not step.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(f"FROM BASE\nRUN sleep {marker}\n", no_cache=True, on_step=interrupt)
    assert wait_until(lambda: not sleeps(marker), 60)
