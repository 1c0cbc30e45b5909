"""What a memory and a CPU limit do to a running detection API: how fast it answers, or how it dies."""

from __future__ import annotations

import statistics

import docker
import requests

from dockerlab.containers import container
from dockerlab.core import polling
from dockerlab.detection import benchmark
from dockerlab.detection.limit_report import UnderLimits

REQUESTS = 12


def try_limits(
    image: str, memory_mb: int, cpus: float, client: docker.DockerClient, requests_sent: int = REQUESTS
) -> UnderLimits:
    """Start `image` under both limits (no swap), send it pictures one after another, and say what became of it. Asks the engine."""
    size = memory_mb * 1_000_000
    with container.running(
        image, ready=None, client=client, mem_limit=size, memswap_limit=size, nano_cpus=int(cpus * 1e9)
    ) as service:

        def healthy_or_over() -> bool:
            try:
                return requests.get(f"{service.url}/health", timeout=5).ok
            except requests.RequestException:
                return _over(service)

        polling.wait_until(healthy_or_over, 120, interval=0.1)
        try:
            times = benchmark.latencies(service.url, requests_sent)
            return UnderLimits(memory_mb, cpus, statistics.median(times), max(times), None, False)
        except requests.RequestException:
            polling.wait_until(lambda: _over(service), 10, interval=0.1)
            state = service.container.attrs["State"]
            return UnderLimits(memory_mb, cpus, None, None, state["ExitCode"], state["OOMKilled"])


def _over(service: container.Running) -> bool:
    service.container.reload()
    return service.container.status in ("exited", "dead")
