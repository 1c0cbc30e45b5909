"""The service: `uvicorn app.main:app`."""

from __future__ import annotations

import hmac
import logging
from typing import Annotated

from fastapi import Depends, FastAPI, File, Header, HTTPException, UploadFile
from fastapi.concurrency import run_in_threadpool

from app import settings
from app.cache import Cache
from app.classifier import Classifier, NotAPicture

log = logging.getLogger("uvicorn.error")


def create_app(chosen: settings.Settings) -> FastAPI:
    """An application with its own model and cache. A model that cannot be loaded is told by /health, and the log keeps why."""
    app = FastAPI(title="Gate inspection", version="1.0.0")
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
    async def inspect(image: Annotated[UploadFile, File()]) -> dict[str, object]:
        classifier, data = loaded(), await image.read(chosen.max_bytes + 1)
        if len(data) > chosen.max_bytes:
            raise HTTPException(413, f"A picture may have at most {chosen.max_bytes} bytes.")
        try:
            return await run_in_threadpool(_answer, classifier, cache, data)
        except NotAPicture as error:
            raise HTTPException(400, str(error)) from error

    return app


def _answer(classifier: Classifier, cache: Cache, data: bytes) -> dict[str, object]:
    known = cache.get(classifier.name, data)
    scores = known or classifier.scores(data)
    if known is None:
        cache.put(classifier.name, data, scores)
    return {"label": max(scores, key=scores.__getitem__), "scores": scores, "model": classifier.name, "cached": known is not None}


def __getattr__(name: str) -> FastAPI:
    """`app`, made when the server asks for it, so that tests import this module without a token."""
    if name == "app":
        globals()["app"] = made = create_app(settings.load())
        return made
    raise AttributeError(name)
