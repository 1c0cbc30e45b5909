"""A swarm is borrowed: begun where none is, bound to this machine, left as it was found; a foreign one is not touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from IPython.core.interactiveshell import InteractiveShell

from dockerlab.containers import swarm
from dockerlab.core import polling
from dockerlab.course import cleanup, doctor
from dockerlab.engine import object_labels, process_marks
from tests.support.daemons import Daemon, second_daemon

DEAD = f"{process_marks.mark().rsplit('-', 2)[0]}-99999999-1"
OURS = {
    "LocalNodeState": "active",
    "ControlAvailable": True,
    "Nodes": 1,
    "Cluster": {"Spec": {"Labels": {"dockerlab.course": "1"}}},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "ours"),
        ({"LocalNodeState": "inactive"}, "none"),
        ({"LocalNodeState": ""}, "none"),
        ({"LocalNodeState": "locked", "ControlAvailable": False}, "foreign"),
        ({"Nodes": 2}, "foreign"),
        ({"ControlAvailable": False}, "foreign"),
        ({"Cluster": {"Spec": {"Labels": {}}}}, "foreign"),
        ({"Cluster": None}, "foreign"),
    ],
)
def test_what_an_engine_says_about_its_swarm(changes: dict[str, Any], expected: str) -> None:
    assert swarm.state({"Swarm": OURS | changes}) == expected


LOCK = {"CreatedAt": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("begun", "address", "lock", "expected"),
    [
        ("2026-01-02T03:04:05.123456789Z", "127.0.0.1", LOCK, "ours"),
        ("2026-01-02T03:05:00Z", "127.0.0.1", LOCK, "ours"),
        ("2026-01-02T03:04:04.999999999Z", "127.0.0.1", LOCK, "foreign"),  # it was there before the lock
        ("2026-01-02T05:04:05.1+02:00", "127.0.0.1", LOCK, "ours"),
        ("2026-01-02T03:05:00Z", "192.0.2.1", LOCK, "foreign"),
        ("2026-01-02T03:05:00Z", "127.0.0.1", None, "foreign"),
    ],
)
def test_one_that_was_not_claimed_yet_is_known_by_the_lock(
    begun: str, address: str, lock: dict[str, str] | None, expected: str
) -> None:
    unclaimed = OURS | {"NodeAddr": address, "Cluster": {"CreatedAt": begun, "Spec": {"Labels": {}}}}
    assert swarm.state({"Swarm": unclaimed}, lock) == expected


def test_an_engine_that_says_nothing_has_none() -> None:
    assert swarm.state({}) == "none"


def test_cells_of_the_swarm_are_skipped_and_others_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    swarm.skip_cells(shell, "It's somebody's")
    shell.run_cell("# on the swarm\nfirst = 1")
    shell.run_cell("second = 2")
    assert "first" not in shell.user_ns and shell.user_ns["second"] == 2
    assert capsys.readouterr().out == "Skipped. It's somebody's.\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with second_daemon(tmp_path_factory.mktemp("swarm"), containerd=False) as each:
        yield each


@pytest.fixture
def tiny(daemon: Daemon, tiny_image: str, client: docker.DockerClient) -> str:
    """The tiny image, on the second engine, from which a clean-up takes it: it is the course's."""
    daemon.take(tiny_image, client)
    return tiny_image


@pytest.fixture
def there(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.DockerClient]:
    monkeypatch.setattr(
        swarm.OneNode.borrow, "__defaults__", (20,)
    )  # a test that fails with the lock does not hold up the next one for minutes
    yield daemon.client
    if swarm.state(daemon.client.info()) != "none":
        daemon.client.swarm.leave(force=True)
    left = daemon.client.volumes.list()
    for volume in left:
        volume.remove()
    assert left == [], "the lock is given back"


def killed(daemon: Daemon, code: str) -> None:
    """Run this in a process of its own, with `client` and `node`, and kill it when it has printed `ready`."""
    code = f"""
import sys
from dockerlab.containers import container, swarm
from dockerlab.course import cleanup
from dockerlab.engine import connection, process_marks
client = connection.connect()
node = swarm.OneNode(client)
{code}
print("ready", flush=True)
sys.stdin.read()
"""
    env = {**os.environ, "DOCKER_HOST": daemon.url}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate(timeout=60)


def service(there: docker.DockerClient, image: str, name: str) -> None:
    there.services.create(image, ["sleep", "300"], name=name)
    assert polling.wait_until(
        lambda: there.containers.list(filters={"label": f"com.docker.swarm.service.name={name}"}), 60, 0.1
    )


def networks(there: docker.DockerClient) -> set[str]:
    return {network.name for network in there.networks.list()}


