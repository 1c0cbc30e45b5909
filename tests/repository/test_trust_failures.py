"""What can go wrong goes wrong here for real: each time the command says what happened and what to do, and leaves nothing behind.

Whatever could harm an engine runs on a second one (daemons.py).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from dockerlab.containers import container
from dockerlab.containers.container import ContainerFailed
from dockerlab.core import polling
from dockerlab.engine import error_messages
from dockerlab.images import base_images
from dockerlab.images.build import build
from dockerlab.images.build_errors import BuildFailed, ContextTooLarge
from tests.support.commands import COMMAND, dockerlab, hears_ctrl_c, says, sleeps
from tests.support.daemons import Daemon, second_daemon

pytestmark = pytest.mark.engine
NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, which must be empty when the test ends."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert not list(folder.iterdir())


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Make a build context of one Dockerfile."""

    def make(text: str, name: str = "context") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="module")
def tiny_tar(client: docker.DockerClient, tiny_image: str) -> bytes:
    return b"".join(client.api.get_image(tiny_image))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, tiny_tar: bytes) -> Iterator[Daemon]:
    """A second engine without a way out, which holds the tiny image only."""
    with second_daemon(tmp_path_factory.mktemp("second"), containerd=False) as daemon:
        daemon.client.images.load(tiny_tar)
        yield daemon


def images(client: docker.DockerClient) -> set[str]:
    return {image.id for image in client.images.list(all=True)}


# --- no engine -------------------------------------------------------------------------------------------------------------


