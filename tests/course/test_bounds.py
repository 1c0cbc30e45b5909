"""Whatever a learner's server or program does, whoever asks it gets a sentence in time."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
import requests
import yaml

from dockerlab.containers import container, load_generator
from dockerlab.core import errors, polling
from dockerlab.core.fetch import NoAnswer, TooLarge, TooSlow, fetch
from dockerlab.core.settings import ROOT
from dockerlab.course.grading import Criterion, Lab, Outcome, Status, Submission, judging
from dockerlab.detection import api_client
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson03_dockerfile.measures import _knocked
from dockerlab.lessons.lesson05_multi_stage import lab as lab05
from dockerlab.lessons.lesson08_compose import lab as lab08
from dockerlab.lessons.lesson09_security import attack_surface
from dockerlab.lessons.lesson11_production import measures, rollout

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n"
BEHAVIOUR = {
    "silent": (b"", b"", 60),
    "headers by drips": (b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.1),
    "body by drips": (HEAD, b"x", 0.1),
    "without end": (HEAD, bytes(1 << 16), 0),
    "chunks without end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + bytes(1 << 16) + b"\r\n",
        0,
    ),
    "elsewhere": (
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 900000000\r\n\r\n",
        bytes(1 << 16),
        0,
    ),
}


@contextmanager
def server(behaviour: str) -> Iterator[str]:
    """A server that sends a beginning, and then one thing for ever, with a pause in between."""
    begin, again, pause = BEHAVIOUR[behaviour]
    over = threading.Event()

    def serve(one: socket.socket) -> None:
        with one, suppress(OSError):
            one.recv(1 << 16)
            one.sendall(begin)
            while again and not over.wait(pause):
                one.sendall(again)
            over.wait(60)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.mark.parametrize("behaviour", ["silent", "headers by drips", "body by drips"])
def test_an_answer_that_does_not_end_is_none(behaviour: str) -> None:
    with (
        server(behaviour) as url,
        at_most(8),
        pytest.raises(TooSlow, match=r"^\S+ gave no answer within 1\.5 s\.$"),
    ):
        fetch(url, 1.5)


@pytest.mark.parametrize("behaviour", ["without end", "chunks without end", "elsewhere"])
def test_an_answer_without_end_is_none(behaviour: str) -> None:
    with (
        server(behaviour) as url,
        at_most(20),
        pytest.raises(TooLarge, match=r"answered with more than 1 MB\.$"),
    ):
        fetch(url, 15, 1_000_000)


def test_whoever_handles_a_failed_question_handles_these() -> None:
    assert (
        issubclass(TooSlow, requests.Timeout)
        and issubclass(NoAnswer, requests.RequestException)
        and issubclass(NoAnswer, errors.CourseError)
    )
    with pytest.raises(requests.ConnectionError):
        fetch("http://127.0.0.1:9/", 2)


def test_a_detection_that_drips_or_floods_is_one_sentence() -> None:
    picture = next(iter((ROOT / "assets").rglob("*.jpg")))
    with (
        server("body by drips") as url,
        at_most(8),
        pytest.raises(api_client.DetectionFailed, match="did not answer within 1 seconds"),
    ):
        api_client.detect(url, picture, timeout=1)
    with (
        server("without end") as url,
        at_most(20),
        pytest.raises(api_client.DetectionFailed, match=r"^\S+ answered with more than 10 MB"),
    ):
        api_client.detect(url, picture, timeout=15)


@pytest.mark.parametrize("behaviour", ["body by drips", "without end"])
def test_load_gives_up_an_answer_that_does_not_end(behaviour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_generator, "MOST_BYTES", 1_000_000)
    with server(behaviour) as url, at_most(15):
        (sample,) = load_generator.run(url, load_generator.Request(), 1, 1, timeout=2).samples
    assert sample.status == 0 and sample.error == "TimeoutError"


def test_no_check_asks_a_learner_without_bounds() -> None:
    """`requests.get` reads whatever comes for as long as it comes, `exec_run` too."""
    asked = [
        *(ROOT / "dockerlab/course/grading").glob("*.py"),
        ROOT / "dockerlab/containers/container.py",
        ROOT / "dockerlab/detection/api_client.py",
        *(
            path
            for name in ("lab", "measures", "scoring", "application", "attack_surface")
            for path in (ROOT / "dockerlab/lessons").glob(f"*/{name}.py")
        ),
    ]
    assert len(asked) > 25
    found = [
        f"{path.name}: {line.strip()}"
        for path in asked
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(
            r"\brequests\.(get|post|put|head|request)\(|session\.(get|post|put)\(|\.exec_run\(", line
        )
    ]
    assert not found


# programs in containers


@pytest.fixture
def box(client: docker.DockerClient) -> Iterator[Any]:
    """A container in which `pip` never ends and `python3` writes without end."""
    base_images.ensure(base_images.SLIM, client)
    lies = {"pip": "sleep 600", "python3": "yes"}
    lying = "; ".join(
        f"rm -f {name}; printf '#!/bin/sh\\nexec {program}' >{name}; chmod +x {name}"
        for name, program in lies.items()
    )
    command = ["sh", "-c", f"cd /usr/local/bin; {lying}; touch /ready; exec sleep 600"]
    made = client.containers.run(
        base_images.SLIM, command, detach=True, labels=object_labels.labels(kind="test"), **judging.BOUNDS
    )
    try:
        assert polling.wait_until(lambda: container.execute(made, ["test", "-e", "/ready"])[0] == 0, 60, 0.1)
        yield made
    finally:
        container.remove(made)


@pytest.mark.engine
def test_a_program_inside_is_bounded_in_time_and_bytes(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = container.execute(box, ["sh", "-c", "echo one; echo two >&2; exit 3"])
    assert code == 3 and sorted(output.split()) == [b"one", b"two"]
    before = threading.active_count()
    with at_most(20), pytest.raises(container.NoEnd, match="`pip --version` did not end within 1 s"):
        container.execute(box, ["pip", "--version"], 1)
    with at_most(20), pytest.raises(container.NoEnd, match="`yes` wrote more than 1 MB"):
        container.execute(box, ["yes"], 60)
    assert polling.wait_until(lambda: threading.active_count() <= before, 5)
    monkeypatch.setattr(lab05, "TOOL_SECONDS", 1)
    with at_most(20):  # what never ends is there all the same
        assert lab05._runs(box, "pip") and not lab05._runs(box, "gcc")
        assert not _knocked(box)
        with pytest.raises(attack_surface.NoProbe, match="`python3 .*wrote more than 1 MB"):
            attack_surface.probe(box)


@pytest.mark.engine
def test_what_a_learners_program_started_is_bounded_where_it_sets_nothing(
    client: docker.DockerClient, tiny_image: str
) -> None:
    def host(**options: Any) -> dict[str, Any]:
        made = client.containers.run(
            tiny_image, ["sleep", "60"], detach=True, labels=object_labels.labels(kind="test"), **options
        )
        try:
            judging.bound(made)
            made.reload()
            assert made.status == "running"
            return made.attrs["HostConfig"]
        finally:
            container.remove(made)

    open_, own = host(), host(mem_limit="64m", pids_limit=20)
    assert (open_["PidsLimit"], open_["Memory"], open_["MemorySwap"]) == (512, judging.MEMORY, judging.MEMORY)
    assert (own["PidsLimit"], own["Memory"]) == (20, 64 << 20)


# stacks


def test_a_bound_of_the_check_is_nobodys_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_says = {"HostConfig": {"Memory": 256 << 20, "NanoCpus": 10**9}}
    config = {"services": {name: {"mem_limit": "268435456"} for name in lab08.SERVICES} | {"cache": {}}}
    project = SimpleNamespace(containers=dict.fromkeys(lab08.SERVICES, engine_says), config=config)
    monkeypatch.setattr(lab08, "_up", lambda _: project)
    assert lab08._limits(None) == Outcome(False, "cache has no memory limit")
    config["services"]["cache"] = {"deploy": {"resources": {"limits": {"memory": "1"}}}}
    assert lab08._limits(None).ok


@pytest.mark.skipif(not shutil.which("docker"), reason="`docker stack config` needs the docker command")
@pytest.mark.parametrize(("version", "pids"), [("", 512), ("version: '3.8'\n", None)])
def test_a_service_of_a_swarm_is_bounded_where_it_says_nothing(
    version: str, pids: int | None, tmp_path: Path
) -> None:
    file, more = tmp_path / "stack.yaml", tmp_path / "bounds.json"
    own = "{image: x, logging: {driver: none}, deploy: {resources: {limits: {memory: 64M}}}}"
    file.write_text(f"{version}services:\n  open: {{image: x, deploy: {{replicas: 2}}}}\n  own: {own}\n")
    more.write_text(json.dumps(measures.bounded(yaml.safe_load(rollout.config(file)))))
    merged = subprocess.run(
        ["docker", "stack", "config", "-c", file, "-c", more], capture_output=True, text=True, check=True
    ).stdout
    found = yaml.safe_load(merged)["services"]
    limits = {name: service["deploy"]["resources"]["limits"] for name, service in found.items()}
    assert (
        limits["open"].get("pids") == pids
        and limits["open"]["memory"] == str(1 << 30)
        and limits["own"]["memory"] == str(64 << 20)
    )
    assert found["open"]["logging"]["options"]["max-size"] == "10m" and found["own"]["logging"] == {
        "driver": "none"
    }
    assert found["open"]["deploy"]["replicas"] == 2


# the check as a whole


def _waits(submission: Submission) -> Outcome:
    with submission.running(
        "app", submission.state["image"], command=["sleep", "600"], ready=None, port=0
    ) as service:
        service.container.wait(timeout=300)
    return Outcome(False, "it ended")


@pytest.mark.engine
@pytest.mark.parametrize("prepared", [True, False])
def test_a_check_ends_as_a_whole_and_says_what_it_did_not_judge(
    prepared: bool, client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    seen: dict[str, str] = {}

    def prepare(submission: Submission) -> None:
        submission.state["image"], seen["id"] = tiny_image, submission.id
        if not prepared:
            _waits(submission)

    def criterion(key: str, measure: Callable[[Submission], Outcome]) -> Criterion:
        return Criterion(key, f"The {key} holds", "why", "hint", "more", "wanted", measure)

    lab = Lab(
        "05",
        "shrink",
        (
            criterion("first", lambda _: Outcome(True, "fine")),
            criterion("second", _waits),
            criterion("third", _waits),
        ),
        prepare,
    )
    with at_most(60):
        report = judging.judge(lab, tmp_path, client, seconds=4)
    left = "2, 3" if prepared else "1, 2, 3"
    assert report.problem == f"The check was ended after 4 s; what it had not judged by then: {left}."
    assert [each.status for each in report.results] == [
        Status.PASSED if prepared else Status.NOT_CHECKED,
        Status.NOT_CHECKED,
        Status.NOT_CHECKED,
    ]
    assert not report.passed and not client.containers.list(
        all=True, filters={"label": f"dockerlab.check={seen['id']}"}
    )


@pytest.mark.engine
def test_a_build_is_ended_with_the_time_of_the_check(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN sleep 600 # {uuid.uuid4().hex}\n")
    lab = Lab(
        "05",
        "shrink",
        (
            Criterion(
                "builds",
                "It builds",
                "why",
                "hint",
                "more",
                "wanted",
                lambda each: Outcome(bool(each.build("app")), ""),
            ),
        ),
    )
    with at_most(60):
        report = judging.judge(lab, tmp_path, client, seconds=4)
    assert report.results[0].status is Status.NOT_CHECKED and "4 s" in report.problem


# what other programs write


def test_an_error_moves_no_cursor() -> None:
    error = errors.CourseError(
        "It ended.", "Its last lines: \x1b[2J\x1b]0;title\x07one\r\ntwo \x1b[31mred\x1b[0m", "Look."
    )
    shown = "\n".join([str(error), *error._render_traceback_()])
    assert not set(shown) & set("\x1b\x07\r") and "one\ntwo red" in shown
    assert "s3cret" not in str(errors.CourseError("http://mira:s3\x1b[0mcret@host/"))