def listeners(daemon: Daemon) -> dict[str, str]:
    """Protocol and port -> the addresses, in hexadecimal digits, at which something in the engine's network namespace waits."""
    found: dict[str, set[str]] = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{daemon.process.pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state in ("0A", "07"):  # a server's, or one for datagrams without a partner
                found.setdefault(f"{table} {int(port, 16)}", set()).add(address)
    return {port: " ".join(sorted(addresses)) for port, addresses in found.items()}


@pytest.mark.engine
def test_it_begins_on_this_machine_only_and_is_gone_afterwards(
    there: docker.DockerClient, daemon: Daemon, tiny: str
) -> None:
    """But for UDP port 4789, which lesson and lab 11 speak of: it is open to all while a container is in an overlay network."""
    before, here, everywhere = networks(there), "0100007F", "00000000"
    expected = {"tcp 2377": here, "tcp 7946": here, "udp 7946": here, "udp 4789": everywhere}
    with swarm.one_node(there) as node:
        info = there.info()["Swarm"]
        assert node.usable and swarm.state(there.info()) == "ours"
        assert (
            info["NodeAddr"] == "127.0.0.1"
            and info["Cluster"]["Spec"]["Labels"][object_labels.OWNER_LABEL] == object_labels.owner()
        )
        overlay = there.networks.create("dockerlab-x", driver="overlay", attachable=True)
        box = there.containers.run(tiny, "sleep 60", detach=True, network=overlay.name)
        assert polling.wait_until(lambda: listeners(daemon) == expected, 10, 0.1), listeners(daemon)
        box.remove(force=True)
        overlay.remove()
    assert swarm.state(there.info()) == "none" and networks(there) == before
    assert polling.wait_until(lambda: not listeners(daemon), 10, 0.1), listeners(daemon)


@pytest.mark.engine
def test_an_error_inside_leaves_it_too(there: docker.DockerClient) -> None:
    with pytest.raises(ZeroDivisionError), swarm.one_node(there):
        raise ZeroDivisionError
    assert swarm.state(there.info()) == "none"


@pytest.mark.engine
def test_one_that_a_killed_run_left_is_taken_down_first(there: docker.DockerClient) -> None:
    before = networks(there)
    there.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN, labels=object_labels.labels())
    with swarm.one_node(there) as node:
        assert node.usable
    assert swarm.state(there.info()) == "none" and networks(there) == before


@pytest.mark.engine
def test_a_clean_up_leaves_it_unless_somebody_uses_it_or_it_is_anothers(
    there: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not swarm.sweep(there)
    with swarm.one_node(there):
        assert not swarm.sweep(there)
        with monkeypatch.context() as other:
            other.setattr(process_marks, "mark", lambda: "elsewhere-1-1")  # what another process asks
            assert not swarm.leave(there)
        cleanup.clean(there)
        assert swarm.state(there.info()) == "ours" and swarm.in_use(there)
    dead = object_labels.labels() | {object_labels.PROCESS_LABEL: DEAD}
    there.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN, labels=dead)
    with monkeypatch.context() as other:
        other.setenv("DOCKERLAB_OWNER", "somebody-else")
        assert not swarm.sweep(there)
        other.setenv("DOCKERLAB_OWNER", object_labels.owner())
        other.setenv("DOCKERLAB_WORKER", "gw9")
        assert not swarm.sweep(there)
    assert swarm.left_behind(there) and swarm.sweep(there) and swarm.state(there.info()) == "none"


@pytest.mark.engine
def test_a_swarm_begun_on_the_command_line_can_be_claimed(there: docker.DockerClient) -> None:
    node = swarm.OneNode(there).borrow()
    there.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN)
    assert swarm.state(there.info()) == "foreign"  # it says nothing itself; the lock does
    node.claim()
    assert swarm.state(there.info()) == "ours"
    assert node.give_back() == "none" and not node.usable


@pytest.mark.engine
def test_a_foreign_swarm_is_not_touched(there: docker.DockerClient) -> None:
    there.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN)
    before = there.info()["Swarm"]["Cluster"]["ID"]
    with pytest.raises(swarm.SwarmTaken, match="not touched"), swarm.one_node(there):
        pass
    node = swarm.OneNode(there).borrow()
    assert not node.usable and node.give_back() == "foreign"
    assert there.info()["Swarm"]["Cluster"]["ID"] == before


@pytest.mark.engine
@pytest.mark.parametrize(
    "plain",
    [{object_labels.COURSE_LABEL: ""}, {object_labels.KIND_LABEL: "base"}],
    ids=["no label", "inherited from a base"],
)
def test_none_is_begun_where_somebodys_containers_have_neighbours(
    there: docker.DockerClient, tiny: str, plain: dict[str, str]
) -> None:
    network = there.networks.create("somebodys")
    first, second = (
        there.containers.run(tiny, "sleep 60", detach=True, network="somebodys", name=name, labels=plain)
        for name in ("web", "store")
    )
    try:
        node = swarm.OneNode(there).borrow()
        assert not node.usable and "store, web in your network somebodys" in node.why
        with pytest.raises(swarm.SwarmTaken, match="Stop those containers"), swarm.one_node(there):
            pass
        assert swarm.state(there.info()) == "none"
        second.remove(force=True)
        assert swarm.refusal(there) == ""  # alone, it has no neighbour to lose
    finally:
        for each in (first, second):
            with suppress(NotFound):
                each.remove(force=True)
        network.remove()


