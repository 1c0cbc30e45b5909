"""What one server takes on at a time. Everything beyond is refused at once and in words, so that no request can take the memory of others.

`Door` bounds what is on its way in, `Line` what waits for the model. Connections that send nothing never reach an application:
app/connections.py ends those.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.pictures import Refused, check_type

# Field names and boundaries round the picture.
ENVELOPE_BYTES = 100_000
# Requests that are being received or answered, and the bytes of all their bodies together.
MOST_UPLOADS, MOST_BYTES = 128, 32_000_000
# Pictures that wait while one is looked at, and how long each of them may.
MOST_WAITING, WAIT_SECONDS = 16, 15
# A body may take so many seconds, one more for every 20 kB that came, and never longer than a minute.
GRACE_SECONDS, BYTES_PER_SECOND, MOST_SECONDS = 10, 20_000, 60
# A refusal for want of room is not hurried: who asks again at once would keep the server busy with refusing.
REFUSAL_SECONDS = 1.0
# A browser shall not guess at types, and shall load nothing because of an answer.
HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Busy(HTTPException):
    """503: as much as this server takes on is under way."""

    def __init__(self) -> None:
        super().__init__(503, "Too many pictures at once; send it again in a moment.", {"Retry-After": "1"})


class Line:
    """Work is done one piece at a time, in a thread; so many wait for their turn, and who comes then or waits too long is sent away."""

    def __init__(self) -> None:
        self.inside, self._turn = 0, asyncio.Lock()
        # Always the same thread: what a thread has freed the C library keeps for it, so that a pool of them holds several pictures.
        self._thread = ThreadPoolExecutor(1)

    @property
    def full(self) -> bool:
        """Whether the next one is sent away."""
        return self.inside > MOST_WAITING

    async def run(self, work: Callable[Parameters, Result], *arguments: Parameters.args, **_: Parameters.kwargs) -> Result:
        """What `work` returns. Raises Busy where the line is full."""
        if self.full:
            raise Busy
        self.inside += 1
        try:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._turn.acquire()
            except TimeoutError as error:
                raise Busy from error
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
            finally:
                self._turn.release()
        finally:
            self.inside -= 1


class Door:
    """ASGI middleware for POST: 413 by Content-Length or by counting, 415 unless multipart, 503 when full, 408 when too slow.

    Every answer gets HEADERS, unless it brings its own.
    """

    def __init__(self, app: ASGIApp, path: str, max_image_bytes: int, line: Line) -> None:
        self.app, self.path, self.max_image_bytes, self.line = app, path, max_image_bytes, line
        self.max_bytes = max_image_bytes + ENVELOPE_BYTES
        self.uploads = self.held_bytes = 0
        # Uploads stay in memory: they are small by then, and a read-only container has nowhere else to put them.
        MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, self.max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        try:
            self._check(Headers(scope=scope), scope["path"])
        except HTTPException as refused:
            if refused.status_code == 503 and self.uploads < MOST_UPLOADS:
                await self._linger()
            # No `Connection: close`: the server reads what is still on its way, or its sender would see a reset instead of the answer.
            await JSONResponse({"detail": refused.detail}, refused.status_code, refused.headers)(scope, receive, send)
            return
        upload = _Upload(self, receive)
        self.uploads += 1
        try:
            await self.app(scope, upload.receive, send)
        finally:
            self.uploads -= 1
            self.held_bytes -= upload.bytes

    async def _linger(self) -> None:
        self.uploads += 1  # so that no more than MOST_UPLOADS do so
        try:
            await asyncio.sleep(REFUSAL_SECONDS)
        finally:
            self.uploads -= 1

    def _check(self, headers: Headers, path: str) -> None:
        length, kind = headers.get("content-length", ""), headers.get("content-type", "").lower()
        if length.isdecimal() and int(length[:20]) > self.max_bytes:
            raise self.too_large()
        if path == self.path and kind and not kind.startswith("multipart/form-data"):
            raise HTTPException(415, "Send multipart/form-data with the picture in the field `image`.")
        if self.line.full or self.uploads >= MOST_UPLOADS:
            raise Busy

    def too_large(self) -> HTTPException:
        return HTTPException(413, f"The request is too large; a picture may have at most {self.max_image_bytes} bytes.")


class _Upload:
    """One body on its way in."""

    def __init__(self, door: Door, receive: Receive) -> None:
        self.door, self._receive, self.bytes, self.complete = door, receive, 0, False
        self.began = time.monotonic()

    async def receive(self) -> Message:
        if self.complete:  # what comes now is that the client went away
            return await self._receive()
        until = self.began + min(GRACE_SECONDS + self.bytes / BYTES_PER_SECOND, MOST_SECONDS)
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, "The picture came too slowly.", {"Connection": "close"}) from error
        self.complete = not message.get("more_body", False)
        self._count(len(message.get("body", b"")))
        return message

    def _count(self, size: int) -> None:
        self.bytes += size
        self.door.held_bytes += size
        if self.bytes > self.door.max_bytes:
            raise self.door.too_large()
        if self.door.held_bytes > MOST_BYTES:
            raise Busy


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


async def read_picture(request: Request, image: UploadFile, max_bytes: int) -> bytes:
    """The bytes of the only picture of a request. Raises Refused with 413, 415 or 422."""
    if (count := len((await request.form()).getlist("image"))) > 1:
        raise Refused(422, f"Send one picture at a time; the field `image` came {count} times.")
    check_type(image.content_type)
    data = await image.read()
    if len(data) > max_bytes:
        raise Refused(413, f"The picture has {len(data)} bytes; at most {max_bytes} are taken.")
    return data