COMMANDS = [
    ["build", "."],
    ["bases"],
    ["inspect", "x:1"],
    ["ladder", "slim"],
    ["clean"],
    ["clean", "--all"],
    ["engine"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_engine(command: list[str], write, temporary) -> None:
    done = dockerlab(*command, env=NOWHERE, cwd=write("FROM scratch\n"))
    says(done, "No Docker Engine answers at unix:///nowhere/docker.sock", "Correct or unset DOCKER_HOST")


def test_no_engine_and_doctor_still_shows_the_rest(temporary) -> None:
    done = dockerlab("doctor", env=NOWHERE)
    assert done.returncode == 1 and done.stderr == ""
    assert (
        "✗ failed" in done.stdout
        and "Correct or unset DOCKER_HOST" in done.stdout
        and "harbour-n.pt" in done.stdout
    )


# --- the engine goes away --------------------------------------------------------------------------------------------------


def test_the_engine_is_killed_in_the_middle_of_a_build(
    tmp_path, tiny_tar, tiny_image, write, temporary
) -> None:
    seconds = f"17{os.getpid() % 1000:03d}"
    context = write(f"FROM {tiny_image}\nRUN echo kept > /kept\nRUN sleep {seconds}\n")
    with second_daemon(tmp_path, containerd=False) as daemon:
        daemon.client.images.load(tiny_tar)
        before = images(daemon.client)
        command = subprocess.Popen(
            [COMMAND, "build", context, "-t", "dockerlab-half:1"],
            env={**os.environ, "DOCKER_HOST": daemon.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert polling.wait_until(lambda: sleeps(seconds), 300, 0.1), (
            "the build never came to its second step"
        )
        daemon.kill()
        out, error = command.communicate(timeout=120)
        says(
            subprocess.CompletedProcess([], command.returncode, out, error),
            "The engine stopped answering during the build",
            "build again",
        )
        daemon.start()
        assert images(daemon.client) == before and not daemon.client.containers.list(all=True)
        # As the message promised: what was finished is in the cache.
        (context / "Dockerfile").write_text(f"FROM {tiny_image}\nRUN echo kept > /kept\nRUN true\n")
        assert any(
            "kept" in step for step in build(context, tag="dockerlab-half:1", client=daemon.client).cached
        )
    assert polling.wait_until(lambda: not sleeps(seconds), 60, 0.2), "the step of the dead engine still runs"


# --- no network ------------------------------------------------------------------------------------------------------------


def test_a_build_without_a_network(client, temporary, write) -> None:
    base_images.ensure(base_images.SLIM, client)
    context = write(f"FROM {base_images.SLIM}\nRUN PIP_RETRIES=1 pip install --no-cache-dir six\n")
    with pytest.raises(BuildFailed) as caught:
        build(context, client=client, network="none")
    assert (
        "line 2" in caught.value.what
        and "no network" in caught.value.why
        and caught.value.fix.startswith("Connect")
    )
    assert all(len(line) <= 170 for line in caught.value.what.splitlines())


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="cutting a process off from the network needs root"
)
def test_bases_where_nothing_can_be_reached(second: Daemon, temporary) -> None:
    before = images(second.client)
    done = dockerlab(
        "bases", base_images.DEBIAN, env={"DOCKER_HOST": second.url}, before=("unshare", "--net")
    )
    says(
        done,
        "is not on the engine, and this machine reaches no network that has it",
        "Connect and run `dockerlab bases`",
    )
    assert images(second.client) == before


def test_a_base_that_is_missing(second: Daemon, write, temporary) -> None:
    says(
        dockerlab("build", write(f"FROM {base_images.SLIM}\nRUN true\n"), env={"DOCKER_HOST": second.url}),
        "The base image is not on the engine and no registry answers",
        "dockerlab bases",
    )
    with (
        pytest.raises(ContainerFailed, match="dockerlab bases"),
        container.running(base_images.SLIM, client=second.client),
    ):
        pass
    with pytest.raises(docker.errors.APIError) as caught:
        second.client.containers.run(base_images.SLIM, "true")
    plain = error_messages.explain(caught.value)
    assert plain and "no registry answers" in plain.what and "dockerlab bases" in plain.fix


# --- a port that is taken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken_by", ["a program", "a container"])
def test_a_port_that_is_taken(client, tiny_image, taken_by) -> None:
    name = f"dockerlab-{uuid.uuid4().hex[:8]}"
    with (
        socket.socket() as listener,
        container.running(tiny_image, command=["sleep", "60"], ready=None, client=client) as other,
    ):
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1] if taken_by == "a program" else int(other.url.rsplit(":", 1)[1])
        options = {"labels": other.container.labels, "ports": {"8000/tcp": ("127.0.0.1", port)}, "name": name}
        with pytest.raises(docker.errors.APIError) as caught:
            client.containers.run(tiny_image, "sleep 60", detach=True, **options)
        client.containers.get(name).remove()
        plain = error_messages.explain(caught.value)
        assert plain and plain.what == f"Port {port} of this machine is taken."
        assert "('127.0.0.1', None)" in plain.fix and "docker ps" in plain.fix
        with (
            pytest.raises(ContainerFailed, match="Let the kernel choose"),
            container.running(
                tiny_image,
                command=["sleep", "60"],
                port=0,
                ready=None,
                client=client,
                network_mode="bridge",
                name=name,
                ports={"8000/tcp": ("127.0.0.1", port)},
            ),
        ):
            pass
    assert not client.containers.list(all=True, filters={"name": name})


# --- a full disk -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_tar: bytes) -> Iterator[Daemon]:
    """A second engine whose disk holds 48 MB."""
    with second_daemon(tmp_path_factory.mktemp("small"), containerd=False, tmpfs_size="48m") as daemon:
        daemon.client.images.load(tiny_tar)
        yield daemon


def test_the_disk_is_full_in_a_build(small: Daemon, tiny_image, write, temporary) -> None:
    before = images(small.client)
    done = dockerlab(
        "build",
        write(f"FROM {tiny_image}\nRUN dd if=/dev/zero of=/big bs=1M count=100\n"),
        env={"DOCKER_HOST": small.url},
    )
    says(done, "line 2", "The engine's disk is full", "dockerlab clean")
    assert images(small.client) == before and not small.client.containers.list(all=True)


def test_the_disk_is_full_when_a_base_comes(small: Daemon, client, tmp_path, temporary) -> None:
    base_images.ensure(base_images.SLIM, client)
    bundle = tmp_path / "bases.tar"
    with bundle.open("wb") as file:
        for chunk in client.images.get(base_images.SLIM).save(named=True):
            file.write(chunk)
    before = images(small.client)
    done = dockerlab(
        "bases", "--source", "bundle", env={"DOCKER_HOST": small.url, "DOCKERLAB_BASES_BUNDLE": str(bundle)}
    )
    says(done, "no space left on device", "dockerlab clean")
    assert images(small.client) == before and not base_images.present(small.client, base_images.SLIM)


def test_the_disk_is_full_when_a_container_starts(small: Daemon, tiny_image, temporary) -> None:
    filler = small.folder / "data/filler"
    with filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    try:
        with (
            pytest.raises(ContainerFailed) as caught,
            container.running(tiny_image, command=["sleep", "60"], ready=None, client=small.client),
        ):
            pass
        assert "no space left" in str(caught.value) and "dockerlab clean" in caught.value.fix
    finally:
        filler.unlink()
    assert not small.client.containers.list(all=True)


# --- mistakes in what is built ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM scratch\nRUNN true\n", 2),
        ("FROM scratch\nCOPY\n", 2),
        ("FORM scratch\n", 1),
        ("FROM scratch\nENV A\n", 0),  # the engine itself does not say where
    ],
)
def test_a_syntax_error_names_its_line(text, line, write, temporary) -> None:
    says(
        dockerlab("build", write(text)),
        "Dockerfile " + (f"line {line} failed" if line else "failed"),
        "The Dockerfile has a syntax error",
        "Mend that line",
    )


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "\0\0\0"])
def test_a_file_that_is_no_dockerfile(text, write, temporary) -> None:
    says(dockerlab("build", write(text)))


