"""Answers in redis, by the hash of their picture."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import redis

KEEP_SECONDS = 3600


class Cache:
    """Never in the way: where redis does not answer, every picture is a new one."""

    def __init__(self, host: str) -> None:
        self.server = redis.Redis(host=host, socket_timeout=1, socket_connect_timeout=1)

    @classmethod
    def from_environment(cls) -> Cache:
        """REDIS_HOST says where it is."""
        return cls(os.environ.get("REDIS_HOST", "cache"))

    @staticmethod
    def key(model: str, picture: bytes, confidence: float) -> str:
        """The same bytes, model and threshold give the same answer, so these three are the name of it."""
        return f"answer:{model}:{confidence:g}:{hashlib.sha256(picture).hexdigest()}"

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer that was kept, or None."""
        try:
            found = self.server.get(key)
        except redis.RedisError:
            return None
        return json.loads(found) if found else None

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer for an hour."""
        try:
            self.server.set(key, json.dumps(answer), ex=KEEP_SECONDS)
        except redis.RedisError:
            return

    def ping(self) -> None:
        """Raises RedisError where redis does not answer."""
        self.server.ping()
