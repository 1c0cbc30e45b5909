"""The berth book: which ship lies at which berth, with a small picture of it; and the weights that the cameras fetch.

Serve it with `uvicorn app.main:app --host 0.0.0.0 --port 8000`, from the folder that holds app/, model/ and a data/ it may write to.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import peewee
from PIL import Image, UnidentifiedImageError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

HERE = Path(__file__).resolve().parent.parent
DATA = HERE / "data"
WEIGHTS = HERE / "model" / "harbour-n.pt"
LARGEST = 5_000_000
database = peewee.SqliteDatabase(DATA / "berths.db")


class Berth(peewee.Model):
    """One berth and the picture of what lies there."""

    name = peewee.CharField(primary_key=True)
    picture = peewee.BlobField()

    class Meta:
        """Where peewee keeps it."""

        database = database


database.create_tables([Berth])


def health(_: Request) -> Response:
    """Whether the service is up."""
    return JSONResponse({"status": "ok"})


def version(_: Request) -> Response:
    """The build date, which the build passes as BUILD_DATE."""
    return JSONResponse({"built": os.environ.get("BUILD_DATE", "unknown")})


async def put_berth(request: Request) -> Response:
    """Keep a thumbnail of the JPEG in the body."""
    body = await request.body()
    try:
        picture = Image.open(io.BytesIO(body[:LARGEST]))
        picture.thumbnail((64, 64))
    except (UnidentifiedImageError, OSError):
        return JSONResponse({"detail": "The body is no picture."}, 400)
    kept = io.BytesIO()
    picture.convert("RGB").save(kept, "JPEG")
    Berth.replace(name=request.path_params["name"], picture=kept.getvalue()).execute()
    return JSONResponse({"berth": request.path_params["name"], "width": picture.width, "height": picture.height})


def berths(_: Request) -> Response:
    """The names of all berths in the book."""
    return JSONResponse([berth.name for berth in Berth.select(Berth.name).order_by(Berth.name)])


def weights(_: Request) -> Response:
    """The model file."""
    return FileResponse(WEIGHTS)


app = Starlette(routes=[
    Route("/health", health), Route("/version", version), Route("/model", weights),
    Route("/berths", berths), Route("/berths/{name}", put_berth, methods=["PUT"]),
])
