"""What a container uses: one answer of the engine's statistics, read as percent of a CPU and bytes of memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Load:
    """What a container uses: percent of one CPU, bytes of memory without the page cache, and its limit in bytes."""

    cpu_percent: float
    memory_bytes: int
    limit_bytes: int


def load(stats: Mapping[str, Any]) -> Load | None:
    """Read one answer of GET /containers/{id}/stats, None where the container does not run. Pure.

    The formulas are those of the Docker Engine API reference: CPU time used over CPU time passed, times the number of CPUs;
    memory usage less `inactive_file` (cgroup v2) or `total_inactive_file` (v1).
    """
    cpu, before = stats.get("cpu_stats") or {}, stats.get("precpu_stats") or {}
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    used = cpu["cpu_usage"]["total_usage"] - (before.get("cpu_usage") or {}).get("total_usage", 0)
    passed = cpu.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    details = memory.get("stats") or {}
    cache = details.get("inactive_file", details.get("total_inactive_file", 0))
    percent = 100 * used / passed * cpu.get("online_cpus", 1) if passed > 0 and used >= 0 else 0.0
    return Load(percent, max(0, memory["usage"] - cache), memory.get("limit", 0))
