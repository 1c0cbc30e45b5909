"""States are watched as they are, and drawn as they were watched."""

from __future__ import annotations

import uuid

import docker
import pytest

from dockerlab.containers import container
from dockerlab.containers.container import ContainerFailed
from dockerlab.engine import object_labels
from dockerlab.lessons.lesson02_images_and_containers.charts import life_cycle
from dockerlab.lessons.lesson02_images_and_containers.lifecycle import NONE, Move, Watch, compare, health

HEALTHY = ["sh", "-c", 'mkdir -p /www && echo \'{"status": "ok"}\' > /www/health && httpd -f -p 8000 -h /www']
MOVES = [
    Move("create", NONE, "created"),
    Move("start", "created", "running"),
    Move("restart", "running", "running"),
    Move("stop", "running", "exited", 0),
    Move("start", "exited", "running"),
    Move("kill", "running", "exited", 137),
    Move("rm", "exited", NONE),
    Move("run", NONE, "running"),
]


@pytest.fixture
def name() -> str:
    return f"dockerlab-{uuid.uuid4().hex[:10]}"


@pytest.mark.engine
def test_a_life_is_noted_command_by_command(client: docker.DockerClient, tiny_image: str, name: str) -> None:
    watch = Watch(name, client)
    made = client.containers.create(
        tiny_image, ["sleep", "60"], name=name, labels=object_labels.labels(kind="test")
    )
    try:
        watch.after("create")
        made.start()
        watch.after("start")
        made.kill()
        watch.after("kill")
    finally:
        container.remove(made)
    watch.after("rm")
    assert [(move.before, move.after, move.exit_code) for move in watch.moves] == [
        (NONE, "created", None), ("created", "running", None), ("running", "exited", 137), ("exited", NONE, None),
    ]  # fmt: skip


@pytest.mark.engine
def test_a_start_counts_when_the_program_says_so(
    client: docker.DockerClient, tiny_image: str, name: str
) -> None:
    watch = Watch(name, client, says="ready")
    made = client.containers.create(
        tiny_image,
        ["sh", "-c", "sleep 0.5; echo ready; sleep 60"],
        name=name,
        labels=object_labels.labels(kind="test"),
    )
    try:
        for starts, command in enumerate(("start", "restart"), start=1):
            getattr(made, command)(**({"timeout": 0} if command == "restart" else {}))
            watch.after(command)
            assert made.logs().decode().split().count("ready") == starts
    finally:
        container.remove(made)


def test_two_lives_are_compared_with_their_exit_codes() -> None:
    one, two = (
        Watch("a", None, list(MOVES)),
        Watch("b", None, [*MOVES[:3], Move("stop", "running", "exited", 143), *MOVES[4:]]),
    )
    assert compare(one, one)["same"].all()
    frame = compare(one, two)
    assert list(frame["same"]) == [True, True, True, False, True, True, True, True]
    assert frame.loc["stop", "after, docker-py"] == "exited (143)"


@pytest.mark.engine
def test_health_waits_and_names_who_stays_silent(
    client: docker.DockerClient, tiny_image: str, name: str
) -> None:
    with container.running(tiny_image, command=HEALTHY, client=client, name=name, ready=None):
        assert health(name, client) == {"status": "ok"}
    with (
        container.running(
            tiny_image, command=["sh", "-c", "echo no model; sleep 60"], client=client, name=name, ready=None
        ),
        pytest.raises(ContainerFailed, match="no model"),
    ):
        health(name, client, timeout=1)


def test_the_picture_has_every_state_and_command_and_its_title_is_the_finding() -> None:
    axes = life_cycle(MOVES).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert {NONE, "created", "running", "exited"} <= set(texts)
    assert "paused" not in texts
    assert "stop\nkill" in texts and "restart" in texts and "run" in texts
    assert axes.get_title(loc="left") == "Only rm makes a container go away; after stop it is still there"


def test_without_an_end_the_title_claims_nothing_about_it() -> None:
    assert life_cycle(MOVES[:2]).axes[0].get_title(loc="left") == "2 ways to move a container"


def test_every_label_lies_inside_the_picture() -> None:
    fig = life_cycle(
        [
            *MOVES,
            Move("pause", "running", "paused"),
            Move("unpause", "paused", "running"),
            Move("its process ends", "running", "exited", 0),
        ]
    )
    fig.canvas.draw()
    frame = fig.bbox
    for text in fig.axes[0].texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
