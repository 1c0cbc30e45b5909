"""The detection API as it goes into production: `uvicorn observed:app`. Adds a request id, one JSON line a request, and /metrics.

VERSION names the release, in every answer's header `x-version`. LOAD_SECONDS stands for a larger model: so long the load takes at least.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable

from app.detectors import load_detector
from app.main import create_app
from app.settings import load_settings
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

VERSION = os.environ.get("VERSION", "dev")
# What a client may choose: no line breaks, so that nobody writes lines of his own into the log.
SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
KNOWN_PATHS = ("/detect", "/health", "/")
log = logging.getLogger("uvicorn.error")


class JsonLines(logging.Formatter):
    """One JSON object a line: what a log collector can search without guessing."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message, and whatever was given as `extra={"fields": {...}}`."""
        entry = {"time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry | getattr(record, "fields", {}))


class Observed:
    """ASGI middleware: every request gets an id, a line in the log and a place in the metrics."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry = REGISTRY) -> None:
        self.app, self.registry = app, registry
        self.requests = Counter("http_requests", "Answered requests", ["path", "status"], registry=registry)
        self.seconds = Histogram("http_request_seconds", "Seconds until the answer was complete", ["path"], registry=registry,
                                 buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/metrics":
            await Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)
        else:
            await self._watch(scope, receive, send)

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        started, status = time.perf_counter(), 500

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"], headers["x-version"] = request_id, VERSION
            await send(message)

        try:
            await self.app(scope, receive, marked)
        finally:
            self._note(scope, status, time.perf_counter() - started, request_id)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        # A path of a scanner is no series of its own: each would cost memory for ever.
        path = scope["path"] if scope["path"] in KNOWN_PATHS else "other"
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)
        if path != "/health":  # asked every second by machines
            fields = {"request_id": request_id, "method": scope["method"], "path": scope["path"], "status": status,
                      "milliseconds": round(1000 * seconds, 1), "version": VERSION}
            log.info("request", extra={"fields": fields})


def slowly(load: Callable, seconds: float) -> Callable:
    """`load`, begun `seconds` later."""

    def later(*arguments: object) -> object:
        time.sleep(seconds)
        return load(*arguments)

    return later


def speak_json() -> None:
    """uvicorn has set up its handlers by now; all of them write JSON from here on."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonLines())


speak_json()
app = Observed(create_app(load_settings(), slowly(load_detector, float(os.environ.get("LOAD_SECONDS") or 0))))
