"""How many CPUs this container may really use.

Runtimes count the host's cores. A container limited by `--cpus 2` on a 64-core host would start 64 threads that
take turns on two cores, so the kernel's own limits are read instead: CPU affinity and the cgroup's CPU quota.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def available_cpus(root: Path = ROOT, affinity: int | None = None) -> int:
    """Whole CPUs, at least 1: the smaller of affinity and quota; a quota of 1.5 CPUs counts as 1."""
    if affinity is None:
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(affinity), *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Every CPU quota that applies, in CPUs: cgroup v2 `cpu.max`, cgroup v1 `cpu.cfs_quota_us`."""
    mount = root / "sys/fs/cgroup"
    own = _own_groups(root)
    for folder in _upwards(mount, own.get("", "/")):
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            yield int(words[0]) / int(words[1])
    for controller in ("cpu", "cpu,cpuacct"):
        for folder in _upwards(mount / controller, own.get("cpu", "/")):
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            if quota and period and int(quota) > 0:
                yield int(quota) / int(period)


def _own_groups(root: Path) -> dict[str, str]:
    """Controller name -> path of this process's group; "" is the one of cgroup v2 (see cgroups(7))."""
    groups = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it: a limit on any of them counts."""
    inside = Path(path.strip("/")) if ".." not in path else Path()
    yield from (mount / part for part in (inside, *inside.parents) if part != Path())
    yield mount


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
