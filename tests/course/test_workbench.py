"""The bench builds, runs and stops small things, and leaves nothing behind."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from dockerlab.containers.health import health_states
from dockerlab.course.workbench import Bench, _program, _short, answers, archive, free_port, stop_all
from dockerlab.lessons.lesson03_dockerfile.measures import LITTER, litter, other_arguments


@pytest.fixture
def bench(client: docker.DockerClient, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(f"test{uuid.uuid4().hex[:6]}", client, tmp_path / "bench")
    yield bench
    bench.clear()
    assert bench.left() == ([], [])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/bin/sh -c uvicorn app", "sh"),
        ("/opt/venv/bin/python /opt/venv/bin/uvicorn app", "uvicorn"),
        ("python -c import time", "python"),
        ("/sbin/docker-init -- sh", "docker-init"),
        ("sleep", "sleep"),
    ],
)
def test_a_command_line_is_named_by_its_program(line: str, name: str) -> None:
    assert _program(line) == name


def test_the_reason_stands_at_the_end_of_the_engine_s_sentence() -> None:
    said = 'exec: "over": executable file not found in $PATH'
    assert _short(f"failed to create task: runc: {said}: unknown") == said
    assert _short("no command specified") == "no command specified"


def test_an_archive_holds_its_files() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive({"a/b.txt": "hé"}))) as tar:
        assert tar.extractfile("a/b.txt").read().decode() == "hé"  # type: ignore[union-attr]


def test_nothing_answers_on_a_free_port() -> None:
    assert not answers(f"http://127.0.0.1:{free_port()}")


def test_arguments_with_another_port() -> None:
    assert other_arguments(["uvicorn", "--port", "8000"]) == ["uvicorn", "--port", "9000"]
    assert other_arguments(["/bin/sh", "-c", "uvicorn --port=8000"]) == [
        "/bin/sh",
        "-c",
        "uvicorn --port=9000",
    ]
    assert other_arguments(None) == []


@pytest.mark.engine
def test_a_project_has_a_folder_of_its_own_beside_the_bench(bench: Bench) -> None:
    (bench.empty("ship") / "old.txt").write_text("old")
    folder = bench.empty("ship")
    assert (
        folder.parent == bench.folder.parent and folder.name.endswith("-ship") and not list(folder.iterdir())
    )


def test_litter_is_the_same_every_time(tmp_path: Path) -> None:
    litter(litter(tmp_path))
    assert {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    } == LITTER


@pytest.mark.engine
def test_build_run_and_changes(bench: Bench, tiny_image: str) -> None:
    bench.write({"note.txt": "hello\n"})
    bench.build("one", f"FROM {tiny_image}\n")
    report = bench.build("two", f"FROM {tiny_image}\nCOPY note.txt /\nENV A=1\n")
    assert report.tag == f"{bench.repository}:two"
    assert dict(bench.changes("one", "two")["after"]) == {"Env A": "1", "layers": "+1"}
    assert bench.run("two", ["cat", "/note.txt"]) == "hello"
    assert bench.run("two", ["nothing-like-it"]).startswith('error: exec: "nothing-like-it"')
    table = bench.run_all(
        ["one", "two"],
        {
            "with": {"command": ["sh", "-c", "echo $A"]},
            "other": {"command": ["echo", "b"], "environment": {"A": "2"}},
        },
    )
    assert table.to_dict("index") == {"one": {"with": "", "other": "b"}, "two": {"with": "1", "other": "b"}}


@pytest.mark.engine
def test_a_bench_removes_what_an_earlier_one_left(bench: Bench, tiny_image: str, tmp_path: Path) -> None:
    bench.build("kept", f"FROM {tiny_image}\nVOLUME /data\n")
    with bench.started("kept", ["sleep", "60"]) as box:
        volume = (
            box.attrs["Mounts"][0]["Name"]
            if box.attrs["Mounts"]
            else bench.client.api.inspect_container(box.id)["Mounts"][0]["Name"]
        )
        again = Bench(bench.repository.removeprefix("dockerlab-lesson"), bench.client, tmp_path / "again")
        assert again.left() == ([], [])
        with pytest.raises(NotFound):
            bench.client.containers.get(box.id)
    with pytest.raises(NotFound):
        bench.client.volumes.get(volume)


@pytest.mark.engine
def test_an_image_that_lost_its_tag_is_cleared_too(bench: Bench, tiny_image: str) -> None:
    first = bench.build("again", f"FROM {tiny_image}\nLABEL n=1\n").image_id
    bench.build("again", f"FROM {tiny_image}\nLABEL n=2\n")
    bench.clear()
    with pytest.raises(NotFound):
        bench.client.images.get(first)


@pytest.mark.engine
def test_a_stop_is_timed(bench: Bench, tiny_image: str) -> None:
    bench.build("deaf", f'FROM {tiny_image}\nCMD ["sleep", "60"]\n')
    bench.build(
        "polite",
        f'FROM {tiny_image}\nCMD ["sh", "-c", "trap \'echo goodbye; exit 0\' TERM; while true; do sleep 0.1; done"]\n',
    )
    with (
        bench.started("deaf") as deaf,
        bench.started("polite") as polite,
        bench.started("deaf", init=True) as helped,
    ):
        frame = stop_all({"deaf": deaf, "polite": polite, "helped": helped}, goodbye="goodbye", timeout=3)
    assert list(frame["exit code"]) == [137, 0, 143]
    assert list(frame["said goodbye"]) == [False, True, False]
    assert frame.loc["deaf", "seconds"] > 2.5
    assert list(frame["PID 1"]) == ["sleep", "sh", "docker-init"]


@pytest.mark.engine
def test_health_goes_through_its_states(bench: Bench, tiny_image: str) -> None:
    bench.build(
        "health",
        f'FROM {tiny_image}\nHEALTHCHECK --interval=1s --retries=1 CMD ["test", "-f", "/ready"]\nCMD ["sleep", "60"]\n',
    )
    with bench.started("health", init=True) as box:
        assert health_states(box, until="unhealthy")[-1] == "unhealthy"
        box.exec_run(["touch", "/ready"])
        assert health_states(box, until="healthy") == ["unhealthy", "healthy"]
