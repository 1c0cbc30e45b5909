"""A second Docker Engine beside the first: own image store, own folders, own network namespace; gone when the block ends.

It must not touch the first one: two engines in one network namespace fight over docker0 and its rules, so the second gets a
namespace of its own. `nsenter --net` enters nothing else (`ip netns exec` would hide the cgroups from it).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import docker
import pytest
import requests
from docker.errors import DockerException

START_SECONDS = 60
STOP_SECONDS = 30


@dataclass
class Daemon:
    """A running second engine."""

    client: docker.DockerClient
    process: subprocess.Popen[bytes]
    folder: Path
    socket: Path
    command: list[str]

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def take(self, image: str, client: docker.DockerClient) -> None:
        """Bring an image of another engine here, under its name."""
        self.client.images.load(b"".join(client.api.get_image(image)))

    def stop(self) -> None:
        """Stop the engine early; the socket stays where it was and nobody answers. Containers of it end too."""
        _stop(self.process)

    def kill(self) -> None:
        """End it as a power cut would: nothing is told, nothing is tidied up."""
        for pid in _processes_of(
            self.folder, self.socket.parent
        ):  # shims and the steps of builds live in groups of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def start(self) -> None:
        """Start it again after `stop` or `kill`, on the same data."""
        (self.socket.parent / "docker.pid").unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        with (self.folder / "dockerd.log").open("ab") as log:
            self.process = _spawn(self.command, log)
        self.client.close()
        self.client = _connect(self.process, self.socket, self.folder / "dockerd.log")

    def log(self) -> str:
        return (self.folder / "dockerd.log").read_text(errors="replace")


@dataclass(frozen=True)
class Wire:
    """A cable of two ends between this machine and a second engine: `here` and `there` are the addresses, and nothing else is reached."""

    name: str
    here: str
    there: str


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    """Lay a cable, to be handed to `second_daemon`; skips the test where why_not() says so."""
    if why_not():
        pytest.skip(why_not())
    number = uuid.uuid4().int
    network = f"10.{212 + number % 8}.{number // 8 % 256}.{number // 2048 % 64 * 4}".rpartition(".")
    cable = Wire(
        f"dl{number % 0xFFFFFFF:07x}", *(f"{network[0]}.{int(network[2]) + each}" for each in (1, 2))
    )
    _run("ip", "link", "add", cable.name + "a", "type", "veth", "peer", "name", cable.name + "b")
    try:
        _run("ip", "addr", "add", f"{cable.here}/30", "dev", cable.name + "a")
        _run("ip", "link", "set", cable.name + "a", "up")
        yield cable
    finally:
        subprocess.run(["ip", "link", "del", cable.name + "a"], capture_output=True, check=False)


def why_not() -> str:
    """Why a second engine cannot run here; empty where it can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a second engine needs root"
    missing = [tool for tool in ("dockerd", "containerd", "ip", "nsenter", "mount") if not shutil.which(tool)]
    return f"a second engine needs {', '.join(missing)} on this machine" if missing else ""


@contextlib.contextmanager
def second_daemon(
    tmp: Path, containerd: bool = True, tmpfs_size: str | None = None, wire: Wire | None = None
) -> Iterator[Daemon]:
    """Start a second dockerd; always stops it and removes its namespace, mounts and files.

    `containerd` chooses the image store: containerd's, else overlay2. `tmpfs_size`, such as "64m", puts its data on a memory disk
    of that size, which can be filled. It has no network to the outside, but for the one address of a `wire`. Skips the test where why_not() says so.
    """
    if why_not():
        pytest.skip(why_not())
    name = f"dockerlab-{uuid.uuid4().hex[:8]}"
    folder, run = (
        tmp / name,
        Path("/run") / name,
    )  # a socket's path may have 108 characters at most, and tmp may be long
    data = folder / "data"
    data.mkdir(parents=True)
    run.mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, run, ignore_errors=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if tmpfs_size:
            _run("mount", "-t", "tmpfs", "-o", f"size={tmpfs_size},mode=0711", name, str(data))
        stack.callback(_unmount_below, folder, run)
        _run("ip", "netns", "add", name)
        stack.callback(_run, "ip", "netns", "del", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
        config = {
            "features": {"containerd-snapshotter": containerd},
            "iptables": wire is not None,
            "ip6tables": False,
        }
        if wire:  # with its rules, since the containers' addresses mean nothing at the other end
            config["insecure-registries"] = [f"{wire.here}/32"]
            _run("ip", "link", "set", wire.name + "b", "netns", name)
            _run("ip", "-n", name, "addr", "add", f"{wire.there}/30", "dev", wire.name + "b")
            _run("ip", "-n", name, "link", "set", wire.name + "b", "up")
        (folder / "daemon.json").write_text(json.dumps(config))
        socket = run / "docker.sock"
        log = stack.enter_context((folder / "dockerd.log").open("wb"))
        command = [
            "nsenter",
            f"--net=/run/netns/{name}",
            "dockerd",
            f"--config-file={folder / 'daemon.json'}",
            f"--data-root={data}",
            f"--exec-root={run / 'exec'}",
            f"--pidfile={run / 'docker.pid'}",
            f"--host=unix://{socket}",
        ]
        process = _spawn(command, log)
        started = stack.enter_context(contextlib.ExitStack())
        started.callback(_stop, process)
        daemon = Daemon(_connect(process, socket, folder / "dockerd.log"), process, folder, socket, command)
        started.pop_all()
        stack.callback(lambda: _stop(daemon.process))
        stack.callback(lambda: daemon.client.close())
        stack.callback(_remove_containers, daemon)
        yield daemon


def _spawn(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
    )


def _processes_of(*folders: Path) -> list[int]:
    """Processes that were started with a path below these folders among their arguments, and the children of these."""
    found, parents = set(), {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if any(str(place) in (folder / "cmdline").read_text(errors="replace") for place in folders):
                found.add(int(folder.name))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _connect(process: subprocess.Popen[bytes], socket: Path, log: Path) -> docker.DockerClient:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if socket.exists():
            client = docker.DockerClient(base_url=f"unix://{socket}", timeout=120)
            with contextlib.suppress(DockerException, requests.RequestException):
                client.ping()
                return client
            client.close()
        time.sleep(0.1)
    raise RuntimeError(
        f"The second engine did not start. The end of its log:\n{log.read_text(errors='replace')[-2000:]}"
    )


def _remove_containers(daemon: Daemon) -> None:
    """Containers outlive an engine that is killed; ask it to end them while it answers."""
    with contextlib.suppress(DockerException, requests.RequestException, OSError):
        for container in daemon.client.containers.list(all=True):
            container.remove(force=True, v=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End dockerd, which ends its own containerd; kill its whole process group where it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def _unmount_below(*folders: Path) -> None:
    """Unmount all that lies below these folders, deepest first."""
    mounts = [line.split()[1].replace("\\040", " ") for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted(
        (each for each in mounts if any(Path(each).is_relative_to(folder) for folder in folders)),
        key=len,
        reverse=True,
    ):
        subprocess.run(["umount", "-l", mount], capture_output=True, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)
