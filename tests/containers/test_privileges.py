"""What the options of a container open, read off `docker inspect`."""

from __future__ import annotations

import json

import pytest

from dockerlab.containers.privileges import Mount, commands_engine, holds_host, opened

SOCKET = "/var/run/docker.sock"
LIMITED = {"PidsLimit": 64, "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/bus"]}
ALLOWS = json.dumps(
    {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["read", "keyctl"], "action": "SCMP_ACT_ALLOW"}],
    }
)
REFUSES = json.dumps(
    {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["unshare"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        ],
    }
)


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ({}, set()),
        ({"Privileged": True}, {"host", "kernel"}),
        ({"PidMode": "host"}, {"host"}),
        ({"IpcMode": "host"}, {"host"}),
        ({"NetworkMode": "host"}, {"host"}),
        ({"UTSMode": "host"}, {"host"}),
        ({"UsernsMode": "host"}, {"host"}),
        ({"PidMode": "container:abc"}, {"host"}),
        ({"NetworkMode": "container:abc"}, {"host"}),
        ({"IpcMode": "private", "NetworkMode": "bridge"}, set()),
        ({"Devices": [{"PathOnHost": "/dev/sda"}]}, {"host"}),
        ({"DeviceCgroupRules": ["b *:* rwm"]}, {"host"}),
        ({"MaskedPaths": [], "ReadonlyPaths": []}, {"host"}),
        ({"SecurityOpt": ["systempaths=unconfined"]}, {"host"}),
        ({"SecurityOpt": ["seccomp=unconfined"]}, {"kernel"}),
        ({"SecurityOpt": ["seccomp:unconfined"]}, {"kernel"}),
        ({"SecurityOpt": [f"seccomp={ALLOWS}"]}, {"kernel"}),
        ({"SecurityOpt": [f"seccomp={REFUSES}"]}, set()),
        ({"SecurityOpt": ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}']}, {"kernel"}),
        ({"PidsLimit": None}, {"processes"}),
        ({"PidsLimit": -1}, {"processes"}),
        ({"PidsLimit": 5000}, {"processes"}),
        ({"PidsLimit": 0, "Ulimits": [{"Name": "nproc", "Hard": 60, "Soft": 60}]}, set()),
        ({"PidsLimit": 0, "Ulimits": [{"Name": "nofile", "Hard": 60, "Soft": 60}]}, {"processes"}),
    ],
)
def test_options_open_what_they_open(host: dict[str, object], found: set[str]) -> None:
    assert opened({"HostConfig": LIMITED | host}, [], SOCKET).keys() == found


@pytest.mark.parametrize(
    "source",
    [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/../run//docker.sock",
        "/var/run",
        "/run/",
        "/",
        "/tmp/mine/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/user/1000/podman/podman.sock",
        "/home/ann/.docker/run/docker.sock",
        "/run/docker.raw.sock",
    ],
)
def test_the_engine_is_known_under_any_path(source: str) -> None:
    assert commands_engine(Mount("bind", source, "/innocent", writable=False), SOCKET)


@pytest.mark.parametrize(
    "source", ["/home/ann/lab", "/var/lib/postgres", "/runs", "/srv/docker.socket.txt", "/tmp/key"]
)
def test_another_path_is_not_the_engine(source: str) -> None:
    assert not commands_engine(Mount("bind", source, "/x", writable=True), SOCKET)


def test_a_socket_of_ones_own_is_found_in_the_folder_that_holds_it() -> None:
    assert commands_engine(
        Mount("bind", "/home/ann/.colima/default", "/x", writable=True),
        "/home/ann/.colima/default/docker.sock",
    )


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("/", True),
        ("/etc", True),
        ("/etc/", True),
        ("/etc/localtime", False),
        ("/proc", True),
        ("/proc/1/root", True),
        ("/sys/fs/cgroup", True),
        ("/dev/sda", True),
        ("/var/lib/docker/volumes", True),
        ("/var/lib/data", False),
        ("/home", True),
        ("/home/ann/lab", False),
        ("/srv/models", False),
        ("//", True),
        ("/x/..", True),
    ],
)
def test_the_host_is_known_by_its_folders(source: str, held: bool) -> None:
    assert holds_host(Mount("bind", source, "/x", writable=False)) is held
    assert not holds_host(Mount("volume", source, "/x", writable=False))
