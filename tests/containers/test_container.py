"""Containers are ready when their block begins and gone when it ends, whatever happens in it."""

from __future__ import annotations

import docker
import pytest
import requests

from dockerlab.containers import container
from dockerlab.containers.container import ContainerFailed, running

pytestmark = pytest.mark.engine
SERVE = ["sh", "-c", "mkdir -p /www && echo fine > /www/health && httpd -f -p 8000 -h /www"]


def mine(client: docker.DockerClient, name: str) -> list[object]:
    return client.containers.list(all=True, filters={"name": name})


def test_ready_then_gone(client: docker.DockerClient, tiny_image: str) -> None:
    with running(tiny_image, command=SERVE, client=client, name="dockerlab-test-ready") as service:
        assert requests.get(f"{service.url}/health", timeout=5).text == "fine\n"
        assert service.url.startswith("http://127.0.0.1:")
        assert service.container.labels["dockerlab.course"] == "1"
    assert not mine(client, "dockerlab-test-ready")


def test_gone_after_an_error_in_the_block(client: docker.DockerClient, tiny_image: str) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        running(tiny_image, command=SERVE, client=client, name="dockerlab-test-error"),
    ):
        raise ZeroDivisionError
    assert not mine(client, "dockerlab-test-error")


def test_an_early_end_says_exit_code_and_last_lines(client: docker.DockerClient, tiny_image: str) -> None:
    with (
        pytest.raises(ContainerFailed, match="exit code 3.*no model here"),
        running(
            tiny_image,
            command=["sh", "-c", "echo no model here; exit 3"],
            client=client,
            name="dockerlab-test-exit",
        ),
    ):
        pass
    assert not mine(client, "dockerlab-test-exit")


def test_silence_ends_in_time(client: docker.DockerClient, tiny_image: str) -> None:
    with (
        pytest.raises(ContainerFailed, match="did not answer"),
        running(tiny_image, command=["sleep", "60"], client=client, timeout=1, name="dockerlab-test-silent"),
    ):
        pass
    assert not mine(client, "dockerlab-test-silent")


def test_a_taken_port_is_named(client: docker.DockerClient, tiny_image: str) -> None:
    with running(tiny_image, command=SERVE, client=client) as first:
        port = int(first.url.rsplit(":", 1)[1])
        taken = client.containers.create(
            tiny_image,
            SERVE,
            ports={"8000/tcp": ("127.0.0.1", port)},
            name="dockerlab-test-port",
            labels=first.container.labels,
        )
        try:
            with pytest.raises(docker.errors.APIError) as caught:
                taken.start()
            assert "port" in container._advice(str(caught.value.explanation))
        finally:
            container.remove(taken)


def test_an_image_that_is_not_there(client: docker.DockerClient) -> None:
    with (
        pytest.raises(ContainerFailed, match="no image dockerlab-nothing"),
        running("dockerlab-nothing:here", client=client),
    ):
        pass
