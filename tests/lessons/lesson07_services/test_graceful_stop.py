"""What becomes of a request when its server is stopped, of orphans without an init, and of what a container logs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from dockerlab.containers.container import remove
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.lessons.lesson07_services.graceful_stop import stop_while_busy, zombies
from dockerlab.lessons.lesson07_services.log_files import log_files

pytestmark = pytest.mark.engine
SERVER = """
import http.server, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(1.5 if self.path == "/slow" else 0)
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
"""
ORPHANS = (
    "import subprocess, time; [subprocess.run(['sh', '-c', 'sleep 0.1 &']) for _ in range(3)]; time.sleep(60)"
)


class Started:
    """Containers for one test, removed at its end."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client, self.made = client, []

    def __call__(self, command: list[str], image: str = base_images.SLIM, **options: object) -> Container:
        made = self.client.containers.run(
            image,
            command,
            name=f"dockerlab-stopping-{uuid.uuid4().hex[:8]}",
            detach=True,
            labels=object_labels.labels(kind="test"),
            **options,
        )
        self.made.append(made)
        return made


@pytest.fixture
def started(client: docker.DockerClient) -> Iterator[Started]:
    base_images.ensure(base_images.SLIM, client)
    boxes = Started(client)
    yield boxes
    for made in boxes.made:
        remove(made)


def test_a_server_that_ends_at_once_loses_the_request_and_a_deaf_one_is_killed(started: Started) -> None:
    server, ports = ["python", "-c", SERVER], {"8000/tcp": ("127.0.0.1", None)}
    stops = stop_while_busy(
        {"deaf": started(server, ports=ports), "init": started(server, ports=ports, init=True)},
        "/slow",
        patience=3,
    )
    assert stops.loc["init", "request"] == "lost" and stops.loc["init", "exit code"] == 143
    assert stops.loc["deaf", "exit code"] == 137 and stops.loc["deaf", "seconds"] >= 3
    assert stops.loc["init", "seconds"] < stops.loc["deaf", "seconds"]


def test_an_init_takes_note_of_orphans(started: Started) -> None:
    command = ["python", "-c", ORPHANS]
    assert zombies({"bare": started(command), "init": started(command, init=True)}, wanted=3) == {
        "bare": 3,
        "init": 0,
    }


def test_rotated_log_files_are_counted(started: Started, client: docker.DockerClient) -> None:
    options = {"type": "json-file", "config": {"max-size": "20k", "max-file": "2"}}
    noisy = started(["seq", "1", "2000"], image=base_images.DEBIAN, log_config=options)
    noisy.wait(timeout=30)
    files = log_files(noisy, client)
    assert len(files) == 2 and all(str(noisy.id) not in name for name in files)
    assert 0 < sum(files.values()) < 42_000
