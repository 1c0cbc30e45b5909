"""The detection API with a memory: `uvicorn harbour.main:app --host 0.0.0.0 --port 8000`.

An answer is kept in redis under the hash of its picture, and every request leaves a row in postgres.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app import pages
from app.detectors import Detector, load_detector
from app.limits import Door, Line, read_picture
from app.pictures import Refused, decode
from app.settings import Settings, load_settings
from app.threads import available_cpus
from fastapi import FastAPI, HTTPException, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from redis import RedisError

from harbour.cache import Cache
from harbour.log import Log, LogFailed

VERSION = "1"
HERE = socket.gethostname()
log = logging.getLogger("uvicorn.error")


def create_app(settings: Settings, load: Callable[[str, int], Detector], cache: Cache, rows: Log) -> FastAPI:
    """An application that has loaded its model and reached its database before it takes a request."""
    state: dict[str, Detector] = {}
    line = Line()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            rows.prepare()
        except LogFailed as error:  # a service that cannot keep its promise ends, and says why in one line
            print(f"The database at {rows.host} does not answer: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        state["model"] = load(settings.model, available_cpus())
        yield

    app = FastAPI(title="Detection API with a cache and a log", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Door, path="/detect", max_image_bytes=settings.max_image_bytes, line=line)
    pages.add(app, "/docs", pages.DOCS)

    @app.post("/detect")
    async def detect(
        request: Request, response: Response, image: UploadFile,
        confidence: float = Query(settings.confidence, ge=0, le=1, allow_inf_nan=False),
    ) -> dict[str, object]:
        """As the detection API answers; the headers X-Cache and X-Served-By say where the answer comes from."""
        begun = time.perf_counter()
        data = await read_picture(request, image, settings.max_image_bytes)
        key = cache.key(state["model"].model, data, confidence)
        answer = await run_in_threadpool(cache.get, key)
        hit = answer is not None
        if answer is None:
            answer = await line.run(_answer, state["model"], data, confidence, settings.max_pixels)
            await run_in_threadpool(cache.put, key, answer)
        milliseconds = 1000 * (time.perf_counter() - begun)
        await run_in_threadpool(rows.add, key, hit, len(answer["detections"]), milliseconds, HERE)
        response.headers.update({"X-Cache": "hit" if hit else "miss", "X-Served-By": HERE})
        return answer | {"milliseconds": answer["milliseconds"] | {"total": round(milliseconds, 2)}}

    @app.get("/health")
    def health() -> dict[str, str]:
        """200 while both neighbours answer: without them this service does not do what it is there for."""
        try:
            cache.ping()
            rows.count()
        except (RedisError, LogFailed) as error:  # the log says why, and who asks is told which: an address is nobody else's business
            log.error("%s", error)
            raise HTTPException(503, f"The {'cache' if isinstance(error, RedisError) else 'database'} does not answer.") from error
        return {"status": "ok", "model": state["model"].model}

    @app.get("/stats")
    def stats() -> dict[str, object]:
        """What the log holds, and who answers."""
        return rows.summary() | {"version": VERSION, "served_by": HERE}

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, error.status)

    @app.exception_handler(LogFailed)
    async def unlogged(_: Request, error: LogFailed) -> JSONResponse:
        return JSONResponse({"detail": "The database does not answer; ask again in a moment."}, 503)

    return app


def _answer(model: Detector, data: bytes, confidence: float, max_pixels: int) -> dict[str, object]:
    begun = time.perf_counter()
    picture = decode(data, max_pixels)
    decoded = time.perf_counter()
    found = model.detect(picture, confidence)
    done = time.perf_counter()
    boxes = [{"label": each.label, "score": round(each.score, 4),
              "box": {name: round(getattr(each, name), 2) for name in ("x1", "y1", "x2", "y2")}} for each in found]
    return {
        "model": model.model, "backend": model.backend, "image": {"width": picture.width, "height": picture.height}, "detections": boxes,
        "milliseconds": {"decode": round(1000 * (decoded - begun), 2), "inference": round(1000 * (done - decoded), 2)},
    }


app = create_app(load_settings(), load_detector, Cache.from_environment(), Log.from_environment())
