"""The detection API in the container that the lessons give it, 512 MB and one CPU, while 64 clients send the worst that there is.

The capstone's, in its 256 MB, gets a smaller load of the same kind. Both images close connections that send nothing.
"""

from __future__ import annotations

import io
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import docker
import numpy as np
import pytest
import requests
from docker.models.containers import Container
from PIL import Image

from dockerlab.containers import container, load_generator, workers
from dockerlab.core import polling
from dockerlab.core.settings import ROOT
from dockerlab.detection import api_client, variants
from dockerlab.engine import object_labels
from dockerlab.images import base_images
from dockerlab.images.build import build
from dockerlab.lessons.lesson12_capstone import application, scoring

TAG = "dockerlab-api-tests:load"
CAPSTONE_TAG = "dockerlab-api-tests:capstone"
LIMITS = variants.LOCKED_DOWN | {"mem_limit": "512m", "memswap_limit": "512m", "nano_cpus": 10**9}
CLIENTS, FIRST = 64, 3
MOST_PIXELS = 12_500_000
SIDE = 3535  # its square is the largest that is taken
BESIDE_THE_MODEL = 300_000_000  # bytes
ONE_PICTURE = 110_000_000  # of the capstone's largest, decoded and made smaller; it looks at one at a time
PYTHON = "/usr/bin/python3.11"  # of the capstone's base
# It has a CPU of its own and the server's network, so that it measures the server and not the clients of this process.
PROBER = """
import http.client, json, time
times, until = [], time.monotonic() + {seconds}
while time.monotonic() < until:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=30)
    connection.request("GET", "/health")
    status = connection.getresponse().status
    connection.close()
    times.append((status, 1000 * (time.perf_counter() - began)))
    time.sleep(0.05)
print(json.dumps(times))
"""


def one_colour(kind: str, side: int, mode: str = "RGB", **options: object) -> bytes:
    """As few bytes as there are for so many pixels."""
    buffer = io.BytesIO()
    Image.new(mode, (side, side), 128).save(buffer, kind, **options)
    return buffer.getvalue()


def many_scans(scans: int, side: int) -> bytes:
    """A progressive JPEG that says its last scan again and again: a decoder walks over all pixels for each (LJT-01-003)."""
    whole = one_colour("JPEG", side, "L", progressive=True)
    start, end = whole.rindex(b"\xff\xda"), whole.rindex(b"\xff\xd9")
    return whole[:end] + whole[start:end] * (scans - whole.count(b"\xff\xda")) + whole[end:]


