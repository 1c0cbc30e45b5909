"""Answers to pictures that were asked about before, kept in Redis; without Redis the service works, a little slower."""

from __future__ import annotations

import hashlib
import json
import logging

log = logging.getLogger("uvicorn.error")


class Cache:
    """`url` "" means none. A cache that does not answer is treated as empty: it must never cost an answer."""

    def __init__(self, url: str, seconds: int) -> None:
        self._seconds, self._client = seconds, None
        if url:
            import redis

            self._client = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)

    def get(self, model: str, data: bytes) -> dict[str, float] | None:
        """The scores of an earlier answer, or None."""
        if self._client is None:
            return None
        try:
            found = self._client.get(self._key(model, data))
        except Exception as error:  # whatever is wrong with the cache, there is still the model
            log.warning("cache: %s", error)
            return None
        return json.loads(found) if found else None

    def put(self, model: str, data: bytes, scores: dict[str, float]) -> None:
        """Keep the scores for a while."""
        if self._client is None:
            return
        try:
            self._client.set(self._key(model, data), json.dumps(scores), ex=self._seconds)
        except Exception as error:
            log.warning("cache: %s", error)

    @staticmethod
    def _key(model: str, data: bytes) -> str:
        return f"{model}:{hashlib.sha256(data).hexdigest()}"
