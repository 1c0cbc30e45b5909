"""The run of the tests gives back the build cache that it made, and nothing else: on an engine of its own, where nobody else builds."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import docker
import pytest

from dockerlab.images import build_cache
from dockerlab.images.build import build
from tests.plugins import cache_budget
from tests.support.daemons import second_daemon

pytestmark = pytest.mark.engine
STEPS = {
    "earlier": "RUN dd if=/dev/urandom of=/earlier bs=1000000 count=20\nRUN touch /earlier.done",
    "first": "RUN dd if=/dev/urandom of=/first bs=1000000 count=20\nRUN touch /first.done",
    "second": "RUN dd if=/dev/urandom of=/second bs=1000000 count=20\nRUN touch /second.done",
}


def test_old_steps_of_this_run_go_and_all_others_stay(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    with second_daemon(tmp_path, containerd=False) as daemon:
        daemon.take(tiny_image, client)

        def fill(marker: str) -> None:
            steps = STEPS.get(
                marker, f"RUN dd if=/dev/urandom of=/{marker} bs=1000000 count=20\nRUN touch /{marker}.done"
            )
            (context / "Dockerfile").write_text(f"FROM {tiny_image}\n{steps}\n")
            build(context, client=daemon.client)
            daemon.client.images.prune()  # without a tag nothing keeps its layers
            time.sleep(1.1)

        def held() -> list[str]:
            return [
                name
                for name in ("earlier", "first", "theirs", "second")
                if any(
                    record["Size"] >= 20_000_000 and f"/{name} " in record["Description"]
                    for record in build_cache.cache_records(daemon.client)
                )
            ]

        fill("earlier")
        since = dt.datetime.now(dt.UTC)
        time.sleep(1.1)
        fill("first")
        fill("theirs")
        fill("second")
        cache_budget.keep_within(daemon.client, 0, since, dt.timedelta(seconds=60))
        assert held() == ["earlier", "first", "theirs", "second"], (
            "what was used in the last minute may still be wanted"
        )
        assert cache_budget.keep_within(daemon.client, 25_000_000, since, dt.timedelta(0)) >= 20_000_000
        assert held() == ["earlier", "theirs", "second"]
        cache_budget.keep_within(daemon.client, 0, since, dt.timedelta(0))
        assert held() == ["earlier", "theirs"], "somebody else built it meanwhile"
