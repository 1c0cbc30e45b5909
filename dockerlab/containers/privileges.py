"""What the kernel lets a process do, read from its /proc/PID/status, and what an engine was told to let a container do. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LOOK = ["cat", "/proc/self/status"]
# linux/capability.h, in the order of their bits
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN "
    "NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
    "CHECKPOINT_RESTORE"
).split()
_SECCOMP = {"0": "off", "1": "strict", "2": "filter"}


@dataclass(frozen=True)
class Rights:
    """`user` is the effective id; `seccomp` is off, strict or filter."""

    user: int
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    seccomp: str


def capabilities(bits: int) -> tuple[str, ...]:
    """The names of a set of capabilities, as /proc writes it: bit 0 is CHOWN."""
    return tuple(
        CAPABILITIES[bit] if bit < len(CAPABILITIES) else f"number {bit}"
        for bit in range(bits.bit_length())
        if bits >> bit & 1
    )


def read(status: str) -> Rights:
    """The rights that a /proc/PID/status states."""
    fields = {
        name: value.split()
        for name, _, value in (line.partition(":") for line in status.splitlines())
        if value.strip()
    }
    return Rights(
        int(fields["Uid"][1]),
        capabilities(int(fields["CapEff"][0], 16)),
        fields.get("NoNewPrivs", ["0"])[0] == "1",
        _SECCOMP.get(fields.get("Seccomp", ["0"])[0], "off"),
    )


@dataclass(frozen=True)
class Mount:
    """One mount of a container; `source` is a path of the host where `kind` is bind."""

    kind: str
    source: str
    target: str
    writable: bool


# Folders that hold the host itself; of some all that is below them, too.
HOST_FOLDERS = {
    "/",
    *(
        f"/{name}"
        for name in "bin boot dev etc home lib lib64 opt proc root run sbin srv sys usr var var/lib".split()
    ),
}
HOST_TREES = ("/boot", "/dev", "/proc", "/root", "/sys", "/var/lib/containerd", "/var/lib/docker")
SOCKETS = re.compile(r"(docker|containerd|podman|buildkitd|crio)[\w.-]*\.sock$")
MANY = 300  # processes: who may start so many is not limited


def commands_engine(mount: Mount, socket: str) -> bool:
    """Whether a mount brings the engine's socket along, under whatever name: itself, or a folder that holds it."""
    if mount.kind not in ("bind", ""):
        return False
    source, wanted = _plain(mount.source), _plain(socket)
    return source == wanted or wanted.startswith(f"{source.rstrip('/')}/") or bool(SOCKETS.search(source))


def holds_host(mount: Mount) -> bool:
    """Whether a mount brings a part of the host's own system along."""
    source = _plain(mount.source)
    return mount.kind == "bind" and (
        source in HOST_FOLDERS or any(source == tree or source.startswith(f"{tree}/") for tree in HOST_TREES)
    )


def _plain(path: str) -> str:
    """A path without `..` and doubled slashes; /var/run is /run on every system that has both."""
    plain = re.sub(r"^/+", "/", posixpath.normpath(path))
    return re.sub(r"^/(var|host_mnt/var|private/var)/run(?=/|$)", "/run", plain)


def opened(attrs: Mapping[str, Any], mounts: Iterable[Mount], socket: str) -> dict[str, str]:
    """What the options of a container open, from its `docker inspect`: attempt of an intruder -> what opens it.

    `socket` is the engine's own, as a path of the host.
    """
    host, found = attrs["HostConfig"], {}
    options = [str(each).replace("=", ":", 1) for each in host.get("SecurityOpt") or []]
    for mount in mounts:
        if commands_engine(mount, socket):
            found["engine"] = f"the engine's socket comes with the mount at {mount.target}"
        if holds_host(mount):
            found["host"] = f"{mount.source} of the host is mounted at {mount.target}"
    spaces = [
        name
        for name, key in (
            ("processes", "PidMode"),
            ("shared memory", "IpcMode"),
            ("network", "NetworkMode"),
            ("host name", "UTSMode"),
            ("users", "UsernsMode"),
        )
        if str(host.get(key) or "") == "host"
    ]
    others = [
        key
        for key in ("PidMode", "IpcMode", "NetworkMode")
        if str(host.get(key) or "").startswith("container:")
    ]
    if spaces:
        found["host"] = f"it shares the host's {spaces[0]}"
    elif others:
        found["host"] = "it shares the namespaces of another container"
    if host.get("Devices") or host.get("DeviceCgroupRules"):
        found["host"] = "devices of the host are open to it"
    if "systempaths:unconfined" in options or (
        host.get("MaskedPaths") == [] and host.get("ReadonlyPaths") == []
    ):
        found.setdefault("host", "the paths in /proc and /sys that Docker hides are open to it")
    if host.get("Privileged"):
        found["host"] = "it runs --privileged"
    if host.get("Privileged") or any(_lets_all_pass(each) for each in options if each.startswith("seccomp:")):
        found["kernel"] = "no filter stands before the kernel"
    limits = [
        host.get("PidsLimit") or 0,
        *(each.get("Hard", 0) for each in host.get("Ulimits") or [] if each.get("Name") == "nproc"),
    ]
    if not any(0 < limit < MANY for limit in limits):
        found["processes"] = "no limit of processes is set"
    return found


def _lets_all_pass(option: str) -> bool:
    """Whether a seccomp option switches the filter off, or names a profile that lets calls pass which the default one refuses."""
    profile = option.partition(":")[2]
    try:
        rules = json.loads(profile)
    except ValueError:
        return profile == "unconfined"
    named = {
        name: rule.get("action")
        for rule in rules.get("syscalls") or []
        for name in rule.get("names") or []
        if not rule.get("args") and not (rule.get("includes") or {}).get("caps")
    }
    return "SCMP_ACT_ALLOW" in (named.get(name, rules.get("defaultAction")) for name in ("keyctl", "unshare"))
