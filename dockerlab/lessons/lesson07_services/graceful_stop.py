"""Stop services while they answer a request, all at the same moment, and see what becomes of the request."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import requests
from docker.models.containers import Container

from dockerlab.containers.container import published
from dockerlab.core.polling import wait_until
from dockerlab.course.workbench import stop_all

BEGUN_SECONDS = 0.7  # by then a request that was sent is being worked on


def stop_while_busy(
    containers: Mapping[str, Container], path: str, patience: int, port: int = 8000
) -> pd.DataFrame:
    """Send GET `path` to every container, stop them all while they work on it; one row each: seconds, exit code, request, PID 1.

    `patience` is that of `docker stop`, in seconds. Asks the engine.
    """
    urls = {name: published(container, port) for name, container in containers.items()}
    for url in urls.values():
        wait_until(lambda url=url: _answers(f"{url}/"), 30)
    fates: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name: fates.update({name: _fate(urls[name] + path)}), daemon=True)
        for name in urls
    ]
    for thread in threads:
        thread.start()
    time.sleep(BEGUN_SECONDS)
    stops = stop_all(containers, timeout=patience)
    for thread in threads:
        thread.join(5)
    return stops.assign(request=pd.Series({name: fates.get(name, "lost") for name in urls}))[
        ["PID 1", "seconds", "exit code", "request"]
    ]


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code < 500
    except requests.RequestException:
        return False


def _fate(url: str) -> str:
    try:
        return "answered" if requests.get(url, timeout=30).ok else "refused"
    except requests.RequestException:
        return "lost"


def zombies(containers: Mapping[str, Container], wanted: int, timeout: float = 10) -> dict[str, int]:
    """How many processes of each container have ended and wait for PID 1 to take note. Asks the engine.

    Looks until one of them has `wanted`, at most `timeout` seconds.
    """

    # Asked inside: `docker top` leaves zombies out.
    ask = ["sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"]

    def count(container: Container) -> int:
        return int(container.exec_run(ask).output or 0)

    def counted() -> dict[str, int]:
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(containers, pool.map(count, containers.values()), strict=True))

    wait_until(lambda: max(counted().values(), default=0) >= wanted, timeout, interval=0.2)
    return counted()
