"""The detection API's limits at a running server: slow and idle connections end, who comes too many is told so, and every answer has its headers."""

from __future__ import annotations

import importlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import uvicorn

from dockerlab.core import polling
from dockerlab.images import build_plan, dockerfile

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "assets" / "detection-api"
CAPSTONE = ROOT / "assets" / "capstone"
SAMPLE = (ROOT / "assets" / "images" / "harbour-noon.jpg").read_bytes()
SHARED = ("formats.py", "pictures.py", "limits.py", "connections.py")
HEAD = b"POST /detect HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000\r\n\r\n"


@pytest.fixture(scope="module")
def app_path() -> Iterator[None]:
    sys.path.insert(0, str(API))
    yield
    sys.path.remove(str(API))


@contextmanager
def serving(application: object) -> Iterator[str]:
    """The address of a uvicorn of this process, started as the images start theirs."""
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=0,
        log_level="warning",
        http="app.connections:Impatient",
        server_header=False,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    assert polling.wait_until(lambda: running.started, 20)
    url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    assert polling.wait_until(lambda: requests.get(f"{url}/health", timeout=5).ok, 20)
    try:
        yield url
    finally:
        running.should_exit = True
        thread.join(20)


class Patient:
    """A detector that works until it is told to end."""

    model, backend = "patient", "none"

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def detect(self, image: object, confidence: float) -> list:
        self.go_on.wait(30)
        return []


