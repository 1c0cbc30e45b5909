"""The engine's build cache: its records, and how to forget those of one build."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Any

import docker
from docker.errors import APIError

from dockerlab.images.build_report import BuildReport


def cache_records(client: docker.DockerClient) -> list[dict[str, Any]]:
    """What the build cache holds, as `docker buildx du` lists it; without the sizes of images and volumes, which take long. Asks the engine."""
    api = client.api  # a session of requests; its df() cannot ask for a part
    answer = api.get(
        f"{api.base_url}/v{api.api_version}/system/df", params={"type": "build-cache"}, timeout=api.timeout
    )
    answer.raise_for_status()
    return answer.json().get("BuildCache") or []


def forget(report: BuildReport, before: set[str], client: docker.DockerClient) -> None:
    """Free what the RUN steps of a build left in the cache; after an edit of `naive` that is 5 GB. Asks the engine.

    `before` are the ids of `cache_records` from before it: these stay. So do steps of others with the same command, which were not made while
    ours ran: a record names neither its build nor its Dockerfile.
    """
    ran = [(step, _RUN.match(step.name)) for step in report.instructions if not step.cached]
    made = [
        (command["command"], report.began + step.started, step.seconds) for step, command in ran if command
    ]
    new = [
        record["ID"]
        for record in cache_records(client)
        if record["ID"] not in before
        and any(
            record.get("Description", "").endswith(f" {command}")
            and -1 <= _seconds(record["CreatedAt"]) - started <= seconds + 1
            for command, started, seconds in made
        )
    ]
    for record in reversed(new):
        with suppress(APIError):
            client.api.prune_builds(filters={"id": [record]}, all=True)


# The command of a RUN step, without its flags.
_RUN = re.compile(r"\[[^]]+\] RUN (?:--\S+ )*(?P<command>.+)", re.DOTALL)


def _seconds(stamp: str) -> float:
    """A time of the engine as seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()
