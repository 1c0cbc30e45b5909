"""How many bytes a build takes from the network, whatever fetches them: its RUN steps go through a proxy that counts.

`http_proxy` and `https_proxy` are arguments that the builder knows undeclared: they reach RUN, stay out of the image and its
history, and are left out of the cache key. So a counted build has the same cache as any other. apt, pip, uv and curl obey them.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import requests

from dockerlab.containers import container
from dockerlab.engine import endpoint, object_labels
from dockerlab.images import base_images
from dockerlab.images.build import build
from dockerlab.images.build_report import BuildReport

PORT = 3128
_PROXY = Path(__file__).with_name("counting_proxy.py")


class Meter:
    """Counts the downloads of builds; made by `metered`."""

    def __init__(self, client: docker.DockerClient, proxy: str, answers: str) -> None:
        self._client, self._proxy, self._answers = client, proxy, answers

    def received(self) -> dict[str, int]:
        """Bytes received so far, by host."""
        return {
            host: int(count)
            for host, count in requests.get(f"{self._answers}/received", timeout=10).json().items()
        }

    def build(
        self, context: Path | str, builder: Callable[..., BuildReport] | None = None, **options: Any
    ) -> tuple[BuildReport, int]:
        """`dockerlab.images.build.build`, or `builder`, with the same keywords; the report, and the bytes that its RUN steps received. Asks the engine."""
        before = sum(self.received().values())
        proxies = {
            name: self._proxy
            for word in ("http", "https")
            for name in (f"{word}_proxy", f"{word.upper()}_PROXY")
        }
        proxies |= {
            "no_proxy": "",
            "NO_PROXY": "",
        }  # the meter itself leaves the site's proxy out where the site says so
        arguments = dict(options.pop("buildargs", None) or {}) | proxies
        report = (
            builder(context, buildargs=arguments, **options)
            if builder
            else build(context, buildargs=arguments, **{"client": self._client, **options})
        )
        return report, sum(self.received().values()) - before


@contextmanager
def metered(client: docker.DockerClient, name: str | None = None) -> Iterator[Meter]:
    """Run the counting proxy beside the builds for as long as the block lasts. Asks the engine.

    It is a container on the default bridge, where the engine puts RUN steps too; a password, new each time, keeps other containers from
    using it. It goes on by the site's own proxy where builds need one.
    """
    base_images.ensure(base_images.SLIM, client)
    name = name or f"{object_labels.NAME_PREFIX}meter-{uuid.uuid4().hex[:8]}"
    command = ["python", "-u", "-c", _PROXY.read_text(encoding="utf-8"), str(PORT)]
    login = f"meter:{secrets.token_hex(16)}"
    environment = endpoint.proxies(endpoint.address_of(client)) | {"METER_LOGIN": login}
    with container.running(
        base_images.SLIM,
        command=command,
        port=PORT,
        ready="/received",
        name=name,
        environment=environment,
        client=client,
    ) as service:
        yield Meter(client, f"http://{login}@{container.address(service.container)}:{PORT}", service.url)
