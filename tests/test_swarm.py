"""A swarm is borrowed: begun where none is, bound to this machine, left as it was found; a foreign one is not touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from daemons import Daemon, second_daemon
from docker.errors import NotFound
from IPython.core.interactiveshell import InteractiveShell

from dockerlab import engine, swarm

OURS = {"LocalNodeState": "active", "ControlAvailable": True, "Nodes": 1, "Cluster": {"Spec": {"Labels": {"dockerlab.course": "1"}}}}


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, "ours"), ({"LocalNodeState": "inactive"}, "none"), ({"LocalNodeState": ""}, "none"),
    ({"LocalNodeState": "locked", "ControlAvailable": False}, "foreign"),
    ({"Nodes": 2}, "foreign"), ({"ControlAvailable": False}, "foreign"), ({"Cluster": {"Spec": {"Labels": {}}}}, "foreign"), ({"Cluster": None}, "foreign"),
])
def test_what_an_engine_says_about_its_swarm(changes: dict[str, Any], expected: str) -> None:
    assert swarm.state({"Swarm": OURS | changes}) == expected


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


@pytest.fixture(scope="module")
def tiny(daemon: Daemon, tiny_image: str, client: docker.DockerClient) -> str:
    """The tiny image, on the second engine."""
    daemon.take(tiny_image, client)
    return tiny_image


@pytest.fixture
def there(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[docker.DockerClient]:
    monkeypatch.setattr(swarm, "LOCK", tmp_path / "lock")
    yield daemon.client
    if swarm.state(daemon.client.info()) != "none":
        daemon.client.swarm.leave(force=True)


def networks(there: docker.DockerClient) -> set[str]:
    return {network.name for network in there.networks.list()}


@pytest.mark.engine
def test_it_begins_on_this_machine_only_and_is_gone_afterwards(there: docker.DockerClient) -> None:
    before = networks(there)
    with swarm.one_node(there) as node:
        info = there.info()["Swarm"]
        assert node.usable and swarm.state(there.info()) == "ours"
        assert info["NodeAddr"] == "127.0.0.1" and info["Cluster"]["Spec"]["Labels"][engine.OWNER_LABEL] == engine.owner()
    assert swarm.state(there.info()) == "none" and networks(there) == before


@pytest.mark.engine
def test_an_error_inside_leaves_it_too(there: docker.DockerClient) -> None:
    with pytest.raises(ZeroDivisionError), swarm.one_node(there):
        raise ZeroDivisionError
    assert swarm.state(there.info()) == "none"


@pytest.mark.engine
def test_one_that_a_killed_run_left_is_taken_down_first(there: docker.DockerClient) -> None:
    before = networks(there)
    there.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN, labels=engine.labels())
    with swarm.one_node(there) as node:
        assert node.usable
    assert swarm.state(there.info()) == "none" and networks(there) == before


@pytest.mark.engine
def test_a_clean_up_leaves_it_unless_somebody_uses_it_or_it_is_anothers(there: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not swarm.sweep(there)
    with swarm.one_node(there):
        assert not swarm.sweep(there)
    there.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN, labels=engine.labels())
    with monkeypatch.context() as other:
        other.setenv("DOCKERLAB_OWNER", "somebody-else")
        assert not swarm.sweep(there)
    assert swarm.sweep(there) and swarm.state(there.info()) == "none"


@pytest.mark.engine
def test_a_swarm_begun_on_the_command_line_can_be_claimed(there: docker.DockerClient) -> None:
    node = swarm.OneNode(there).borrow()
    there.swarm.init(advertise_addr="127.0.0.1", listen_addr=swarm.LISTEN)
    assert swarm.state(there.info()) == "foreign"
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
@pytest.mark.parametrize("plain", [{engine.COURSE_LABEL: ""}, {engine.KIND_LABEL: "base"}], ids=["no label", "inherited from a base"])
def test_none_is_begun_where_somebodys_containers_have_neighbours(there: docker.DockerClient, tiny: str, plain: dict[str, str]) -> None:
    network = there.networks.create("somebodys")
    first, second = (there.containers.run(tiny, "sleep 60", detach=True, network="somebodys", name=name, labels=plain) for name in ("web", "store"))
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
