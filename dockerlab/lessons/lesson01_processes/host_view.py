"""A container seen from the engine's machine: its processes, namespaces and cgroup.

The /proc of a notebook is the engine's only where both are one Linux machine and the reader is root. Docker Desktop and remote
engines keep theirs elsewhere. So a helper container that shares the engine's own process list looks, and the answer is the
same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker
import pandas as pd
from docker.errors import DockerException
from docker.models.containers import Container

from dockerlab.core.errors import CourseError
from dockerlab.engine import object_labels
from dockerlab.images import base_images

# What each kind of namespace gives a process of its own, in the order of namespaces(7); one kind a row of the table.
KINDS = {
    "mnt": "file systems",
    "uts": "host name",
    "ipc": "shared memory",
    "pid": "process numbers",
    "net": "network cards, ports",
    "cgroup": "view of limits",
    "user": "user numbers",
    "time": "clocks since boot",
}
# Limits and counts, as cgroups of version 2 and of version 1 name them.
FILES = (
    "memory.max",
    "memory.current",
    "cpu.max",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
)
# Only reads; runs in the helper, whose /proc is the engine's.
_SCRIPT = """
import json, os, sys
def status(pid):
    lines = open(f'/proc/{pid}/status').read().splitlines()
    return {key: value.split() for key, _, value in (line.partition(':') for line in lines)}
def links(pid):
    return {kind: os.readlink(f'/proc/{pid}/ns/{kind}') for kind in os.listdir(f'/proc/{pid}/ns')}
def read(path):
    try:
        return open(path).read().strip()
    except OSError:
        return None
pid, family = int(sys.argv[1]), []
cgroup = read(f'/proc/{pid}/cgroup')
parent = int(status(pid)['PPid'][0])
here = pid
while here > 0:
    facts = status(here)
    family.append([here, facts['Name'][0], [int(number) for number in facts['NSpid']]])
    here = int(facts['PPid'][0])
files = {}
for line in cgroup.splitlines():
    _, names, path = line.split(':', 2)
    for folder in ([names, *names.split(',')] if names else ['', 'unified']):
        for name in sys.argv[2:]:
            where = os.path.join('/sys/fs/cgroup', folder, path.strip('/'), name)
            value = read('/engine' + where)
            if value is not None:
                files[where] = value
print(json.dumps({'namespaces': [links(pid), links(parent) if parent else {}], 'family': family, 'cgroup': cgroup, 'files': files}))
"""


@dataclass(frozen=True)
class Process:
    """One process of the engine's machine; `inside` is its number in its innermost process namespace."""

    pid: int
    name: str
    inside: int


