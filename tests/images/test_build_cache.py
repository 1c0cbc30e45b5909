"""What a measurement leaves in the build cache: nothing large, and nothing of others is taken."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import docker
import pytest

from dockerlab.detection import variants
from dockerlab.images import build_cache
from dockerlab.images.build import build
from dockerlab.images.build_report import BuildReport

pytestmark = pytest.mark.engine


def test_the_cache_of_a_build_made_once_is_freed(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    def fill(marker: str) -> BuildReport:
        (tmp_path / "Dockerfile").write_text(
            f"FROM {tiny_image}\nRUN dd if=/dev/urandom of=/{marker} bs=1000000 count=20\n"
        )
        return build(tmp_path, tag=f"dockerlab-test:{marker}", client=client)

    def held(marker: str) -> int:
        return sum(
            record["Size"] for record in build_cache.cache_records(client) if marker in record["Description"]
        )

    other, mine = uuid.uuid4().hex, uuid.uuid4().hex
    fill(other)
    before = {record["ID"] for record in build_cache.cache_records(client)}
    report = fill(mine)
    assert held(mine) == held(other) == 20_000_000
    for marker in (other, mine):
        variants._remove(f"dockerlab-test:{marker}", client)
    build_cache.forget(report, before, client)
    assert (held(mine), held(other)) == (0, 20_000_000)


def test_the_same_command_in_a_build_of_somebody_else_stays(
    client: docker.DockerClient, tiny_image: str, tmp_path: Path
) -> None:
    command = f"echo {uuid.uuid4().hex} > /made"

    def built(who: str) -> BuildReport:
        (tmp_path / "Dockerfile").write_text(f"FROM {tiny_image}\nENV WHO={who}\nRUN {command}\n")
        return build(tmp_path, client=client)

    def steps() -> set[str]:
        return {
            record["ID"]
            for record in build_cache.cache_records(client)
            if record["Description"].endswith(command)
        }

    before = {record["ID"] for record in build_cache.cache_records(client)}
    report = built("us")
    ours = steps()
    time.sleep(1.5)
    other = built("them")
    theirs = steps() - ours
    assert len(ours) == len(theirs) == 1
    build_cache.forget(report, before, client)
    assert steps() == theirs
    for each in (report, other):
        variants._remove(each.image_id, client)
