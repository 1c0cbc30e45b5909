"""Each precondition is made to fail for real, and what the doctor names as the mend is done and works."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping

import docker
import pytest

from dockerlab.course import doctor, precondition
from dockerlab.images import base_images
from tests.support.commands import AS_A_USER, dockerlab
from tests.support.daemons import Daemon, second_daemon

pytestmark = pytest.mark.engine
# An index that refuses at once, so that the doctor does not go out to look for one.
QUICK = {"DOCKERLAB_INDEX_URL": "http://127.0.0.1:9/simple"}
PLUGINS = (
    "/usr/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
)


def examine(env: Mapping[str, str] = QUICK, **options: object) -> tuple[int, dict[str, precondition.Check]]:
    """Run `dockerlab doctor` and read what it found."""
    done = dockerlab("doctor", "--json", env=env, **options)  # type: ignore[arg-type]
    assert done.stderr == "", done.stderr
    return done.returncode, {each["name"]: precondition.Check(**each) for each in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def second(
    tmp_path_factory: pytest.TempPathFactory, client: docker.DockerClient, tiny_image: str
) -> Iterator[Daemon]:
    """A second engine with 64 MB of disk and no bases."""
    with second_daemon(tmp_path_factory.mktemp("doctor"), containerd=False, tmpfs_size="64m") as daemon:
        daemon.take(tiny_image, client)
        yield daemon


def test_no_engine_and_then_one() -> None:
    code, found = examine(QUICK | {"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert (
        code == 1
        and found["engine"].status == "failed"
        and found["engine"].fix == "Correct or unset DOCKER_HOST."
    )
    assert all(check.fix for check in found.values() if check.status != "ok")
    assert examine()[1]["engine"].status == "ok"


def test_a_disk_that_is_nearly_full(second) -> None:
    code, found = examine(QUICK | {"DOCKER_HOST": second.url})
    assert code == 1
    check = found["disk free"]
    assert (
        check.status == "failed"
        and str(second.folder / "data") in check.found
        and check.found.startswith("0 GB")
    )
    assert "`dockerlab clean`" in check.fix
    free = shutil.disk_usage(second.folder / "data").free
    (second.folder / "context").mkdir()
    (second.folder / "context/data.bin").write_bytes(os.urandom(8_000_000))
    (second.folder / "context/Dockerfile").write_text("FROM scratch\nCOPY data.bin /\n")
    env = {"DOCKER_HOST": second.url, "DOCKERLAB_OWNER": "nearly-full"}
    assert dockerlab("build", second.folder / "context", env=env).returncode == 0
    assert shutil.disk_usage(second.folder / "data").free < free - 7_000_000
    cleaned = dockerlab("clean", env=env)
    assert cleaned.returncode == 0 and "1 image" in cleaned.stdout


def test_missing_bases_come_from_a_bundle(second, tiny_image, tmp_path) -> None:
    env = QUICK | {"DOCKER_HOST": second.url}
    check = examine(env)[1]["bases"]
    assert (
        check.status == "warning"
        and all(name in check.found for name in base_images.COURSE_BASES)
        and check.fix == "Run `dockerlab bases`."
    )
    image, bundle = second.client.images.get(tiny_image), tmp_path / "bases.tar"
    for name in base_images.COURSE_BASES:
        image.tag(*name.rsplit(":", 1))
    subprocess.run(
        ["docker", "--host", second.url, "save", "--output", bundle, *base_images.COURSE_BASES],
        check=True,
        capture_output=True,
    )
    for name in base_images.COURSE_BASES:
        second.client.images.remove(name)
    done = dockerlab(
        "bases", env=env | {"DOCKERLAB_BASES_BUNDLE": str(bundle), "DOCKERLAB_BASES_SOURCE": "bundle"}
    )
    assert done.returncode == 0, done.stderr
    assert examine(env)[1]["bases"].status == "ok"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="hiding the plugins needs root")
def test_missing_plugins(tmp_path) -> None:
    hide = "; ".join(f"[ ! -d {folder} ] || mount -t tmpfs none {folder}" for folder in PLUGINS)
    code, found = examine(
        QUICK | {"DOCKER_CONFIG": str(tmp_path)},
        before=("unshare", "--mount", "sh", "-c", f'{hide}; exec "$0" "$@"'),
    )
    for name in ("buildx", "compose"):
        check = found[name]
        assert (check.status, check.found) == ("warning", "missing")
        package = re.fullmatch(r"Run `(?:sudo )?apt-get install (\S+)`: .*", check.fix)
        assert package, check.fix
        subprocess.run(["apt-cache", "show", package[1]], check=True, capture_output=True)


def test_another_builder_is_named_and_the_mend_works(tmp_path) -> None:
    env = QUICK | {"BUILDX_CONFIG": str(tmp_path)}
    subprocess.run(
        ["docker", "buildx", "create", "--name", "elsewhere", "--use"],
        env=os.environ | env,
        check=True,
        capture_output=True,
    )
    check = examine(env)[1]["builder"]
    assert (check.status, check.found) == ("warning", "elsewhere (docker-container driver)")
    mend = re.match(r"Run `(.*?)`", check.fix)
    assert mend, check.fix
    subprocess.run(mend[1], shell=True, env=os.environ | env, check=True, capture_output=True)
    assert examine(env)[1]["builder"].status == "ok"
    missing = examine(env | {"BUILDX_BUILDER": "nobody"})[1]["builder"]
    assert (
        missing.status == "warning"
        and 'no builder "nobody" found' in missing.found
        and missing.fix.startswith("Unset BUILDX_BUILDER")
    )


def test_no_docker_command(tmp_path) -> None:
    (tmp_path / "apt-cache").symlink_to(shutil.which("apt-cache") or "/usr/bin/apt-cache")
    code, found = examine(QUICK | {"PATH": str(tmp_path)})
    assert code == 1 and (found["docker command"].status, found["docker command"].found) == (
        "failed",
        "missing",
    )
    package = re.search(r"apt-get install (\S+)`", found["docker command"].fix)
    assert package, found["docker command"].fix
    subprocess.run(["apt-cache", "show", package[1]], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("DOCKER_API_VERSION", "1.20", "Unset DOCKER_API_VERSION."),
        ("DOCKER_API_VERSION", "9.99", "Unset DOCKER_API_VERSION."),
    ],
)
def test_a_docker_command_that_is_refused(variable, value, fix) -> None:
    code, found = examine(QUICK | {variable: value})
    assert code == 1 and found["docker command"].status == "failed"
    assert found["docker command"].fix.lower().endswith(fix.lower()), found["docker command"]
    assert examine()[1]["docker command"].status == "ok"


def test_a_docker_command_that_reaches_another_engine() -> None:
    check = doctor.docker_command("one", "two", "")
    assert check.status == "failed" and "another engine" in check.found and "`docker context ls`" in check.fix


@pytest.mark.parametrize("state", ["missing", "garbage", "unreadable", "folder"])
def test_a_certificate_that_cannot_be_used(tmp_path, state) -> None:
    file = tmp_path / "ca.pem"
    if state == "folder":
        file.mkdir()
    elif state != "missing":
        file.write_text("no certificate")
    if state == "unreadable":
        file.chmod(0)
        if os.geteuid() == 0:
            os.chown(file, 65534, 65534)
    code, found = examine(QUICK | {"DOCKERLAB_CA_BUNDLE": str(file)}, before=AS_A_USER)
    check = found["certificate"]
    assert code == 1 and check.status == "failed" and str(file) in check.found
    assert check.fix == "Set DOCKERLAB_CA_BUNDLE to a file of PEM certificates that you may read."
    good = (
        os.environ.get("SSL_CERT_FILE")
        or ssl.get_default_verify_paths().cafile
        or "/etc/ssl/certs/ca-certificates.crt"
    )
    if state == "missing":
        assert examine(QUICK | {"DOCKERLAB_CA_BUNDLE": good})[1]["certificate"].status == "ok"


def test_an_index_that_does_not_answer() -> None:
    code, found = examine()
    assert (
        code == 1
        and found["package index"].status == "failed"
        and "DOCKERLAB_INDEX_URL" in found["package index"].fix
    )


def test_settings_that_mean_nothing() -> None:
    code, found = examine({"DOCKERLAB_BASES_SOURCE": "moon"} | QUICK)
    assert (
        code == 1
        and found["settings"].status == "failed"
        and "Use one of: auto, pull" in found["settings"].fix
    )
    assert found["engine"].status == "ok"  # the rest is still examined


def test_folders_that_cannot_be_written(tmp_path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.geteuid() == 0:
        os.chown(closed, 65534, 65534)
    found = examine(
        QUICK | {"DOCKERLAB_STATE": str(closed / "state"), "DOCKERLAB_BUILD": str(tmp_path / "build")},
        before=AS_A_USER,
    )[1]
    assert (
        found["folders"].status == "warning"
        and "DOCKERLAB_STATE" in found["folders"].fix
        and "DOCKERLAB_BUILD" not in found["folders"].fix
    )


def test_uv_is_found_where_make_setup_puts_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor._default_index(1).fix == "Run `make setup`."
    uv = tmp_path / ".venv-uv/bin/uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(f"#!{sys.executable}\n")
    uv.chmod(0o755)
    assert doctor._default_index(1).status == "ok"
