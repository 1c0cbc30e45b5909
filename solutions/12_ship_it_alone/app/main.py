"""The service: `uvicorn app.main:app`."""

from __future__ import annotations

import hmac
import logging
from typing import Annotated

from fastapi import Depends, FastAPI, File, Header, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from app import settings
from app.cache import Cache
from app.classifier import Classifier
from app.limits import HEADERS, Door, Line, read_picture
from app.pictures import Refused

log = logging.getLogger("uvicorn.error")


def create_app(chosen: settings.Settings) -> FastAPI:
    """An application with its own model and cache. A model that cannot be loaded is told by /health, and the log keeps why."""
    app, line = FastAPI(title="Gate inspection", version="1.0.0", docs_url=None, redoc_url=None), Line()
    app.add_middleware(Door, path="/inspect", max_image_bytes=chosen.max_bytes, line=line)
    cache = Cache(chosen.cache_url, chosen.cache_seconds)
    try:
        model: Classifier | None = Classifier(chosen.model, chosen.threads)
    except Exception as error:
        log.error("%s cannot be loaded: %s", chosen.model, error)
        model = None

    def loaded() -> Classifier:
        if model is None:
            raise HTTPException(503, "The model cannot be loaded.")
        return model

    def allowed(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {chosen.token}".encode()):
            raise HTTPException(401, "Send the token of the gate's cameras.", {"WWW-Authenticate": "Bearer"})

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "model": loaded().name}

    @app.post("/inspect", dependencies=[Depends(allowed)])
    async def inspect(request: Request, image: Annotated[UploadFile, File()]) -> dict[str, object]:
        classifier, data = loaded(), await read_picture(request, image, chosen.max_bytes)
        known = await run_in_threadpool(cache.get, classifier.name, data)
        scores = known or await line.run(classifier.scores, data, chosen.max_pixels)
        if known is None:
            await run_in_threadpool(cache.put, classifier.name, data, scores)
        return {"label": max(scores, key=scores.__getitem__), "scores": scores, "model": classifier.name, "cached": known is not None}

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"detail": error.detail}, error.status)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "The server made a mistake; its log says more."}, 500, HEADERS)

    return app


def __getattr__(name: str) -> FastAPI:
    """`app`, made when the server asks for it, so that tests import this module without a token."""
    if name == "app":
        globals()["app"] = made = create_app(settings.load())
        return made
    raise AttributeError(name)
