"""Connections that send nothing are closed: `uvicorn --http app.connections:Impatient`, or UVICORN_HTTP in the environment.

uvicorn itself waits for ever for the first request of a connection, for the rest of its headers, and for a body after the answer.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection or its last answer to the end of the next request's headers.
HEADER_SECONDS = 10
# Some 50 kB each; what comes beyond is closed at once.
MOST_CONNECTIONS = 512


class Impatient(H11Protocol):
    """uvicorn's own HTTP/1.1, with a time limit for headers and a limit for the number of connections."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:  # a request is under way: the application limits its body
            self._stop()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()  # may begin the next request at once, and end it
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
