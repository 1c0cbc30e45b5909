"""Compose projects: always taken down, labelled, the failing service named; the graph is read off recorded output."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest
import requests

from dockerlab.containers.compose import StackFailed, bounded, running_stack, with_labels
from dockerlab.containers.compose_graph import graph
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.notebook.charts.stack import stack_svg

HEALTHY = """
services:
  web:
    image: {image}
    command: [httpd, -f, -p, "8000", -h, /bin]
    ports: ["127.0.0.1::8000"]
    healthcheck: {{test: ["CMD", "test", "-e", "/bin/ls"], interval: 1s, start_period: 5s, start_interval: 0.2s}}
    volumes: ["data:/data"]
  side:
    image: {image}
    command: [sleep, "300"]
    depends_on: {{web: {{condition: service_healthy}}}}
    init: true
volumes:
  data:
"""


def _left(client: docker.DockerClient, project: str) -> list[str]:
    mine = {"label": f"com.docker.compose.project={project}"}
    found = [
        *client.containers.list(all=True, filters=mine),
        *client.networks.list(filters=mine),
        *client.volumes.list(filters=mine),
    ]
    return [each.name for each in found]


@pytest.mark.engine
def test_a_stack_is_up_labelled_reachable_and_gone(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(HEALTHY.format(image=tiny_image))
    with running_stack(tmp_path, timeout=240) as stack:
        assert [(each.service, each.state, each.health) for each in stack.services()] == [
            ("side", "running", ""),
            ("web", "running", "healthy"),
        ]
        assert requests.get(stack.url("web", 8000) + "/ls", timeout=5).ok
        assert stack.execute("web", "echo", "hello") == "hello\n"
        assert len(_left(client, stack.project)) == 4
        for each in client.containers.list(filters={"label": f"com.docker.compose.project={stack.project}"}):
            assert each.labels[object_labels.COURSE_LABEL] == "1"
        with pytest.raises(StackFailed, match="does not publish"):
            stack.url("side", 8000)
    assert _left(client, stack.project) == []


@pytest.mark.engine
@pytest.mark.parametrize("command", ['["sh", "-c", "echo the disk is on fire; exit 3"]'])
def test_the_failing_service_is_named_with_its_last_lines(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path, command: str
) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  good:\n    image: {tiny_image}\n    command: [sleep, '100']\n    init: true\n"
        f"  bad:\n    image: {tiny_image}\n    command: {command}\n"
    )
    with (
        pytest.raises(StackFailed) as caught,
        running_stack(tmp_path, project="dockerlab-test-failing", timeout=30),
    ):
        pass
    assert "bad ended with exit code 3" in caught.value.what and "on fire" in caught.value.why
    assert _left(client, "dockerlab-test-failing") == []


@pytest.mark.engine
def test_an_error_in_the_block_takes_the_stack_down(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(HEALTHY.format(image=tiny_image))
    with (
        pytest.raises(ZeroDivisionError),
        running_stack(tmp_path, project="dockerlab-test-error", timeout=60),
    ):
        raise ZeroDivisionError
    assert _left(client, "dockerlab-test-error") == []


def test_a_file_that_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n    imagee: x\n")
    with pytest.raises(StackFailed, match="imagee"), running_stack(tmp_path):
        pass


CONFIG = {
    "services": {
        "api": {
            "build": {"context": "."},
            "networks": {"front": None, "back": None},
            "ports": [{"published": "8000", "target": 8000}],
            "depends_on": {"redis": {"condition": "service_healthy"}, "db": {"condition": "service_started"}},
        },
        "db": {
            "image": "postgres:15-bookworm",
            "networks": {"back": None},
            "volumes": [{"type": "volume", "source": "rows", "target": "/var/lib/postgresql/data"}],
        },
        "redis": {"image": "redis:7-bookworm", "networks": {"back": None}},
    },
    "networks": {"front": {}, "back": {}, "other": {"external": True}},
    "volumes": {"rows": None},
}


def test_the_graph_says_who_asks_for_what() -> None:
    drawn = graph(CONFIG)
    assert drawn.services == {"api": "built here", "db": "postgres:15-bookworm", "redis": "redis:7-bookworm"}
    assert drawn.networks == {"back": ("api", "db", "redis"), "front": ("api",)}
    assert drawn.volumes == {"db": ("rows → /var/lib/postgresql/data",)}
    assert drawn.ports == {"api": ("8000 → 8000",)}
    assert drawn.depends == {"api": ("db", "redis")}


def test_the_graph_shows_folders_addresses_and_what_stands_apart() -> None:
    config = {
        "services": {
            "web": {
                "image": "w",
                "networks": {"in": None},
                "profiles": ["tools"],
                "ports": [{"host_ip": "127.0.0.1", "target": 80}],
                "volumes": [{"type": "bind", "source": "/home/ann/page", "target": "/page"}],
            }
        },
        "networks": {"in": {"internal": True}},
    }
    drawn = graph(config)
    assert drawn.ports == {"web": ("127.0.0.1:any → 80",)} and drawn.volumes == {"web": ("./page → /page",)}
    assert drawn.internal == {"in"} and drawn.on_demand == {"web"}
    svg = stack_svg(drawn)
    assert "no way out" in svg and "● web" in svg and "stroke-dasharray" in svg and "a profile" in svg


@pytest.mark.engine
def test_reachability_is_tried_from_inside(client: docker.DockerClient, tmp_path: Path) -> None:
    base_images.ensure(base_images.SLIM, client)
    listens = "test: [CMD, bash, -c, 'exec 3<>/dev/tcp/localhost/8000'], interval: 1s, retries: 30"
    service = f"image: python:3.11-slim-bookworm, init: true, command: [python, -m, http.server, '8000'], healthcheck: {{{listens}}}"
    services = "".join(
        f"  {name}: {{{service}, networks: [{networks}]}}\n"
        for name, networks in (("a", "x, y"), ("b", "y"), ("c", "x"))
    )
    (tmp_path / "compose.yaml").write_text(
        f"services:\n{services}networks:\n  x: {{internal: true}}\n  y: {{}}\n"
    )
    with running_stack(tmp_path, timeout=240) as stack:
        seen = stack.reachability({"a": 8000, "b": 8000, "c": 8000})
    assert seen.loc["a"].tolist() == [True] * 4
    assert seen.loc["b"].tolist() == [True, True, False, True]
    assert seen.loc["c"].tolist() == [True, False, True, False]


def test_labels_reach_everything_but_what_is_external() -> None:
    marks = {"a": "1", object_labels.OBJECT_LABEL: "x"}
    override = with_labels(CONFIG | {"name": "shop"}, marks)
    image = {"a": "1", object_labels.KIND_LABEL: "image", object_labels.TAG_LABEL: "shop-api:latest"}
    assert override["services"]["api"] == {"labels": marks, "build": {"labels": image}}
    assert override["services"]["db"] == {"labels": marks}
    assert set(override["networks"]) == {"front", "back"} and set(override["volumes"]) == {"rows"}


def test_what_a_service_leaves_unbounded_is_bounded_where_compose_takes_it() -> None:
    limited = {"deploy": {"resources": {"limits": {"memory": "64M"}}}}
    own = {"pids_limit": 9, "logging": {"driver": "none"}, "mem_limit": "1048576"}
    config = {
        "services": {
            "plain": {},
            "limited": limited,
            "own": own,
            "cpus": {"deploy": {"resources": {"limits": {"cpus": "1"}}}},
        }
    }
    services = bounded({"services": {name: {} for name in config["services"]}}, config)["services"]
    assert (
        services["plain"]["pids_limit"] == 512
        and services["plain"]["logging"]["options"]["max-size"] == "10m"
    )
    assert services["plain"]["mem_limit"] == "1g"
    assert "mem_limit" not in services["cpus"] and services["cpus"]["deploy"] == {
        "resources": {"limits": {"pids": 512, "memory": "1g"}}
    }
    assert "pids_limit" not in services["limited"] and services["limited"]["deploy"] == {
        "resources": {"limits": {"pids": 512}}
    }
    assert services["own"] == {}
