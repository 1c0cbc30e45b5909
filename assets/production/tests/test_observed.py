"""Run in the image that ships: `docker run --rm IMAGE:test`."""

from __future__ import annotations

import json
import logging

import pytest
from observed import JsonLines, Observed, app
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient


def _broken(_: object) -> None:
    raise RuntimeError("no")


@pytest.fixture
def client() -> TestClient:
    inner = Starlette(routes=[Route("/detect", lambda _: PlainTextResponse("ok")), Route("/broken", _broken)])
    return TestClient(Observed(inner, CollectorRegistry()), raise_server_exceptions=False)


@pytest.fixture
def fields(caplog: pytest.LogCaptureFixture) -> list[dict]:
    caplog.set_level(logging.INFO, "uvicorn.error")
    caplog.handler.setFormatter(JsonLines())
    return lambda: [json.loads(line) for line in caplog.text.splitlines() if '"request"' in line]


def test_a_request_keeps_the_id_that_it_came_with(client: TestClient, fields) -> None:
    answer = client.get("/detect", headers={"x-request-id": "crane-7.42"})
    assert answer.headers["x-request-id"] == "crane-7.42"
    assert fields()[-1]["request_id"] == "crane-7.42"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 65, 'a"b'])
def test_an_id_that_could_harm_the_log_is_replaced(client: TestClient, bad: str) -> None:
    given = client.get("/detect", headers={"x-request-id": bad}).headers["x-request-id"]
    assert given != bad and given.isalnum()


def test_two_requests_have_two_ids(client: TestClient) -> None:
    assert client.get("/detect").headers["x-request-id"] != client.get("/detect").headers["x-request-id"]


def test_a_line_holds_what_one_searches_for(client: TestClient, fields) -> None:
    client.get("/detect")
    assert {"time", "level", "request_id", "method", "path", "status", "milliseconds", "version"} <= set(fields()[-1])


def test_metrics_count_by_path_and_status_and_an_error_counts(client: TestClient) -> None:
    for path in ("/detect", "/detect", "/wp-login.php", "/broken"):
        client.get(path)
    text = client.get("/metrics").text
    assert 'http_requests_total{path="/detect",status="200"} 2.0' in text
    assert 'http_requests_total{path="other",status="404"} 1.0' in text and "wp-login" not in text
    assert 'http_requests_total{path="other",status="500"} 1.0' in text
    assert 'http_request_seconds_count{path="/detect"} 2.0' in text


def test_health_is_counted_but_not_written(client: TestClient, fields) -> None:
    client.get("/health")
    assert not fields() and 'path="/health"' in client.get("/metrics").text


def test_the_server_that_ships_loads_its_model_and_says_its_version() -> None:
    import time

    with TestClient(app) as client:
        deadline = time.monotonic() + 30
        while (answer := client.get("/health")).status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert answer.status_code == 200 and answer.headers["x-version"]
