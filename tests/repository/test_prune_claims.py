"""What lesson 02 says about `docker system prune`, on an engine of its own, since it deletes what the reader needs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dockerlab.images.build import build
from tests.support.daemons import Daemon, second_daemon

pytestmark = pytest.mark.engine


def _docker(daemon: Daemon, *words: str) -> str:
    done = subprocess.run(
        ["docker", "--host", daemon.url, *words], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize("containerd", [False, True], ids=["overlay2", "containerd"])
def test_a_label_filter_protects_images_and_volumes_but_not_the_build_cache(
    tmp_path: Path, containerd: bool
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY weights /\nCOPY labels /\n")
    (context / "weights").write_bytes(bytes(100_000))
    (context / "labels").write_text("container\n")
    with second_daemon(tmp_path, containerd=containerd) as daemon:
        build(context, tag="foreign:1", client=daemon.client)
        daemon.client.volumes.create("named", labels={"dockerlab.lesson": "02"})
        assert daemon.client.df()["BuildCache"]
        assert not build(context, tag="foreign:1", client=daemon.client).ran

        _docker(
            daemon,
            "system",
            "prune",
            "--all",
            "--force",
            "--volumes",
            "--filter",
            "label=dockerlab.lesson=02",
        )

        assert not daemon.client.df()["BuildCache"]
        assert build(context, tag="foreign:2", client=daemon.client).ran
        assert daemon.client.images.get("foreign:1")
        assert daemon.client.volumes.get("named"), "system prune --volumes takes anonymous volumes only"
