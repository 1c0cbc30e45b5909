"""An engine that reaches one machine only: every setting of the site gets into every build, and doctor names the one that is missing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import requests

from dockerlab.core.polling import wait_until
from dockerlab.core.settings import load_site
from dockerlab.course import doctor_build, precondition
from dockerlab.engine import object_labels
from dockerlab.images import base_images, build
from tests.support.class_box import INSIDE, Box, class_box, publish
from tests.support.commands import dockerlab
from tests.support.daemons import Daemon, second_daemon, wire

pytestmark = pytest.mark.engine
# As a publisher's image is: nothing of this site in it. That the mirror has no signatures is not what is tried here.
PLAIN = """
set -e
echo 'Acquire::AllowInsecureRepositories 1; APT::Get::AllowUnauthenticated 1;' > /etc/apt/apt.conf.d/01unsigned
rm -rf /etc/pip.conf /etc/uv /etc/apt/sources.list /etc/apt/apt.conf.d/99dockerlab-site /usr/local/share/ca-certificates/* /usr/lib/ssl/cert.pem
update-ca-certificates --fresh >/dev/null
printf 'Types: deb\\nURIs: http://debian.invalid/debian\\nSuites: bookworm\\nComponents: main\\n' > /etc/apt/sources.list.d/debian.sources
"""
DOCKERFILE = f"""\
FROM {base_images.SLIM}
RUN apt-get update && apt-get install -y --no-install-recommends class-greeting && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir six
CMD ["class-greeting"]
"""
PROXIES = [
    each for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for each in (name, name.lower())
]
PIP = (
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
)
NOTHING = dict.fromkeys((*PIP, *PROXIES), "")


@dataclass
class Classroom:
    """A second engine, the box that is all it reaches, and the settings for both."""

    daemon: Daemon
    box: Box
    settings: dict[str, str]
    folder: Path

    def run(self, *words: str, without: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        settings = {
            name: value for name, value in self.settings.items() if name != f"DOCKERLAB_{without.upper()}"
        }
        return dockerlab(
            *words,
            env={
                **NOTHING,
                "PIP_CONFIG_FILE": os.devnull,
                "DOCKER_HOST": self.daemon.url,
                **settings,
                **more,
            },
            timeout=300,
        )

    def proof(
        self, monkeypatch: pytest.MonkeyPatch, without: str = "", **more: str
    ) -> dict[str, precondition.Check]:
        """What `doctor --build` adds to the doctor's checks, without one of the settings."""
        environ = {
            **NOTHING,
            "PIP_CONFIG_FILE": os.devnull,
            "DOCKER_HOST": self.daemon.url,
            **self.settings,
            **more,
        }
        environ[f"DOCKERLAB_{without.upper()}"] = ""
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return {each.name: each for each in doctor_build.checks(load_site(), self.daemon.client)}


def answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).ok
    return False


@pytest.fixture(scope="module")
def room(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    folder, name = tmp_path_factory.mktemp("class"), f"dockerlab-test-{uuid.uuid4().hex[:8]}"
    for base in (base_images.SLIM, base_images.REGISTRY):
        base_images.ensure(base, client)
    wheels = folder / "wheels"
    wheels.mkdir()
    labels = object_labels.labels(kind="test")
    prepared = client.containers.create(
        base_images.SLIM,
        ["sh", "-c", f"pip download --no-deps --dest /wheels six && {PLAIN}"],
        name=name,
        labels=labels,
    )
    registry = None
    try:
        prepared.start()
        assert prepared.wait()["StatusCode"] == 0, prepared.logs().decode()
        pieces, _ = prepared.get_archive("/wheels")
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
            archive.extractall(folder, filter="data")
        with wire() as cable, class_box(cable.here, wheels, folder) as box:
            registry = client.containers.run(
                base_images.REGISTRY,
                name=f"{name}-registry",
                detach=True,
                ports={"5000/tcp": (cable.here, None)},
                labels=labels,
            )
            registry.reload()
            mirror = f"{cable.here}:{registry.ports['5000/tcp'][0]['HostPort']}"
            with (folder / "official.tar").open("wb") as file:
                file.writelines(prepared.export(1 << 20))
            assert wait_until(lambda: answers(f"http://{mirror}/v2/"), 60)
            publish(
                f"http://{mirror}",
                f"library/{base_images.SLIM}",
                folder / "official.tar",
                {
                    "Cmd": ["python3"],
                    "Env": ["PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"],
                },
            )
            with second_daemon(folder, containerd=False, wire=cable) as daemon:
                settings = {
                    "DOCKERLAB_INDEX_URL": f"{box.web}/simple",
                    "DOCKERLAB_CA_BUNDLE": str(box.authority),
                    "DOCKERLAB_REGISTRY_MIRROR": mirror,
                    "DOCKERLAB_APT_MIRROR": f"{box.web}/debian {box.web}/debian-security",
                    "DOCKERLAB_BASES_SOURCE": "mirror",
                }
                yield Classroom(daemon, box, settings, folder)
    finally:
        prepared.remove(force=True)
        if registry:
            registry.remove(force=True, v=True)


def test_doctor_proves_the_settings_by_real_builds(room: Classroom) -> None:
    done = room.run("doctor", "--build", "--json")
    assert done.stderr == "", done.stderr
    found = {
        each["name"]: precondition.Check(**each)
        for each in json.loads(done.stdout)
        if each["name"].startswith("build: ")
    }
    assert [(check.name, check.status) for check in found.values()] == [
        (name, "ok")
        for name in (
            "build: base",
            "build: apt, API",
            "build: pip, API",
            "build: apt, docker build",
            "build: pip, docker build",
        )
    ], found
    assert found["build: base"].found == f"{base_images.SLIM}: mirror"
    labels = room.daemon.client.images.get(f"original-for-dockerlab/{base_images.SLIM}").labels
    assert labels == {}, "the image of the mirror was no publisher's"
    assert not [image for image in room.daemon.client.images.list() if not image.tags]


@pytest.mark.parametrize("way", ["API", "docker build"])
def test_a_textbook_dockerfile_builds_either_way(room: Classroom, tmp_path: Path, way: str) -> None:
    assert room.run("bases", base_images.SLIM).returncode == 0
    (tmp_path / "Dockerfile").write_text(DOCKERFILE + f"LABEL way={way.replace(' ', '-')}\n")
    tag = f"dockerlab-test:{uuid.uuid4().hex[:8]}"
    asked = len(room.box.asked)
    if way == "API":
        build.build(tmp_path, tag=tag, client=room.daemon.client, no_cache=True)
    else:
        done = subprocess.run(
            ["docker", "build", "--no-cache", "-t", tag, str(tmp_path)],
            env={**os.environ, "DOCKER_HOST": room.daemon.url},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert {each.split("/")[1] for each in room.box.asked[asked:]} == {
        "debian",
        "debian-security",
        "simple",
        "files",
    }, "something came from elsewhere"
    assert room.daemon.client.containers.run(tag, remove=True) == b"hello from the mirror\n"


@pytest.mark.parametrize(
    ("without", "names", "holds"),
    [
        ("index_url", "pip", "set index_url"),
        ("apt_mirror", "apt", "set apt_mirror"),
        ("ca_bundle", "apt pip", "set ca_bundle"),
    ],
)
def test_the_setting_that_is_missing_is_named(
    room: Classroom, monkeypatch, without: str, names: str, holds: str
) -> None:
    """Each time the base is made again for the settings that are left."""
    found = room.proof(monkeypatch, without)
    failed = {check.name: check for check in found.values() if check.status != "ok"}
    assert sorted(failed) == sorted(
        f"build: {name}, {way}" for name in names.split() for way in ("API", "docker build")
    ), found
    assert all(holds in check.fix for check in failed.values()), failed


def test_a_base_that_no_place_has_names_the_places(room: Classroom, monkeypatch) -> None:
    room.daemon.client.images.remove(base_images.SLIM, force=True)
    found = room.proof(
        monkeypatch, "registry_mirror", DOCKERLAB_BASES_SOURCE="bundle", DOCKERLAB_BASES_BUNDLE="/nowhere.tar"
    )
    assert (
        found["build: base"].status == "failed"
        and "Correct bases_bundle (/nowhere.tar)" in found["build: base"].fix
    )
    found = room.proof(
        monkeypatch, "registry_mirror", DOCKERLAB_BASES_SOURCE="pull", DOCKERLAB_BASES_BUNDLE=""
    )
    assert "Set registry_mirror" in found["build: base"].fix


def test_settings_that_change_are_noticed_and_undone(room: Classroom) -> None:
    client, name = room.daemon.client, base_images.SLIM
    assert room.run("bases", name).returncode == 0
    first = client.images.get(name).id
    assert room.run("bases", name).stdout == f"{name}: here\n" and client.images.get(name).id == first
    check = {
        each["name"]: each for each in json.loads(room.run("doctor", "--json", without="index_url").stdout)
    }["bases"]
    assert check["status"] == "warning"
    assert room.run("bases", name, without="index_url").returncode == 0
    assert client.images.get(name).id != first
    original = client.images.get(f"original-for-dockerlab/{name}").id
    assert (
        len(client.images.get(name).attrs["RootFS"]["Layers"]) == 2
    )  # one layer of settings, not one for each change
    assert base_images.give_back(client) == [name]
    assert client.images.get(name).id == original and client.images.get(name).tags == [name]


BUILD = """
import subprocess, sys
from dockerlab.engine import connection
from dockerlab.images import build
client = connection.connect()
if sys.argv[2] == "API":
    build.build(sys.argv[1], client=client, no_cache=True)
else:
    subprocess.run(["docker", "build", "--no-cache", "--output", "type=cacheonly", sys.argv[1]], check=True)
"""


@pytest.mark.parametrize("way", ["API", "docker build"])
@pytest.mark.parametrize("told", ["variables", "config.json"])
def test_both_ways_of_building_use_the_proxy(room: Classroom, tmp_path: Path, way: str, told: str) -> None:
    assert room.run("bases", base_images.SLIM).returncode == 0
    look = f"import urllib.request as u; print(u.urlopen('http://{INSIDE}/{uuid.uuid4().hex}', timeout=20).read())"
    (tmp_path / "Dockerfile").write_text(f'FROM {base_images.SLIM}\nRUN python3 -c "{look}"\n')
    settings = tmp_path / "docker"
    settings.mkdir()
    proxies = {"httpProxy": room.box.proxy, "httpsProxy": room.box.proxy}
    by_variables = {"HTTP_PROXY": room.box.proxy} if told == "variables" else {}
    if told != "variables":
        (settings / "config.json").write_text(json.dumps({"proxies": {"default": proxies}}))
    env = {
        **os.environ,
        **NOTHING,
        "DOCKER_HOST": room.daemon.url,
        "DOCKER_CONFIG": str(settings),
        **by_variables,
    }
    before = len(room.box.proxied)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path), way],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [each for each in room.box.proxied[before:] if INSIDE in each]


def test_a_proxy_that_serves_nothing_is_named(room: Classroom, monkeypatch) -> None:
    dead = room.box.proxy.rpartition(":")[0].replace("http://", "http://mira:s3cret-pw@") + ":9"
    found = room.proof(monkeypatch, HTTPS_PROXY=dead)
    failed = [check for check in found.values() if check.status == "failed"]
    assert failed and all("The proxy http://mira:****@" in check.fix for check in failed), found
