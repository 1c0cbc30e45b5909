"""What workers bring and cost: the same server with several worker processes and CPUs, under the same load, one way after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import docker
import pandas as pd
from docker.models.containers import Container

from dockerlab.containers import container, load_generator, stats
from dockerlab.core import polling

COLUMNS = ["cpus", "workers", "per_second", "p95_ms", "memory_mb", "cpu_ms"]


def compare(
    image: str,
    ways: Sequence[tuple[float, int]],
    picture: Path,
    client: docker.DockerClient,
    requests: int = 20,
    clients: int = 8,
    rounds: int = 2,
) -> pd.DataFrame:
    """One row for each (cpus, workers): answers a second, p95 latency, memory, CPU time for a picture. Asks the engine.

    All are started first and measured one after the other, so that no start disturbs a measurement; the better of `rounds` rounds counts,
    since what else this machine does can only slow a server down.
    """
    request, rows = load_generator.picture(picture), []
    with ExitStack() as running:
        servers = [
            running.enter_context(
                container.running(
                    image, client=client, command=serve(workers), nano_cpus=int(cpus * 1e9), timeout=120
                )
            )
            for cpus, workers in ways
        ]
        for (_, workers), server in zip(ways, servers, strict=True):
            polling.wait_until(
                lambda server=server, workers=workers: (
                    server.container.logs().count(b" is ready ") >= workers
                ),
                60,
                0.1,
            )
        for server in servers:
            load_generator.run(
                server.url, request, clients, clients
            )  # the first answers of a process are slower
        used = [cpu_seconds(server.container) for server in servers]
        seen = [
            [load_generator.run(server.url, request, requests, clients) for server in servers]
            for _ in range(rounds)
        ]
        for number, ((cpus, workers), server) in enumerate(zip(ways, servers, strict=True)):
            tries = [each[number] for each in seen]
            if failed := [sample for each in tries for sample in each.failed]:
                raise container.ContainerFailed(
                    f"{len(failed)} requests failed with {workers} workers.",
                    failed[0].error or f"Status {failed[0].status}.",
                )
            best = max(tries, key=lambda each: each.per_second)
            spent = 1000 * (cpu_seconds(server.container) - used[number]) / (rounds * requests)
            rows.append(
                (
                    cpus,
                    workers,
                    best.per_second,
                    best.percentile(0.95),
                    memory_bytes(server.container) / 1e6,
                    spent,
                )
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def serve(workers: int) -> list[str]:
    """The command of a server with so many worker processes."""
    return ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--workers", str(workers)]


def memory_bytes(of: Container) -> int:
    """What `docker stats` shows as memory: in use, without file pages that the kernel can drop. Asks the engine."""
    used = stats.load(of.stats(stream=False, one_shot=True))
    return used.memory_bytes if used else 0


def cpu_seconds(of: Container) -> float:
    """CPU time that a container has used since it started. Asks the engine."""
    nanoseconds: int = of.stats(stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]["total_usage"]
    return nanoseconds / 1e9
