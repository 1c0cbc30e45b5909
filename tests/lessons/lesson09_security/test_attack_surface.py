"""The attempts of an intruder: read, compared and drawn without an engine; made for real on one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import docker
import pytest
from docker.models.containers import Container
from matplotlib.colors import to_hex

from dockerlab.containers import container, inspection
from dockerlab.engine import connection, object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson09_security import attack_surface
from dockerlab.lessons.lesson09_security.charts import attack_grid
from dockerlab.notebook.charts.style import PALETTE

SLEEP = ["python", "-c", "import time; time.sleep(120)"]
LOCKED = {
    "user": "10001",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "tmpfs": {"/tmp": "size=64m"},
    "pids_limit": 64,
}


def _card(*open_keys: str) -> attack_surface.Scorecard:
    return attack_surface.read({key: [key in open_keys, f"saw {key}"] for key in attack_surface.ATTEMPTS})


def test_a_scorecard_counts_what_worked_in_its_own_order() -> None:
    card = _card("shell", "kernel")
    assert card.open == ["kernel", "shell"] and card.worked("shell") and not card.worked("raw")
    assert card.seen("raw") == "saw raw"
    assert list(card.frame()["works"]).count("yes") == 2
    assert repr(card) == f"Scorecard(2 of {len(attack_surface.ATTEMPTS)} attempts worked)"


def test_the_grid_says_what_works_without_colour_and_counts_below() -> None:
    frame = attack_surface.compared({"weak": _card("shell", "kernel"), "strong": _card("memory")})
    figure = attack_grid(frame)
    axes = figure.axes[0]
    words = [text.get_text() for text in axes.texts]
    assert words.count("can") == 3 and words[-2:] == ["2", "1"]
    assert [to_hex(patch.get_facecolor()) for patch in axes.patches].count(PALETTE["bad"]) == 3
    assert figure.get_suptitle().startswith("From 2 of 13 attempts that work to 1")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["weak", "strong"]


def test_the_probe_knows_every_attempt() -> None:
    names = {}
    exec(compile(attack_surface.PROBE.read_text(), "probe", "exec"), {"__name__": "probe"}, names)  # noqa: S102
    assert set(names["ATTEMPTS"]) == set(attack_surface.ATTEMPTS)


@pytest.mark.parametrize(
    ("options", "opened", "closed"),
    [
        (
            {},
            {"root", "code", "install", "shell", "setuid", "chown", "raw", "processes", "memory"},
            {"kernel", "host", "engine", "secrets"},
        ),
        (
            {"user": "10001", "environment": {"API_TOKEN": "x"}},
            {"secrets", "setuid", "install"},
            {"root", "code", "chown", "raw"},
        ),
        ({"security_opt": ["seccomp=unconfined"]}, {"kernel"}, {"host"}),
        (LOCKED, {"shell", "memory"}, set(attack_surface.ATTEMPTS) - {"shell", "memory"}),
    ],
    ids=["plain", "user", "no filter", "locked"],
)
def test_attempts_work_or_not_as_the_run_line_has_it(
    client: docker.DockerClient, options: dict, opened: set, closed: set
) -> None:
    base_images.ensure(base_images.SLIM, client)
    card = attack_surface.tried(base_images.SLIM, client, command=SLEEP, **options)
    assert opened <= set(card.open) and closed.isdisjoint(card.open), card.frame().to_string()


def test_an_image_without_python_is_said_so(client: docker.DockerClient) -> None:
    base_images.ensure(base_images.DEBIAN, client)
    with pytest.raises(attack_surface.NoProbe):
        attack_surface.tried(base_images.DEBIAN, client, command=["sleep", "30"])


@pytest.fixture
def liar(client: docker.DockerClient, tiny_image: str) -> Iterator[Callable[..., Container]]:
    """Starts a container in whose image `python3` answers every attempt with a refusal, and `cat` and `id` name a user without rights."""
    answers = {
        "python3": json.dumps({key: [False, "refused"] for key in attack_surface.ATTEMPTS}),
        "id": "65532",
        "cat": "Uid:\t65532\t65532\t65532\t65532",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, answer in answers.items():
            script, entry = f"#!/bin/sh\necho '{answer}'\n".encode(), tarfile.TarInfo(name)
            entry.size, entry.mode = len(script), 0o755
            tar.addfile(entry, io.BytesIO(script))
    with ExitStack() as stack:

        def start(**options: object) -> Container:
            box = client.containers.create(
                tiny_image, ["sleep", "120"], labels=object_labels.labels(kind="test"), **options
            )
            stack.callback(container.remove, box)
            box.put_archive("/bin", buffer.getvalue())
            box.start()
            return box

        yield start


@pytest.mark.engine
def test_an_interpreter_that_lies_is_not_believed(
    client: docker.DockerClient, liar: Callable[..., Container]
) -> None:
    base_images.ensure(base_images.SLIM, client)
    box = liar(privileged=True, volumes={connection.engine_socket(): {"bind": "/innocent", "mode": "ro"}})
    assert attack_surface.probe(box).open == []
    card = attack_surface.judged(box, client)
    assert {
        "kernel",
        "host",
        "engine",
        "root",
        "chown",
        "raw",
        "code",
        "install",
        "processes",
        "shell",
    } <= set(card.open), card.frame().to_string()


@pytest.mark.engine
def test_who_runs_in_a_container_is_not_asked_inside(
    client: docker.DockerClient, liar: Callable[..., Container]
) -> None:
    base_images.ensure(base_images.SLIM, client)
    root, nobody = (
        inspection.look(client, liar(**options)) for options in ({}, {"user": "10001", "cap_drop": ["ALL"]})
    )
    assert root.users == {0} and "CHOWN" in root.first.capabilities and root.first.name == "sleep"
    assert nobody.users == {10001} and nobody.first.capabilities == ()
