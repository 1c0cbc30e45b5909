"""One row a request, in postgres."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Any

import psycopg

TABLE = """
CREATE TABLE IF NOT EXISTS detections (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), picture text NOT NULL, cached boolean NOT NULL,
    objects integer NOT NULL, milliseconds real NOT NULL, served_by text NOT NULL
)"""
SUMMARY = "SELECT count(*), count(*) FILTER (WHERE cached), coalesce(sum(objects), 0) FROM detections"


class LogFailed(Exception):
    """The database does not answer, or does not let us in."""


class Log:
    """One connection, used in turn, and opened anew when it was lost."""

    def __init__(self, host: str, database: str, user: str, password: str) -> None:
        self.host, self._lock, self._connection = host, Lock(), None
        self._asked = {"host": host, "dbname": database, "user": user, "password": password, "connect_timeout": 10, "autocommit": True}

    @classmethod
    def from_environment(cls) -> Log:
        """DB_HOST, DB_NAME, DB_USER, and the password in the file that DB_PASSWORD_FILE names."""
        file = os.environ.get("DB_PASSWORD_FILE")
        password = Path(file).read_text(encoding="utf-8").strip() if file else ""
        return cls(os.environ.get("DB_HOST", "db"), os.environ.get("DB_NAME", "harbour"), os.environ.get("DB_USER", "postgres"), password)

    def prepare(self) -> None:
        """Make the table where it is missing; two replicas may do so at once. Raises LogFailed."""
        self._ask("SELECT pg_advisory_lock(8)")
        self._ask(TABLE)
        self._ask("SELECT pg_advisory_unlock(8)")

    def add(self, picture: str, cached: bool, objects: int, milliseconds: float, served_by: str) -> None:
        """Note one request. Raises LogFailed."""
        self._ask("INSERT INTO detections (picture, cached, objects, milliseconds, served_by) VALUES (%s, %s, %s, %s, %s)",
                  picture, cached, objects, milliseconds, served_by)

    def count(self) -> int:
        """Rows so far. Raises LogFailed."""
        return self._ask("SELECT count(*) FROM detections")[0]

    def summary(self) -> dict[str, int]:
        """Rows, how many of them came out of the cache, and the objects in all. Raises LogFailed."""
        return dict(zip(("rows", "hits", "objects"), self._ask(SUMMARY), strict=True))

    def _ask(self, query: str, *values: Any) -> tuple[Any, ...]:
        with self._lock:
            for attempt in (1, 2):
                try:
                    if self._connection is None or self._connection.closed:
                        self._connection = psycopg.connect(**self._asked)
                    answer = self._connection.execute(query, values or None)
                    return answer.fetchone() if answer.description else ()
                except psycopg.OperationalError as error:
                    if attempt == 2 or self._connection is None:
                        raise LogFailed(" ".join(str(error).split())) from error
                    self._connection = None
        return ()
