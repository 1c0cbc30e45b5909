"""The servers that the course starts beside builds serve those for whom they were started, and pass nothing on that could be misread."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from dockerlab.core.polling import wait_until
from dockerlab.detection import wheel_index
from dockerlab.lessons.lesson04_cache import download_meter

PLAIN = requests.Session()
PLAIN.trust_env = False


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def program(source: str, port: int, *words: str, **environment: str) -> Iterator[str]:
    """Run Python text that serves on this port until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", source, *words], env={"PATH": os.environ["PATH"], **environment}
    )
    try:
        assert wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), 30)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def web(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A server that notes what it is asked, as a proxy or as itself."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path} {self.headers.get('Proxy-Authorization', '')}".strip())
            self.send_response(status)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        do_CONNECT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


METER = download_meter._PROXY.read_text()


def test_the_meter_serves_its_builds_only() -> None:
    port = free()
    with web() as (address, asked), program(METER, port, str(port), METER_LOGIN="meter:right") as meter:
        for login, status in (("", 407), ("meter:wrong@", 407), ("meter:right@", 200)):
            answer = PLAIN.get(
                f"http://{address}/file", proxies={"http": f"http://{login}{meter}"}, timeout=10
            )
            assert answer.status_code == status
        assert asked == ["GET /file"]  # and its password goes no further
        with pytest.raises(requests.exceptions.ProxyError, match="407"):
            PLAIN.get(f"https://{address}/", proxies={"https": f"http://{meter}"}, timeout=10)
        assert PLAIN.get(f"http://{meter}/received", timeout=10).json()["127.0.0.1"] > 5


def test_the_meter_goes_on_by_the_sites_proxy() -> None:
    port = free()
    with web(404) as (proxy, asked), web() as (exempt, directly):
        through = {
            "http": f"http://meter:right@127.0.0.1:{port}",
            "https": f"http://meter:right@127.0.0.1:{port}",
        }
        site = {
            "HTTP_PROXY": f"http://mira:s3cret@{proxy}",
            "HTTPS_PROXY": f"http://{proxy}",
            "NO_PROXY": "127.0.0.1",
        }
        with program(METER, port, str(port), METER_LOGIN="meter:right", **site):
            assert (
                PLAIN.get("http://packages.invalid/simple?a=b", proxies=through, timeout=10).status_code
                == 404
            )
            with pytest.raises(requests.exceptions.ProxyError):
                PLAIN.get("https://packages.invalid/", proxies=through, timeout=10)
            assert PLAIN.get(f"http://{exempt}/here", proxies=through, timeout=10).status_code == 200
    assert asked == [
        "GET http://packages.invalid/simple?a=b Basic bWlyYTpzM2NyZXQ=",
        "CONNECT packages.invalid:443",
    ]
    assert directly == ["GET /here"]


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/Torch_Vision/", 302, "http://next.example/simple/torch-vision/"),
        ("/x%0d%0aSet-Cookie:%20a=b/", 404, None),
        ("/%0aX/", 404, None),
        ("/", 404, None),
        ("/\u00e4/", 404, None),
    ],
)
def test_the_wheel_server_puts_nothing_of_a_neighbour_into_a_header(
    tmp_path: Path, path: str, status: int, location: str | None
) -> None:
    port = free()
    source = (
        wheel_index._SERVER.read_text()
        .replace("PORT = 8901", f"PORT = {port}")
        .replace('"/wheels"', repr(str(tmp_path)))
    )
    with program(source, port, NEXT_INDEX="http://next.example/simple") as server:
        answer = PLAIN.get(f"http://{server}{path}", allow_redirects=False, timeout=10)
    assert answer.status_code == status and "Set-Cookie" not in answer.headers
    assert location is None or answer.headers["Location"] == location


@pytest.mark.parametrize("status", [404, 503])
def test_an_index_that_says_no_is_not_asked_without_a_pause(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web(status) as (address, asked):
        assert not wait_until(lambda: wheel_index._answers(f"http://{address}/torch/"), 1, interval=0.2)
    assert 1 <= len(asked) <= 7
