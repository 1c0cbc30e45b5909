"""Stack files are refused with the reason that Docker gives; what a container used is read from its statistics."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from dockerlab.containers import workers
from dockerlab.detection import api_client, variants
from dockerlab.lessons.lesson11_production import rollout

needs_docker = pytest.mark.skipif(
    not shutil.which("docker"), reason="`docker stack config` needs the docker command"
)


@needs_docker
@pytest.mark.parametrize("name", ["naive", "careful"])
def test_the_lesson_s_stack_files_are_valid(name: str) -> None:
    assert "image: some" in rollout.config(rollout.CONTEXT / f"{name}.yaml", "some")


@needs_docker
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("services:\n  api:\n    image: x\n    deploy: {update-config: {}}\n", "update-config"),
        ("services: [", "does not take the file"),
        ("", "does not take the file"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_reason(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text(text)
    with pytest.raises(rollout.StackRefused, match=says):
        rollout.config(file)


def test_without_the_docker_command_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(rollout.StackRefused, match="no `docker` command"):
        rollout.config(tmp_path / "stack.yaml")


def test_the_bad_release_differs_by_a_model_that_is_not_there() -> None:
    assert [name for name, arguments in rollout.RELEASES.items() if "MODEL" in arguments] == ["v3"]


def test_what_a_container_used() -> None:
    stats = {
        "memory_stats": {"usage": 900, "stats": {"inactive_file": 200}},
        "cpu_stats": {"cpu_usage": {"total_usage": 3_000_000_000}},
    }
    of = SimpleNamespace(stats=lambda **_: stats)
    assert workers.memory_bytes(of) == 700 and workers.cpu_seconds(of) == 3


@pytest.mark.engine
def test_workers_are_compared_under_the_same_load(client: docker.DockerClient) -> None:
    variants.have_rung("multistage", client)
    frame = workers.compare(
        rollout.BASE, [(2, 1), (2, 2)], api_client.samples()[0], client, requests=4, clients=2, rounds=1
    )
    assert list(frame.columns) == workers.COLUMNS and list(frame["workers"]) == [1, 2]
    assert (frame[["per_second", "p95_ms", "memory_mb", "cpu_ms"]] > 0).all().all()
    assert frame["memory_mb"][1] > 1.5 * frame["memory_mb"][0]