@pytest.mark.engine
def test_there_is_one_borrower_at_a_time(there: docker.DockerClient) -> None:
    first = swarm.OneNode(there).borrow()
    with pytest.raises(swarm.SwarmTaken, match="Another lesson"):
        swarm.OneNode(there).borrow(seconds=0.3)
    first.give_back()
    assert swarm.OneNode(there).borrow(seconds=0.3).give_back() == "none"


@pytest.mark.engine
@pytest.mark.parametrize(
    "tidy",
    [cleanup.sweep, cleanup.clean, lambda client: swarm.OneNode(client).borrow().give_back()],
    ids=["sweep", "clean", "borrow"],
)
def test_one_of_a_process_that_was_killed_between_its_begin_and_the_claim_is_left(
    there, daemon, tidy
) -> None:
    before = networks(there)
    killed(daemon, 'node.borrow(); client.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN)')
    assert swarm.left_behind(there) and "a swarm and its services" in doctor._leftovers(there)[0].found
    tidy(there)
    assert swarm.state(there.info()) == "none" and networks(there) == before


@pytest.mark.engine
def test_a_killed_process_leaves_no_service_that_goes_on_for_ever(there, daemon, tiny) -> None:
    killed(
        daemon,
        f'node.borrow(); node.begin(); client.services.create("{tiny}", ["false"], name="dockerlab-spins")',
    )
    assert polling.wait_until(lambda: there.containers.list(all=True, filters={"label": swarm.TASK}), 60, 0.1)
    cleanup.sweep(there)
    assert swarm.state(there.info()) == "none" and there.containers.list(all=True, ignore_removed=True) == []


@pytest.mark.engine
def test_containers_of_somebody_elses_tasks_stay(there, tiny) -> None:
    task = there.containers.create(
        tiny,
        "true",
        labels={swarm.TASK: "", "com.docker.swarm.service.name": "web", "com.docker.swarm.node.id": "x"},
    )
    try:
        swarm.OneNode(there).borrow().give_back()
        with swarm.one_node(there):
            service(there, tiny, "dockerlab-x")
        assert [each.id for each in there.containers.list(all=True, ignore_removed=True)] == [task.id]
    finally:
        task.remove()


@pytest.mark.engine
def test_a_swarm_in_which_somebody_elses_service_runs_is_kept(there, tiny) -> None:
    node = swarm.OneNode(there).borrow()
    node.begin()
    service(there, tiny, "acme-web")
    service(there, tiny, "dockerlab-x")
    assert node.give_back() == "ours" and [each.name for each in there.services.list()] == ["acme-web"]
    again = swarm.OneNode(there).borrow()
    assert not again.usable and "acme-web" in again.why
    there.services.get("acme-web").remove()
    assert polling.wait_until(lambda: not there.containers.list(all=True, ignore_removed=True), 60, 0.1)


@pytest.mark.engine
def test_the_second_learner_is_told_who_uses_it_in_one_sentence(there, monkeypatch) -> None:
    node = swarm.OneNode(there).borrow()
    node.begin()
    with monkeypatch.context() as bob:
        bob.setenv("DOCKERLAB_OWNER", "bob")
        second = swarm.OneNode(there).borrow()
        assert not second.usable and f"in use by {node_owner(there)}," in second.why and "." not in second.why
        assert not swarm.leave(there)
        cleanup.clean(there)
        with pytest.raises(swarm.SwarmTaken, match="in use by"), swarm.one_node(there):
            pass
    assert swarm.state(there.info()) == "ours" and node.give_back() == "none"


def node_owner(there: docker.DockerClient) -> str:
    return there.info()["Swarm"]["Cluster"]["Spec"]["Labels"][object_labels.OWNER_LABEL]


@pytest.mark.engine
def test_a_port_that_is_taken_is_said(there, daemon) -> None:
    taker = "import socket, sys; taken = socket.create_server(('127.0.0.1', 2377)); print('taken', flush=True); sys.stdin.read()"
    namespace = f"--net=/proc/{daemon.process.pid}/ns/net"
    with subprocess.Popen(
        ["nsenter", namespace, sys.executable, "-c", taker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdout.readline() == "taken\n"
        with pytest.raises(swarm.SwarmTaken, match="Another program listens"), swarm.one_node(there):
            pass
        node = swarm.OneNode(there).borrow()
        with pytest.raises(swarm.SwarmTaken, match="Another program listens"):
            node.claim(
                [
                    "Error response from daemon: manager stopped: listen tcp 127.0.0.1:2377: bind: address already in use"
                ]
            )
        node.give_back()
        process.kill()


@pytest.mark.engine
def test_a_volume_of_somebody_else_under_the_locks_name_is_left_alone(there) -> None:
    volume = there.volumes.create(swarm.LOCK)
    node = swarm.OneNode(there).borrow()
    assert not node.usable and swarm.LOCK in node.why
    node.give_back()
    volume.remove()