@dataclass(frozen=True)
class View:
    """What the engine's machine knows about the main process of a container.

    `family` begins with that process and ends with the first process of the machine; `own` and `outside` hold the links of
    /proc/PID/ns of the process and of its parent, which belongs to the machine; `files` are limits by path. Where the engine lets
    nobody see its machine, `outside` is empty and the family ends inside the container.
    """

    family: tuple[Process, ...]
    own: Mapping[str, str]
    outside: Mapping[str, str]
    cgroup: str
    files: Mapping[str, str]

    @property
    def process(self) -> Process:
        """The container's main process."""
        return self.family[0]

    def shared(self) -> list[str]:
        """The kinds of namespace that the process shares with the machine."""
        return [kind for kind in KINDS if kind in self.own and self.own[kind] == self.outside.get(kind)]

    def ancestors(self) -> pd.DataFrame:
        """One row a process, from the container's up to the machine's first: name, number outside, number inside."""
        rows = [(each.name, each.pid, each.inside) for each in self.family]
        return pd.DataFrame(rows, columns=["process", "number on the machine", "number in its own namespace"])

    def namespaces(self) -> pd.DataFrame:
        """One row a kind of namespace: what it isolates, the two numbers that the kernel gives, and whether it is shared."""
        rows = [
            (kind, what, _number(self.own[kind]), _number(self.outside.get(kind, "")), self._verdict(kind))
            for kind, what in KINDS.items()
            if kind in self.own
        ]
        return (
            pd.DataFrame(
                rows, columns=["namespace", "isolates", "in the container", "on the machine", "so it is"]
            )
            .set_index("namespace")
            .rename_axis(None)
        )

    def _verdict(self, kind: str) -> str:
        if kind not in self.outside:
            return "not told by this engine"
        return "shared" if self.own[kind] == self.outside[kind] else "its own"

    def limits(self) -> pd.DataFrame:
        """One row a limit or count of the cgroup: the file under /sys/fs/cgroup and what it holds now."""
        rows = [(path.rpartition("/")[2], value, short(path)) for path, value in sorted(self.files.items())]
        return pd.DataFrame(rows, columns=["file", "holds", "where"]).set_index("file").rename_axis(None)

    def cgroup_path(self) -> str:
        """The cgroup that holds the process's memory account, ids cut short."""
        fields = [line.split(":", 2) for line in self.cgroup.splitlines()]
        chosen = next(
            (path for _, names, path in fields if "memory" in names.split(",")),
            fields[-1][2] if fields else "",
        )
        return short(chosen)

    def limit(self, *names: str) -> str:
        """What the first of these files that exists holds, or ""; the two versions of cgroups name them differently."""
        return next(
            (value for name in names for path, value in self.files.items() if path.endswith(f"/{name}")), ""
        )

    def memory_limit(self) -> int | None:
        """Bytes of memory that the cgroup may use; None where there is no limit."""
        text = self.limit("memory.max", "memory.limit_in_bytes")
        return int(text) if text.isdecimal() and int(text) < 2**62 else None

    def cpu_limit(self) -> float | None:
        """CPUs that the cgroup may use; None where there is no limit."""
        quota, _, period = self.limit("cpu.max").partition(" ")
        quota, period = quota or self.limit("cpu.cfs_quota_us"), period or self.limit("cpu.cfs_period_us")
        return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def short(path: str) -> str:
    """A path with the long ids in it cut to 12 digits."""
    parts = [
        part if len(part) < 64 else part.replace(_longest_hex(part), _longest_hex(part)[:12] + "…")
        for part in path.split("/")
    ]
    return "/".join(parts)


def look(client: docker.DockerClient, container: Container) -> View:
    """Look at a running container from the engine's machine. Asks the engine: a helper container runs for a moment.

    Where the engine allows no helper that sees its machine, the view ends at the container's edge. Raises CourseError where the
    container does not run.
    """
    container.reload()
    pid = container.attrs["State"]["Pid"]
    if not pid:
        raise CourseError(f"{container.name} does not run.", fix="Start it first.")
    base_images.ensure(base_images.SLIM, client)
    everything = {
        "privileged": True,
        "pid_mode": "host",
        "cgroupns": "host",
        "userns_mode": "host",
        "volumes": {"/sys/fs/cgroup": {"bind": "/engine/sys/fs/cgroup", "mode": "ro"}},
    }
    try:
        return _ask(client, pid, everything)
    except DockerException:  # Docker Desktop's enhanced isolation, for one, refuses such a helper
        return _ask(client, 1, {"pid_mode": f"container:{container.id}", "cap_add": ["SYS_PTRACE"]})


def _ask(client: docker.DockerClient, pid: int, options: Mapping[str, Any]) -> View:
    said = client.containers.run(
        base_images.SLIM,
        ["python", "-c", _SCRIPT, str(pid), *FILES],
        remove=True,
        labels=object_labels.labels(kind="helper"),
        network_mode="none",
        **options,
    )
    return parse(json.loads(said))


def parse(facts: Mapping[str, Any]) -> View:
    """The helper's answer as a View."""
    own, outside = facts["namespaces"]
    family = tuple(Process(pid, name, numbers[-1]) for pid, name, numbers in facts["family"])
    return View(family, own, outside, facts["cgroup"], facts["files"])


def _number(link: str) -> str:
    """`4026531833` of `net:[4026531833]`."""
    return link.partition("[")[2].rstrip("]")


def _longest_hex(text: str) -> str:
    run, best = "", ""
    for letter in text:
        run = run + letter if letter in "0123456789abcdef" else ""
        best = run if len(run) > len(best) else best
    return best
