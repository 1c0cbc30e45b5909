"""What a killed process left on the engine goes with the next connection; what a living one, or anybody else, made stays."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import docker
import pytest

from dockerlab import clean, engine, engine_process

MAKE = """
import os, sys
from dockerlab import engine
client, name = engine.connect(), sys.argv[1]
client.containers.run(sys.argv[2], "sleep 300", detach=True, labels=engine.labels(), name=f"dockerlab-{name}")
client.containers.create(sys.argv[2], "true", labels=engine.labels(process=""), name=f"dockerlab-{name}-stays")
client.networks.create(f"dockerlab-{name}", labels=engine.labels())
client.volumes.create(f"dockerlab-{name}", labels=engine.labels())
print("made", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A learner and a name of our own."""
    name = uuid.uuid4().hex[:10]
    monkeypatch.setenv("DOCKERLAB_OWNER", f"p{name}")
    return name


@pytest.fixture
def left(client: docker.DockerClient, tiny_image: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """A process that made one thing of each kind and waits."""
    process = subprocess.Popen([sys.executable, "-c", MAKE, name, tiny_image], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "made\n"
    yield process
    process.kill()
    process.communicate(timeout=120)
    for container in client.containers.list(all=True, filters={"name": name}):
        container.remove(force=True)
    for volume in client.volumes.list(filters={"name": name}):
        volume.remove()
    for network in client.networks.list(filters={"name": name}):
        network.remove()


def there(client: docker.DockerClient, name: str) -> set[tuple[str, str]]:
    """Kind and name of what bears this name."""
    kinds = {"container": client.containers, "network": client.networks, "volume": client.volumes}
    options = {"container": {"all": True}}
    return {(kind, thing.name) for kind, them in kinds.items() for thing in them.list(filters={"name": name}, **options.get(kind, {}))}


@pytest.mark.engine
def test_a_killed_process_is_cleaned_up_after_and_a_living_one_is_not(client, left, name, monkeypatch) -> None:
    everything = there(client, name)
    assert len(everything) == 4
    engine.connect().close()
    assert there(client, name) == everything
    left.kill()  # it stays a zombie until its parent asks for it, which is how a killed kernel looks at first
    with monkeypatch.context() as other:
        other.setenv("DOCKERLAB_OWNER", "somebody-else")
        engine.connect().close()
    assert there(client, name) == everything
    engine.connect().close()
    assert there(client, name) == {("container", f"dockerlab-{name}-stays")}


def test_a_process_is_known_by_more_than_its_number() -> None:
    mark = engine_process.mark()
    place, pid, start = mark.rsplit("-", 2)
    assert pid == str(os.getpid()) and engine_process.alive(mark)
    assert not engine_process.alive(f"{place}-{pid}-{int(start) - 1}")
    assert not engine_process.alive(f"{place}-99999999-{start}")
    # Another machine's or another container's processes cannot be seen from here.
    assert engine_process.alive(f"elsewhere.1-99999999-{start}")
    assert all(engine_process.alive(text) for text in ("", "-", "no mark"))


def test_what_lasts_names_no_process() -> None:
    assert all(engine_process.LABEL not in engine.labels(kind=kind) for kind in engine.LASTING_KINDS)
    assert engine.labels(kind="container")[engine_process.LABEL] == engine.labels()[engine_process.LABEL] == engine_process.mark()
    assert engine.labels(process="")[engine_process.LABEL] == ""


def test_a_nameless_container_of_a_lesson_on_a_base_is_ours(name) -> None:
    inherited = engine.labels(kind="base")
    assert clean.is_ours(inherited | engine.labels(), ["sharp_kapitsa"], engine.owner())
    assert not clean.is_ours(inherited, ["sharp_kapitsa"], engine.owner())
