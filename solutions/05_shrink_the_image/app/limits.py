"""The door: a request that is too big or of the wrong kind is refused before it is parsed."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Field names and boundaries round the picture.
ENVELOPE_BYTES = 100_000


class Door:
    """ASGI middleware: 413 by Content-Length or, where a client sends none, by counting; 415 unless multipart."""

    def __init__(self, app: ASGIApp, max_image_bytes: int) -> None:
        self.app, self.max_image_bytes = app, max_image_bytes
        self.max_bytes = max_image_bytes + ENVELOPE_BYTES
        # Uploads stay in memory: they are small by then, and a read-only container has nowhere else to put them.
        MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, self.max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length, kind = headers.get("content-length", ""), headers.get("content-type", "").lower()
        if length.isdecimal() and int(length[:20]) > self.max_bytes:
            await self._refuse(413, self.too_large, scope, receive, send)
        elif scope["path"] == "/detect" and kind and not kind.startswith("multipart/form-data"):
            await self._refuse(415, "Send multipart/form-data with the picture in the field `image`.", scope, receive, send)
        else:
            await self.app(scope, self._counted(receive), send)

    @property
    def too_large(self) -> str:
        return f"The request is too large; a picture may have at most {self.max_image_bytes} bytes."

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                raise HTTPException(413, self.too_large)
            return message

        return counted

    @staticmethod
    async def _refuse(status: int, detail: str, scope: Scope, receive: Receive, send: Send) -> None:
        # The rest of the body stays unread, so the connection cannot be used again.
        await JSONResponse({"detail": detail}, status, {"connection": "close"})(scope, receive, send)