def post(picture: bytes) -> load_generator.Request:
    head = (
        f'--{load_generator.BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    )
    return load_generator.Request(
        "POST",
        "/detect",
        head.encode() + picture + f"\r\n--{load_generator.BOUNDARY}--\r\n".encode(),
        f"multipart/form-data; boundary={load_generator.BOUNDARY}",
    )


def hostile(side: int = SIDE) -> list[load_generator.Request]:
    """Small files that cost much: two that have to be refused, and the costliest that are taken; `side` is that of the largest."""
    refused = [one_colour("PNG", 5000), many_scans(1200, 5000)]
    assert all(len(each) < 150_000 for each in refused)
    taken = [
        one_colour("PNG", side),
        one_colour("WEBP", side),
        many_scans(32, side),
        one_colour("PNG", side, "RGBA"),
    ]
    return [post(each) for each in (*refused, *taken)]


@dataclass
class Bombarded:
    """What was seen: normal pictures, hostile ones, normal ones after that; /health in milliseconds, alone and under load; memory in bytes."""

    normal: load_generator.Seen
    hostile: load_generator.Seen
    after: load_generator.Seen
    idle: list[tuple[int, float]]
    loaded: list[tuple[int, float]]
    memory: int
    share: float  # of the one CPU that the limit allows: the line is never empty, so what it did not use, it was not given
    state: dict[str, object]
    restarts: int

    def p95(self, probes: list[tuple[int, float]]) -> float:
        return float(np.percentile([took for _, took in probes], 95))

    def __repr__(self) -> str:
        def counts(seen: load_generator.Seen) -> dict[int, int]:
            return {
                status: sum(sample.status == status for sample in seen.samples)
                for status in sorted({sample.status for sample in seen.samples})
            }

        return (
            f"normal {counts(self.normal)}, hostile {counts(self.hostile)}, /health p95 {self.p95(self.loaded):.0f} ms of {len(self.loaded)} "
            f"(idle {self.p95(self.idle):.0f} ms), {self.memory / 1e6:.0f} MB beside the model, {self.share:.2f} CPU, {self.state}"
        )


@contextmanager
def probing(client: docker.DockerClient, box: Container, seconds: float) -> Iterator[list[tuple[int, float]]]:
    """Ask for /health for so long from a container beside it; what was seen is in the list when the block ends. Asks the engine."""
    seen: list[tuple[int, float]] = []
    prober = client.containers.run(
        base_images.SLIM,
        ["python", "-c", PROBER.format(seconds=seconds)],
        network_mode=f"container:{box.id}",
        detach=True,
        labels=object_labels.labels(kind="test"),
    )
    try:
        yield seen
        assert prober.wait(timeout=seconds + 60)["StatusCode"] == 0, prober.logs().decode()
        seen += [(status, took) for status, took in json.loads(prober.logs())]
    finally:
        container.remove(prober)


def memory(box: Container, name: str, python: str = "python") -> int:
    """Bytes of the server's process: VmRSS now, VmHWM at most. Asks the engine."""
    lines = box.exec_run([python, "-c", "print(open('/proc/1/status').read())"]).output.decode().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def until_closed(url: str, header: bytes) -> float:
    """Seconds until a server closes a connection on which no request is completed, half a minute at most; `header` goes out byte by byte, one a second."""
    parts, began = urlsplit(url), time.monotonic()
    with socket.create_connection((parts.hostname, parts.port), 5) as connection:
        connection.settimeout(1)
        for byte in header.ljust(30, b"a") if header else b"\0" * 30:
            try:
                if header:
                    connection.sendall(bytes([byte]))
                if not connection.recv(100):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - began


@contextmanager
def silent(url: str) -> Iterator[None]:
    """Meanwhile, hold a connection that sends nothing and one that sends its headers slowly; the server has ten seconds for each."""
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Future[float]] = [
            pool.submit(until_closed, url, header) for header in (b"", b"GET /health HTTP/1.1\r\nX: ")
        ]
        yield
        seconds = [each.result() for each in waiting]
    assert all(8 < each < 20 for each in seconds), seconds


def unnamed(url: str) -> None:
    """The server answers, and does not say what it is."""
    answer = requests.get(f"{url}/health", timeout=10)
    assert answer.ok and "server" not in answer.headers, answer.headers


def bombard(client: docker.DockerClient, image: str, seconds: float, **options: object) -> Bombarded:
    worst, normal = hostile(), load_generator.picture(api_client.samples()[0])
    with container.running(image, client=client, **LIMITS | options) as server:
        load_generator.run(
            server.url, normal, 20, 4
        )  # so that "beside the model" begins where the model has worked
        before = memory(server.container, "VmRSS")
        with probing(client, server.container, 5) as idle:
            pass
        each, worked = CLIENTS // (len(worst) + 2), workers.cpu_seconds(server.container)
        # Who is answered asks again at once and finds the place that has just become free: the few who come first keep theirs, all others compete.
        with (
            probing(client, server.container, seconds) as loaded,
            silent(server.url),
            load_generator.traffic(server.url, normal, clients=FIRST, pause=0, timeout=120) as first,
            load_generator.traffic(server.url, *worst, clients=each, pause=0, timeout=120) as attack,
            load_generator.traffic(
                server.url, normal, clients=CLIENTS - FIRST - each * len(worst), pause=0, timeout=120
            ) as later,
        ):
            polling.wait_until(lambda: False, seconds, 0.5)
            share = min(1, (workers.cpu_seconds(server.container) - worked) / seconds)
        after = load_generator.run(server.url, normal, 5, 1, 120)
        unnamed(server.url)
        used = memory(server.container, "VmHWM") - before
        server.container.reload()
        attrs = server.container.attrs
        state = {name: attrs["State"][name] for name in ("Running", "OOMKilled", "ExitCode")}
        usual = load_generator.Seen(first.samples + later.samples, later.seconds)
        return Bombarded(usual, attack, after, idle, loaded, used, share, state, attrs["RestartCount"])