def test_two_gigabytes_are_named_before_they_are_sent(client, write, temporary) -> None:
    context = write("FROM scratch\nCOPY . /\n")
    (context / "data").mkdir()
    with (context / "data/video.mp4").open("wb") as file:
        file.truncate(2 << 30)  # sparse: it has this size and holds nothing
    begun = time.monotonic()
    with pytest.raises(ContextTooLarge):
        build(context, client=client)
    assert time.monotonic() - begun < 2
    says(dockerlab("build", context), "2,147 MB", "data/ (2147 MB)", ".dockerignore")


def test_names_with_spaces_accents_and_other_scripts(client, write, temporary) -> None:
    tag = f"dockerlab-names:{uuid.uuid4().hex[:8]}"
    context = write("FROM scratch\nCOPY . /\n", name="mon projet é 港")
    for name in ("été à la mer.txt", "コンテナ.txt", "a  b.txt", "$HOME.txt", "-f.txt"):
        (context / name).write_text("sand")
    try:
        done = dockerlab("build", context, "-t", tag)
        assert done.returncode == 0, done.stderr
        report = dockerlab("inspect", tag)
        assert report.returncode == 0
    finally:
        client.images.remove(tag, force=True)


def test_a_context_with_a_loop_a_socket_a_pipe_and_a_dangling_link(client, write, temporary) -> None:
    tag = f"dockerlab-odd:{uuid.uuid4().hex[:8]}"
    context = write("FROM scratch\nCOPY . /\n")
    (context / "loop").symlink_to(context / "loop")
    (context / "nowhere").symlink_to("/does/not/exist")
    os.mkfifo(context / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(context)  # a socket's path may have 108 characters at most
        listener.bind("socket")
        try:
            done = dockerlab("build", context, "-t", tag, timeout=30)
        finally:
            os.chdir(before)
    assert done.returncode == 0, done.stderr
    client.images.remove(tag, force=True)


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------------


def test_ctrl_c_stops_the_build_on_the_engine(client, tiny_image, write, temporary) -> None:
    seconds, tag = f"18{os.getpid() % 1000:03d}", f"dockerlab-ctrl-c:{uuid.uuid4().hex[:8]}"
    command = subprocess.Popen(
        [COMMAND, "build", write(f"FROM {tiny_image}\nRUN sleep {seconds}\n"), "-t", tag],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    try:
        assert polling.wait_until(lambda: sleeps(seconds), 300, 0.1)
        threading.Event().wait(0.2)
        command.send_signal(signal.SIGINT)
        _, error = command.communicate(timeout=120)
    finally:
        command.kill()
    assert (command.returncode, error) == (130, "Stopped.\n")
    assert polling.wait_until(lambda: not sleeps(seconds), 60, 0.2)
    assert not client.images.list(tag)
