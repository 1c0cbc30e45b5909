"""Stand-ins behave as the images whose names they bear; each source of bases brings them, or says soon why it cannot."""

from __future__ import annotations

import tomllib
from types import SimpleNamespace

import docker
import pytest
import requests

from dockerlab import bases, engine
from dockerlab.container import Running, running
from dockerlab.site import Site

pytestmark = pytest.mark.engine
MANIFEST = {"Accept": ", ".join(f"application/vnd.{kind}+json" for kind in ("docker.distribution.manifest.v2", "oci.image.manifest.v1", "oci.image.index.v1"))}


def inside(service: Running, *command: str) -> str:
    """What a command prints in the container; it must end with 0."""
    code, output = service.container.exec_run(list(command))
    assert code == 0, output.decode(errors="replace")
    return output.decode(errors="replace").strip()


class TestRegistry:
    """registry:2: push, pull, catalogue, tags, and deletion where a variable allows it."""

    @pytest.fixture(autouse=True)
    def base(self, client: docker.DockerClient) -> None:
        bases.ensure(bases.REGISTRY, client)

    def test_push_list_pull_and_delete_by_digest(self, client: docker.DockerClient, tiny_image: str) -> None:
        with running(bases.REGISTRY, port=5000, ready="/v2/", environment={"REGISTRY_STORAGE_DELETE_ENABLED": "true"}, client=client) as service:
            repository = f"{service.url.removeprefix('http://')}/harbour/tiny"
            image = client.images.get(tiny_image)
            image.tag(repository, "1.0")
            try:
                pushed = client.images.push(repository, tag="1.0")
                assert "error" not in pushed.lower(), pushed
                assert requests.get(f"{service.url}/v2/_catalog", timeout=5).json() == {"repositories": ["harbour/tiny"]}
                assert requests.get(f"{service.url}/v2/harbour/tiny/tags/list", timeout=5).json()["tags"] == ["1.0"]
                client.images.remove(f"{repository}:1.0")
                assert client.images.pull(repository, tag="1.0").attrs["RootFS"] == image.attrs["RootFS"]

                manifest = f"{service.url}/v2/harbour/tiny/manifests"
                digest = requests.head(f"{manifest}/1.0", headers=MANIFEST, timeout=5).headers["Docker-Content-Digest"]
                assert client.images.get(f"{repository}@{digest}").id
                assert requests.delete(f"{manifest}/{digest}", timeout=5).status_code == 202
                assert requests.head(f"{manifest}/1.0", headers=MANIFEST, timeout=5).status_code == 404
                assert "blobs marked" in inside(service, "registry", "garbage-collect", "/etc/docker/registry/config.yml")
            finally:
                client.images.remove(f"{repository}:1.0")

    def test_deletion_is_off_unless_asked_for(self, client: docker.DockerClient) -> None:
        with running(bases.REGISTRY, port=5000, ready="/v2/", client=client) as service:
            answer = requests.delete(f"{service.url}/v2/any/manifests/sha256:{'0' * 64}", timeout=5)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")

    def test_variables_override_the_configuration_file(self, client: docker.DockerClient) -> None:
        with running(bases.REGISTRY, port=5005, ready="/v2/", environment={"REGISTRY_HTTP_ADDR": ":5005"}, client=client) as service:
            assert "listening on [::]:5005" in service.logs(20)

    def test_port_volume_and_command_are_the_official_ones(self, client: docker.DockerClient) -> None:
        config = client.images.get(bases.REGISTRY).attrs["Config"]
        assert config["Entrypoint"] == ["/entrypoint.sh"]
        assert config["Cmd"] == ["/etc/docker/registry/config.yml"]
        assert list(config["ExposedPorts"]) == ["5000/tcp"]
        assert list(config["Volumes"]) == ["/var/lib/registry"]


def test_uv_is_told_the_same_as_pip() -> None:
    client = SimpleNamespace(api=SimpleNamespace(inspect_network=lambda name: {"IPAM": {"Config": [{"Gateway": "10.0.0.1"}]}}))
    told = tomllib.loads(bases.debian._uv_toml(client, Site(index_url="http://10.0.0.1:8901/simple", ca_bundle="/etc/ssl/site.crt")))
    assert told == {"system-certs": True, "allow-insecure-host": ["10.0.0.1"], "index": [{"url": "http://10.0.0.1:8901/simple", "default": True}]}


def test_pip_and_uv_both_find_packages_in_the_slim_base(client: docker.DockerClient) -> None:
    bases.ensure(bases.SLIM, client)
    command = "pip install --quiet uv && uv pip install --system --quiet itsdangerous && python -c 'import itsdangerous; print(\"found\")'"
    assert client.containers.run(bases.SLIM, ["sh", "-c", command], remove=True, labels=engine.labels(kind="test")).decode().strip() == "found"