@pytest.fixture(scope="module")
def image(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The multi-stage rung of today's files; what lesson 00 built comes from the cache."""
    context = variants.stage_context(tmp_path_factory.mktemp("load") / "detection-api")
    variants.build_rung("multistage", context, client, tag=TAG)
    return TAG


def answered(normal: load_generator.Seen, attack: load_generator.Seen) -> None:
    """Normal pictures were answered or told to come again, and some were answered; what was hostile was sent, and broke nothing."""
    assert {200} <= {sample.status for sample in normal.samples} <= {200, 503}, normal
    assert attack.samples and {sample.status for sample in attack.samples} <= {200, 413, 503}, attack


def holds(seen: Bombarded) -> None:
    print(seen)
    assert seen.state == {"Running": True, "OOMKilled": False, "ExitCode": 0} and seen.restarts == 0, seen
    answered(seen.normal, seen.hostile)
    assert seen.after.samples and not seen.after.failed, seen
    assert {status for status, _ in seen.loaded} == {200}, seen
    assert seen.memory < BESIDE_THE_MODEL, seen


@pytest.mark.engine
def test_the_capstone_outlives_ten_seconds_of_the_worst_in_its_256_megabytes(
    client: docker.DockerClient,
) -> None:
    for base in (base_images.SLIM, base_images.DISTROLESS):
        base_images.ensure(base, client)
    build(ROOT / "solutions/12_ship_it_alone", tag=CAPSTONE_TAG, client=client)
    wall = next((ROOT / "assets/capstone/samples").glob("*.png"))
    attack, normal = (
        [replace(each, path="/inspect", authorization=f"Bearer {application.TOKEN}") for each in some]
        for some in (hostile(side=2000), [load_generator.picture(wall)])
    )
    limits = variants.LOCKED_DOWN | scoring.LIMITS | {"memswap_limit": scoring.LIMITS["mem_limit"]}
    with container.running(
        CAPSTONE_TAG, client=client, environment={"API_TOKEN": application.TOKEN}, **limits
    ) as server:
        load_generator.run(server.url, *normal, 5, 1)
        before = memory(server.container, "VmRSS", PYTHON)
        with (
            silent(server.url),
            load_generator.traffic(server.url, *normal, clients=FIRST, pause=0, timeout=60) as usual,
            load_generator.traffic(server.url, *attack, clients=3, pause=0, timeout=60) as worst,
            load_generator.traffic(server.url, clients=1) as probes,
        ):
            polling.wait_until(lambda: False, 10, 0.5)
        answered(usual, worst)
        assert probes.samples and not probes.failed, probes
        assert [load_generator.run(server.url, each, 1, 1).samples[0].status for each in attack[:2]] == [
            413,
            413,
        ]
        unnamed(server.url)
        assert memory(server.container, "VmHWM", PYTHON) - before < ONE_PICTURE
        server.container.reload()
        assert (server.container.attrs["State"]["Running"], server.container.attrs["State"]["OOMKilled"]) == (
            True,
            False,
        )


@pytest.mark.engine
def test_twenty_seconds_of_the_worst(client: docker.DockerClient, image: str) -> None:
    """200 ms are for a whole CPU. Where other processes leave the container less of it, everything takes longer by as much, and idle, too."""
    seen = bombard(client, image, 20)
    holds(seen)
    assert seen.p95(seen.loaded) < 200 / seen.share + 10 * seen.p95(seen.idle), seen


@pytest.mark.engine
@pytest.mark.nightly
def test_two_minutes_of_the_worst(client: docker.DockerClient, image: str) -> None:
    seen = bombard(client, image, 110)  # load.MOST_SECONDS is the most that one run may take
    holds(seen)
    assert seen.p95(seen.loaded) < 200, seen
