"""The server: `uvicorn app.main:app --host 0.0.0.0 --port 8000`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, File, HTTPException, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from app import pages
from app.detectors import Detector, Found, load_detector
from app.limits import HEADERS, Door, Line, read_picture
from app.pictures import Refused, decode
from app.schemas import Answer, Box, Detection, Health, ImageSize, Milliseconds, Problem
from app.settings import Settings, load_settings
from app.threads import available_cpus

log = logging.getLogger("uvicorn.error")


def create_app(settings: Settings, load: Callable[[str, int], Detector] = load_detector) -> FastAPI:
    """An application with its own detector, loaded in the background so that /health can say "not yet"."""
    detector: Detector | None = None
    trouble = "The model is being loaded; ask again in a moment."
    line = Line()

    def load_model() -> None:
        nonlocal detector, trouble
        started = time.perf_counter()
        try:
            detector = load(settings.model, available_cpus())
            log.info("%s is ready (%s, %.2f s)", detector.model, detector.backend, time.perf_counter() - started)
        # Whatever a runtime raises about a model file, /health says it and the log keeps it.
        except Exception as error:
            trouble = f"The model {Path(settings.model).name} cannot be loaded."
            log.error("%s %s: %s", trouble, type(error).__name__, error)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.get_running_loop().run_in_executor(None, load_model)
        yield
        await loading

    def ready() -> Detector:
        if detector is None:
            raise HTTPException(503, trouble, {"Retry-After": "1"})
        return detector

    app = FastAPI(
        title="Detection API",
        version="1.0.0",
        description="Send a picture; get what is on it, with boxes and scores.",
        lifespan=lifespan,
        docs_url=None,  # those pages load scripts from elsewhere; ours is pages.DOCS
        redoc_url=None,
    )
    app.add_middleware(Door, path="/detect", max_image_bytes=settings.max_image_bytes, line=line)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Exception, _unexpected)

    @app.post(
        "/detect",
        response_model=Answer,
        summary="Find objects on a picture",
        responses={
            400: _problem("The file is no picture, damaged or cut short", "The picture is damaged or cut short."),
            408: _problem("The picture came too slowly", "The picture came too slowly."),
            413: _problem("Too many bytes, pixels or scans", "The request is too large."),
            415: _problem("Not multipart, or no picture in it", "Send multipart/form-data, field `image`."),
            422: _problem("The field is missing or came twice, or the threshold is not 0 to 1", "image: Field required."),
            503: _problem("The model is not loaded yet, or too many pictures wait", "The model is being loaded; ask again in a moment."),
        },
    )
    async def detect(
        request: Request,
        image: Annotated[UploadFile, File(description="a JPEG, PNG, WebP or BMP picture")],
        confidence: Annotated[
            float, Query(ge=0, le=1, allow_inf_nan=False, description="only objects with a higher score", examples=[0.25])
        ] = settings.confidence,
    ) -> Answer:
        """Boxes are in pixels of the picture as a viewer shows it: upright, origin at the top left."""
        started = time.perf_counter()
        model = ready()
        data = await read_picture(request, image, settings.max_image_bytes)
        return await line.run(_answer, model, data, confidence, settings.max_pixels, started)

    @app.get(
        "/health",
        response_model=Health,
        summary="Whether the model is loaded",
        responses={503: _problem("The model is not loaded", "The model is being loaded; ask again in a moment.")},
    )
    async def health() -> Health:
        model = ready()
        return Health(status="ok", model=model.model, backend=model.backend)

    pages.add(app, "/", pages.DROP, "A page to drop a picture on")
    pages.add(app, "/docs", pages.DOCS)
    return app


def _answer(model: Detector, data: bytes, confidence: float, max_pixels: int, started: float) -> Answer:
    """Decode and detect in one turn, so that only one picture at a time takes the memory of its pixels."""
    begun = time.perf_counter()
    picture = decode(data, max_pixels)
    decoded = time.perf_counter()
    found = model.detect(picture, confidence)
    done = time.perf_counter()
    return Answer(
        model=model.model,
        backend=model.backend,
        image=ImageSize(width=picture.width, height=picture.height),
        detections=[_detection(each) for each in found],
        milliseconds=Milliseconds(decode=_ms(decoded - begun), inference=_ms(done - decoded), total=_ms(done - started)),
    )


def _detection(found: Found) -> Detection:
    corners = {name: round(getattr(found, name), 2) for name in ("x1", "y1", "x2", "y2")}
    return Detection(label=found.label, score=round(found.score, 4), box=Box(**corners))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _problem(description: str, detail: str) -> dict[str, object]:
    """One entry of OpenAPI's `responses`."""
    return {"model": Problem, "description": description, "content": {"application/json": {"example": {"detail": detail}}}}


async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    parts = [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"detail": "; ".join(parts) + "."}, 422)


async def _refused(_: Request, error: Refused) -> JSONResponse:
    return JSONResponse({"detail": error.detail}, error.status)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    # This answer is made outside of every middleware.
    return JSONResponse({"detail": "The server made a mistake; its log says more."}, 500, HEADERS)


app = create_app(load_settings())
