"""One question to a web server that may be anybody's: its answer is bounded in time and in bytes, whatever the server does."""

from __future__ import annotations

import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Thread
from typing import Any

import requests

from dockerlab.core.errors import CourseError

MOST_BYTES = 10_000_000  # of an answer in which nobody expects more than a page of JSON


class NoAnswer(CourseError, requests.RequestException):
    """The answer did not come whole. A requests.RequestException too, so that whoever asks handles it like any other failure."""

    request = response = None  # as a RequestException has them


class TooSlow(NoAnswer, requests.Timeout):
    """The answer had not ended in time."""


class TooLarge(NoAnswer):
    """The answer is larger than anybody wants to keep."""


def fetch(
    url: str,
    seconds: float = 10,
    limit: int = MOST_BYTES,
    method: str = "GET",
    session: requests.Session | None = None,
    **options: Any,
) -> requests.Response:
    """Ask and return the whole answer, of at most `limit` bytes, within `seconds` from now to its last byte. Follows no redirect.

    `options` go to `requests.request`. Raises TooSlow, TooLarge, or another requests.RequestException.
    """
    answer: Future[requests.Response] = Future()

    def ask() -> None:
        try:
            answer.set_result(_read(url, seconds, limit, method, session, options))
        except BaseException as error:
            answer.set_exception(error)

    # In a thread, because the timeout of requests holds for one read, and a server that sends a byte a second keeps it waiting for ever.
    Thread(target=ask, daemon=True).start()
    if not wait_for([answer], seconds).done:
        raise TooSlow(f"{url} gave no answer within {seconds:g} s.")
    return answer.result()


def _read(
    url: str,
    seconds: float,
    limit: int,
    method: str,
    session: requests.Session | None,
    options: dict[str, Any],
) -> requests.Response:
    deadline, kept = time.monotonic() + seconds, bytearray()
    reply = (session or requests).request(
        method, url, timeout=seconds, stream=True, allow_redirects=False, **options
    )
    try:
        for piece in reply.iter_content(1 << 16):
            kept += piece
            if len(kept) > limit:
                raise TooLarge(f"{url} answered with more than {limit / 1e6:g} MB.")
            if time.monotonic() > deadline:
                raise TooSlow(f"{url} gave no answer within {seconds:g} s.")
    except BaseException:
        reply.close()  # else what is left of the answer would come with the next one
        raise
    reply._content = bytes(kept)  # where requests keeps a body that it has read itself
    return reply