@pytest.fixture
def quick(app_path: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Makes the application with a detector; waits that take seconds take tenths."""
    limits, connections = (importlib.import_module(f"app.{name}") for name in ("limits", "connections"))
    for name, value in (("REFUSAL_SECONDS", 0.1), ("GRACE_SECONDS", 0.5), ("MOST_SECONDS", 3)):
        monkeypatch.setattr(limits, name, value)
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    main, settings = (importlib.import_module(f"app.{name}") for name in ("main", "settings"))
    return lambda detector, **options: main.create_app(
        settings.Settings(**options), lambda model, threads: detector
    )


def send(url: str, **options: object) -> requests.Response:
    return requests.post(
        f"{url}/detect", files={"image": ("a.jpg", SAMPLE, "image/jpeg")}, timeout=60, **options
    )


def closed(connection: socket.socket, seconds: float = 10) -> tuple[bytes, float]:
    """What a connection says until the server ends it, and after how many seconds."""
    connection.settimeout(seconds)
    began, said = time.monotonic(), b""
    while part := connection.recv(65536):
        said += part
    return said, time.monotonic() - began


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)))


def test_who_comes_too_many_is_told_so_and_health_goes_on(quick: Callable[..., object]) -> None:
    limits, detector = importlib.import_module("app.limits"), Patient()
    with serving(quick(detector)) as url, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(send, url) for _ in range(60)]
        assert polling.wait_until(
            lambda: sum(each.done() for each in asked) == 60 - limits.MOST_WAITING - 1, 20
        )
        assert requests.get(f"{url}/health", timeout=5).ok
        detector.go_on.set()
        answers = [each.result() for each in asked]
    assert sorted(answer.status_code for answer in answers) == [200] * (limits.MOST_WAITING + 1) + [503] * (
        60 - limits.MOST_WAITING - 1
    )
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1" and "again" in answer.json()["detail"]


def test_who_waits_too_long_is_told_so(quick: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("app.limits"), "WAIT_SECONDS", 0.5)
    detector = Patient()
    with serving(quick(detector)) as url, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(send, url) for _ in range(3)]
        assert polling.wait_until(lambda: sum(each.done() for each in asked) == 2, 20)
        detector.go_on.set()
        assert sorted(each.result().status_code for each in asked) == [200, 503, 503]


def test_bodies_share_one_budget(quick: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("app.limits"), "MOST_BYTES", 3 * len(SAMPLE))
    detector = Patient()
    with serving(quick(detector)) as url, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(send, url) for _ in range(8)]
        assert polling.wait_until(lambda: sum(each.done() for each in asked) >= 6, 20)
        detector.go_on.set()
        assert sorted(each.result().status_code for each in asked) == [200] * 2 + [503] * 6
        assert send(url).status_code == 200  # given back


def test_a_slow_body_ends(quick: Callable[..., object]) -> None:
    with serving(quick(Patient())) as url, connect(url) as connection:
        connection.sendall(HEAD + b"--b\r\n")
        said, seconds = closed(connection)
    assert b"408" in said.splitlines()[0] and b"too slowly" in said and seconds < 5


def test_a_body_that_drips_ends(quick: Callable[..., object]) -> None:
    with serving(quick(Patient())) as url, connect(url) as connection:
        connection.sendall(
            HEAD + b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        )
        connection.settimeout(0.1)
        began, said = time.monotonic(), b""
        while not said and time.monotonic() - began < 10:
            connection.sendall(b"x")
            try:
                said = connection.recv(100)
            except TimeoutError:
                continue
    assert b"408" in said


BEGUN = {
    "nothing": b"",
    "half a line": b"GET /health HT",
    "half of the headers": b"GET /health HTTP/1.1\r\nHost: here\r\nX-A: 1\r\n",
    "a request, and half of the next": b"GET /health HTTP/1.1\r\nHost: here\r\n\r\nGET",
}


@pytest.mark.parametrize("sent", BEGUN.values(), ids=list(BEGUN))
def test_an_idle_connection_ends(quick: Callable[..., object], sent: bytes) -> None:
    with serving(quick(Patient())) as url, connect(url) as connection:
        connection.sendall(sent)
        said, seconds = closed(connection)
    assert (b"200 OK" in said) == (b"\r\n\r\n" in sent) and seconds < 5


def test_a_connection_that_drips_headers_or_a_refused_body_ends(quick: Callable[..., object]) -> None:
    with serving(quick(Patient(), max_image_bytes=10)) as url:
        for begun in (b"GET / HTTP/1.1\r\nX-A: ", HEAD.replace(b"5000", b"5000000")):
            with connect(url) as connection, pytest.raises(OSError):
                connection.sendall(begun)
                for _ in range(80):
                    connection.sendall(b"x")
                    time.sleep(0.1)


def test_a_slow_answer_does_not_end_its_connection(quick: Callable[..., object]) -> None:
    detector = Patient()
    with serving(quick(detector)) as url, requests.Session() as session:
        threading.Timer(1.5, detector.go_on.set).start()
        files = {"image": ("a.jpg", SAMPLE, "image/jpeg")}
        assert session.post(f"{url}/detect", files=files, timeout=30).status_code == 200
        assert session.post(f"{url}/detect", files=files, timeout=30).status_code == 200


def test_more_connections_than_that_are_closed(
    quick: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = importlib.import_module("app.connections")
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 5)
    with serving(quick(Patient())) as url:
        opened = [connect(url) for _ in range(12)]
        assert polling.wait_until(
            lambda: requests.get(f"{url}/health", timeout=5).ok if _alive(opened) == 0 else False, 10, 0.2
        )


def _alive(opened: list[socket.socket]) -> int:
    alive = 0
    for each in opened:
        each.setblocking(False)
        try:
            alive += each.recv(1) != b""
        except BlockingIOError:
            alive += 1
        except OSError:
            pass
    return alive


def test_a_refused_picture_that_is_still_on_its_way_gets_its_answer(quick: Callable[..., object]) -> None:
    """A connection that is closed while bytes come in is reset, and the client sees an error instead of the answer."""
    with serving(quick(Patient(), max_image_bytes=1000)) as url:
        for _ in range(5):
            answer = requests.post(
                f"{url}/detect", files={"image": ("a", bytes(8_000_000), "image/png")}, timeout=30
            )
            assert answer.status_code == 413 and "1000" in answer.json()["detail"]


def test_every_answer_has_its_headers_and_none_names_the_server(quick: Callable[..., object]) -> None:
    class Broken(Patient):
        def detect(self, image: object, confidence: float) -> list:
            raise RuntimeError("no")

    with serving(quick(Broken())) as url:
        answers = [
            requests.get(f"{url}{path}", timeout=5)
            for path in ("/", "/docs", "/health", "/openapi.json", "/nothing", "/redoc")
        ]
        answers += [
            requests.post(f"{url}/detect", timeout=5),
            requests.post(f"{url}/detect", json={}, timeout=5),
        ]
        answers += [requests.put(f"{url}/detect", timeout=5), send(url)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404, 404, 422, 415, 405, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in answer.headers and "uvicorn" not in str(answer.headers).lower()


def test_the_capstone_keeps_the_same_limits() -> None:
    """Two applications that share no image share these files by copy: change both."""
    for name in SHARED:
        assert (CAPSTONE / "app" / name).read_bytes() == (API / "app" / name).read_bytes(), name


SETTINGS = {"UVICORN_HTTP": "app.connections:Impatient", "UVICORN_SERVER_HEADER": "false"}
# The rungs that the ladder measures and nobody is handed, and what the reader writes in labs 03 to 06, where these settings are no promise.
BARE = {
    *(f"assets/detection-api/Dockerfile.{rung}" for rung in ("naive", "slim", "cpu", "staged")),
    *(
        f"solutions/{lab}/Dockerfile"
        for lab in (
            "03_write_the_dockerfile",
            "04_speed_up_a_rebuild",
            "05_shrink_the_image",
            "06_deliver_the_model/yard",
        )
    ),
    *(f"solutions/{lab}/Dockerfile.today" for lab in ("04_speed_up_a_rebuild", "05_shrink_the_image")),
}


def started(path: Path, images: dict[str, build_plan.Image]) -> tuple[str, dict[str, str]]:
    """The command of the image that a Dockerfile ships, and the variables it is started with."""
    stages = build_plan.plan(dockerfile.parse(dockerfile.read(path)), images=images)
    place, chain = len(stages) - 1, []
    while place is not None:
        chain, place = [*stages[place].stage.instructions, *chain], stages[place].parent
    words = [each.text for each in chain if each.keyword in ("CMD", "ENTRYPOINT")]
    return " ".join(words), dict(stages[-1].scope.variables)


def test_every_image_of_ours_that_serves_is_started_with_these_limits() -> None:
    _, shipped = started(API / "Dockerfile.multistage", {})
    images = {"dockerlab-api:multistage": build_plan.Image(shipped)}
    files = [
        path
        for folder in ("assets", "solutions")
        for path in sorted((ROOT / folder).rglob("Dockerfile*"))
        if path.suffix != ".dockerignore"
    ]
    serving = {
        path.relative_to(ROOT).as_posix(): variables
        for path in files
        for words, variables in [started(path, images)]
        if "uvicorn" in words
    }
    assert {
        "assets/stack/Dockerfile",
        "assets/production/Dockerfile",
        "solutions/12_ship_it_alone/Dockerfile",
    } <= serving.keys()
    assert {name for name, variables in serving.items() if not SETTINGS.items() <= variables.items()} == BARE
