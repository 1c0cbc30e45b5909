"""Load is bounded, stays on this machine, and counts every request once, good or bad."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dockerlab.containers import load_generator


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    statuses: list[int] = []
    bodies: list[bytes] = []
    lock = threading.Lock()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            self.bodies.append(body)
            status = self.statuses.pop() if self.statuses else 200
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.send_header("x-version", "7")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.statuses, Handler.bodies = [], []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_exactly_so_many_requests_are_sent(server: str) -> None:
    seen = load_generator.run(server, load_generator.Request(), requests=37, clients=5)
    assert len(seen.samples) == len(Handler.bodies) == 37
    assert not seen.failed and seen.per_second > 0 and {sample.version for sample in seen.samples} == {"7"}


def test_a_refusal_and_a_broken_connection_are_failures_and_the_rest_goes_on(server: str) -> None:
    Handler.statuses = [503, 0]
    seen = load_generator.run(server, load_generator.Request(), requests=10, clients=1)
    assert sorted(sample.status for sample in seen.failed) == [0, 503]
    assert len(seen.samples) == 10 and next(sample.error for sample in seen.failed if not sample.status)


def test_ready_waits_for_a_200(server: str) -> None:
    Handler.statuses = [200, 503, 503]
    assert load_generator.ready(server, timeout=5) and len(Handler.bodies) == 3
    assert not load_generator.ready("http://127.0.0.1:9", timeout=0.2)


def test_nobody_listens(server: str) -> None:
    seen = load_generator.run("http://127.0.0.1:9", load_generator.Request(), requests=2, clients=1)
    assert [sample.error for sample in seen.samples] == ["ConnectionRefusedError"] * 2
    assert seen.percentile(0.5) != seen.percentile(0.5)


def test_a_slow_upload_takes_its_time_and_arrives_whole(server: str, tmp_path: Path) -> None:
    (tmp_path / "scene.jpg").write_bytes(bytes(range(256)) * 9)
    request = load_generator.picture(tmp_path / "scene.jpg", upload_seconds=0.4)
    seen = load_generator.run(server, request, requests=1, clients=1)
    assert not seen.failed and seen.samples[0].seconds >= 0.4
    assert Handler.bodies == [request.body] and bytes(range(256)) * 9 in request.body


def test_traffic_lasts_as_long_as_its_block_and_then_ends(server: str) -> None:
    with load_generator.traffic(
        server,
        load_generator.Request(),
        load_generator.Request(path="/slow", upload_seconds=0.2, body=b"x" * 40, method="POST"),
        clients=2,
        pause=0.01,
    ) as seen:
        time.sleep(0.5)
    before = len(seen.samples)
    time.sleep(0.1)
    assert before == len(seen.samples) > 10 and not seen.failed and 0.5 <= seen.seconds < 5
    assert list(seen.frame().columns) == ["started", "seconds", "status", "version", "error"]
    assert seen.frame()["started"].is_monotonic_increasing


@pytest.mark.parametrize("url", ["http://example.org", "https://127.0.0.1:1", "http://10.0.0.1:8000"])
def test_other_machines_are_refused(url: str) -> None:
    with pytest.raises(load_generator.LoadRefused, match="not on this machine"):
        load_generator.run(url, load_generator.Request(), requests=1)
    with pytest.raises(load_generator.LoadRefused), load_generator.traffic(url):
        pass


@pytest.mark.parametrize("requests", [0, load_generator.MOST_REQUESTS + 1])
def test_a_run_has_bounds(requests: int) -> None:
    with pytest.raises(load_generator.LoadRefused):
        load_generator.run("http://127.0.0.1:1", load_generator.Request(), requests=requests)


def test_percentiles_look_at_good_answers_only() -> None:
    seen = load_generator.Seen(
        [load_generator.Sample(0, number / 1000, 200) for number in range(1, 101)]
        + [load_generator.Sample(0, 99, 503)],
        seconds=10,
    )
    assert seen.percentile(0.5) == pytest.approx(50.5) and seen.percentile(0.95) == pytest.approx(95.05)
    assert seen.per_second == 10 and repr(seen) == "101 requests, 1 failed"
