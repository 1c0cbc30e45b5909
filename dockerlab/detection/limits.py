"""What a memory and a CPU limit do to a running detection API: how fast it answers, or how it dies."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import docker
import pandas as pd
import requests

from dockerlab.containers import container
from dockerlab.detection import benchmark

REQUESTS = 12


@dataclass(frozen=True)
class UnderLimits:
    """One try: limits in MB (10⁶ bytes) and CPUs; median and slowest answer in milliseconds, None where it did not answer."""

    memory_mb: int
    cpus: float
    median_ms: float | None
    slowest_ms: float | None
    exit_code: int | None
    oom_killed: bool

    @property
    def survived(self) -> bool:
        """Whether it answered every request."""
        return self.median_ms is not None

    def __str__(self) -> str:
        limits = f"{self.memory_mb} MB, {self.cpus:g} CPU{'' if self.cpus == 1 else 's'}"
        if self.survived:
            return f"{limits}: {self.median_ms:.0f} ms (slowest {self.slowest_ms:.0f} ms)"
        how = "killed by the kernel for memory" if self.oom_killed else "ended"
        return f"{limits}: {how}, exit code {self.exit_code}"


def try_limits(image: str, memory_mb: int, cpus: float, client: docker.DockerClient, requests_sent: int = REQUESTS) -> UnderLimits:
    """Start `image` under both limits (no swap), send it pictures one after another, and say what became of it. Asks the engine."""
    size = memory_mb * 1_000_000
    options = {"mem_limit": size, "memswap_limit": size, "nano_cpus": int(cpus * 1e9)}
    with container.running(image, ready=None, client=client, **options) as service:

        def healthy_or_over() -> bool:
            try:
                return requests.get(f"{service.url}/health", timeout=5).ok
            except requests.RequestException:
                return _over(service)

        container.wait_until(healthy_or_over, 120, interval=0.1)
        try:
            times = benchmark.latencies(service.url, requests_sent)
            return UnderLimits(memory_mb, cpus, statistics.median(times), max(times), None, False)
        except requests.RequestException:
            container.wait_until(lambda: _over(service), 10, interval=0.1)
            state = service.container.attrs["State"]
            return UnderLimits(memory_mb, cpus, None, None, state["ExitCode"], state["OOMKilled"])


def _over(service: container.Running) -> bool:
    service.container.reload()
    return service.container.status in ("exited", "dead")


def frame(tries: list[UnderLimits]) -> pd.DataFrame:
    """One row a try: memory, CPUs, median and slowest answer, and what became of the container. Pure."""
    rows = [(each.memory_mb, each.cpus, each.median_ms, each.slowest_ms, "answers" if each.survived else ("OOM killed" if each.oom_killed else "ended"))
            for each in tries]
    return pd.DataFrame(rows, columns=["memory, MB", "CPUs", "median, ms", "slowest, ms", "outcome"]).round(1)
