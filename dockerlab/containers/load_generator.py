"""Bounded load on a service of this machine: so many requests by so many clients, or as many as fit into a `with` block.

Only loopback addresses are taken, and every run is bounded in requests and seconds: this measures your own container, it attacks nobody.
"""

from __future__ import annotations

import http.client
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from dockerlab.core import polling
from dockerlab.core.errors import CourseError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_REQUESTS = 20_000
MOST_SECONDS = 120
MOST_BYTES = 10_000_000  # of one answer
BOUNDARY = "dockerlab-load"


class LoadRefused(CourseError):
    """A load that would go to another machine, or has no bounds."""


@dataclass(frozen=True)
class Sample:
    """One request: when it began (seconds since the load began), how long it took, its status (0: no answer), who answered."""

    started: float
    seconds: float
    status: int
    version: str = ""
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was answered with 200."""
        return self.status == 200


@dataclass(frozen=True)
class Request:
    """What is sent each time: a method, a path and a body. With `upload_seconds` the body goes out in pieces, as over a bad line."""

    method: str = "GET"
    path: str = "/health"
    body: bytes = b""
    content_type: str = ""
    upload_seconds: float = 0.0
    authorization: str = ""


@dataclass
class Seen:
    """The samples of a run, in the order in which they ended; `seconds` is how long it took."""

    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def failed(self) -> list[Sample]:
        """Requests that were not answered with 200."""
        return [sample for sample in self.samples if not sample.ok]

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return (len(self.samples) - len(self.failed)) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds within which `share` (0 to 1) of the good answers came; NaN where there is none."""
        times = [sample.seconds for sample in self.samples if sample.ok]
        return float(1000 * np.percentile(times, 100 * share)) if times else math.nan

    def frame(self) -> pd.DataFrame:
        """One row a request: started, seconds, status, version, error."""
        columns = list(Sample.__dataclass_fields__)
        return pd.DataFrame(
            [[getattr(sample, name) for name in columns] for sample in self.samples], columns=columns
        ).sort_values("started", ignore_index=True)

    def __repr__(self) -> str:
        return f"{len(self.samples)} requests, {len(self.failed)} failed"


def picture(path: Path, confidence: float | None = None, upload_seconds: float = 0.0) -> Request:
    """A POST of this picture to /detect."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    query = "" if confidence is None else f"?confidence={confidence}"
    return Request(
        "POST", f"/detect{query}", body, f"multipart/form-data; boundary={BOUNDARY}", upload_seconds
    )


def ready(url: str, path: str = "/health", timeout: float = 60) -> bool:
    """Wait until GET `path` is answered with 200, at most `timeout` seconds. Raises LoadRefused."""
    host, port = _loopback(url)

    def answers() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=3)
        try:
            return _once(connection, Request(path=path), 0).ok
        finally:
            connection.close()

    return polling.wait_until(answers, timeout, 0.05)


def run(url: str, request: Request, requests: int, clients: int = 4, timeout: float = 30) -> Seen:
    """Send exactly `requests` requests, `clients` at a time, each client over one connection. Raises LoadRefused."""
    host, port = _loopback(url)
    if not 1 <= requests <= MOST_REQUESTS:
        raise LoadRefused(
            f"{requests} requests are not between 1 and {MOST_REQUESTS}.", fix="Choose a number in between."
        )
    left, lock, seen = iter(range(requests)), threading.Lock(), Seen()

    def client() -> None:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        while time.monotonic() - seen.began < MOST_SECONDS:
            with lock:
                if next(left, None) is None:
                    break
            seen.samples.append(_once(connection, request, seen.began))
        connection.close()

    _together([client] * clients)
    seen.seconds = time.monotonic() - seen.began
    return seen


@contextmanager
def traffic(
    url: str, *requests: Request, clients: int = 2, pause: float = 0.05, timeout: float = 15
) -> Iterator[Seen]:
    """Send requests for as long as the block lasts (at most MOST_SECONDS), each over a new connection; yields what is seen.

    Each kind of request gets `clients` clients of its own, which wait `pause` seconds after every answer. When the block ends,
    requests under way are waited for. Raises LoadRefused.
    """
    host, port = _loopback(url)
    seen, enough = Seen(), threading.Event()

    def client(request: Request, delay: float) -> None:
        enough.wait(delay)
        while (
            not enough.is_set()
            and time.monotonic() - seen.began < MOST_SECONDS
            and len(seen.samples) < MOST_REQUESTS
        ):
            connection = http.client.HTTPConnection(host, port, timeout=timeout + request.upload_seconds)
            seen.samples.append(_once(connection, request, seen.began))
            connection.close()
            enough.wait(pause)

    # Clients that upload slowly begin one after the other, so that at any moment one of them is half-way.
    threads = [
        threading.Thread(
            target=client, args=(request, number * (request.upload_seconds or pause) / clients), daemon=True
        )
        for request in requests or (Request(),)
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        enough.set()
        for thread in threads:
            thread.join()
        seen.seconds = time.monotonic() - seen.began


def _once(connection: http.client.HTTPConnection, request: Request, began: float) -> Sample:
    """One request over this connection; whatever goes wrong becomes part of the sample."""
    started = time.monotonic()
    try:
        if request.upload_seconds:
            _trickle(connection, request)
        else:
            connection.request(request.method, request.path, request.body or None, _headers(request))
        answer = connection.getresponse()
        _drain(answer, started + (connection.timeout or MOST_SECONDS))
        status, version, error = answer.status, answer.headers.get("x-version", ""), ""
    except (OSError, http.client.HTTPException) as problem:
        connection.close()
        status, version, error = 0, "", type(problem).__name__
    return Sample(started - began, time.monotonic() - started, status, version, error)


def _drain(answer: http.client.HTTPResponse, deadline: float) -> None:
    """Read an answer to its end. Raises TimeoutError where that does not come by then or after too many bytes, IncompleteRead where it comes early."""
    read = 0
    while piece := answer.read1(1 << 16):
        read += len(piece)
        if read > MOST_BYTES or time.monotonic() > deadline:
            raise TimeoutError
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    answer.close()  # `read1` leaves it open, and so the connection busy


def _trickle(connection: http.client.HTTPConnection, request: Request, pieces: int = 20) -> None:
    """Send the body in `pieces` over `upload_seconds`."""
    connection.putrequest(request.method, request.path)
    for name, value in (_headers(request) | {"Content-Length": str(len(request.body))}).items():
        connection.putheader(name, value)
    connection.endheaders()
    step = -(-len(request.body) // pieces)
    for start in range(0, len(request.body), step):
        connection.send(request.body[start : start + step])
        time.sleep(request.upload_seconds / pieces)


def _headers(request: Request) -> dict[str, str]:
    headers = {"Content-Type": request.content_type, "Authorization": request.authorization}
    return {name: value for name, value in headers.items() if value}


def _together(functions: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _loopback(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise LoadRefused(
            f"{url} is not on this machine.",
            "The course puts load on its own containers only.",
            "Use the address that `docker port` shows.",
        )
    return parts.hostname, parts.port or 80
