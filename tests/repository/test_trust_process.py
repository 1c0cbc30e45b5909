"""What a killed process left on the engine goes with the next sweep; what a living one, or anybody else, made stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from dockerlab.course import cleanup, doctor, precondition
from dockerlab.engine import connection, object_labels, process_marks
from tests.support.commands import dockerlab

MAKE = """
import os, sys
from dockerlab.engine import connection, object_labels
client, name = connection.connect(), sys.argv[1]
client.containers.run(sys.argv[2], "sleep 300", detach=True, labels=object_labels.labels(), name=f"dockerlab-{name}")
client.containers.create(sys.argv[2], "true", labels=object_labels.labels(process=""), name=f"dockerlab-{name}-stays")
client.networks.create(f"dockerlab-{name}", labels=object_labels.labels())
client.volumes.create(f"dockerlab-{name}", labels=object_labels.labels())
print("made", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A learner and a name of our own."""
    name = uuid.uuid4().hex[:10]
    monkeypatch.setenv("DOCKERLAB_OWNER", f"p{name}")
    return name


@pytest.fixture
def left(client: docker.DockerClient, tiny_image: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """A process that made one thing of each kind and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, name, tiny_image],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "made\n"
    yield process
    process.kill()
    process.communicate(timeout=120)
    for container in client.containers.list(all=True, filters={"name": name}):
        container.remove(force=True)
    for volume in client.volumes.list(filters={"name": name}):
        volume.remove()
    for network in client.networks.list(filters={"name": name}):
        network.remove()


def there(client: docker.DockerClient, name: str) -> set[tuple[str, str]]:
    """Kind and name of what bears this name."""
    kinds = {"container": client.containers, "network": client.networks, "volume": client.volumes}
    options = {"container": {"all": True}}
    return {
        (kind, thing.name)
        for kind, them in kinds.items()
        for thing in them.list(filters={"name": name}, **options.get(kind, {}))
    }


@pytest.mark.engine
def test_a_killed_process_is_cleaned_up_after_and_a_living_one_is_not(
    client, left, name, monkeypatch
) -> None:
    everything = there(client, name)
    assert len(everything) == 4
    cleanup.sweep(client)
    assert there(client, name) == everything
    left.kill()  # it stays a zombie until its parent asks for it, which is how a killed kernel looks at first
    with monkeypatch.context() as other:
        other.setenv("DOCKERLAB_OWNER", "somebody-else")
        cleanup.sweep(client)
        other.setenv("DOCKERLAB_OWNER", object_labels.owner())
        other.setenv("DOCKERLAB_WORKER", "gw7")
        cleanup.sweep(client)
    connection.connect().close()
    assert there(client, name) == everything, "to connect removes nothing"
    assert str(cleanup.left_by_the_dead(client)) == "1 container, 1 network, 1 volume"
    cleanup.sweep(client)
    assert there(client, name) == {("container", f"dockerlab-{name}-stays")}


@pytest.mark.engine
def test_what_killed_workers_of_the_tests_left_goes_with_one_clean_and_no_worker_takes_anothers(
    client, tiny_image, name, monkeypatch
) -> None:
    monkeypatch.setenv(
        "DOCKERLAB_OWNER", f"owner-of-{name}"
    )  # `dockerlab clean` takes all that its owner has
    workers = {
        worker: subprocess.Popen(
            [sys.executable, "-c", MAKE, f"{name}-{worker}", tiny_image],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "DOCKERLAB_WORKER": worker},
        )
        for worker in ("gw0", "gw1")
    }
    for process in workers.values():
        assert process.stdout and process.stdout.readline() == "made\n"
        process.kill()
        process.communicate(timeout=60)
    with monkeypatch.context() as worker:
        worker.setenv("DOCKERLAB_WORKER", "gw1")
        cleanup.sweep(client)
        assert (
            there(client, f"{name}-gw1") == {("container", f"dockerlab-{name}-gw1-stays")}
            and len(there(client, f"{name}-gw0")) == 4
        )
        cleanup.clean(client)
        assert there(client, f"{name}-gw1") == set() and len(there(client, f"{name}-gw0")) == 4
    monkeypatch.delenv("DOCKERLAB_WORKER", raising=False)  # as a reader's own command runs
    done = dockerlab("clean")
    assert done.returncode == 0 and there(client, name) == set(), done.stdout + done.stderr


@pytest.mark.engine
def test_the_next_command_ends_what_a_killed_process_would_start_again_and_again(
    client, tiny_image, name
) -> None:
    dead = {
        process_marks.LABEL: dead_mark(),
        **{key: value for key, value in object_labels.labels().items() if key != process_marks.LABEL},
    }
    client.containers.run(
        tiny_image,
        "false",
        detach=True,
        labels=dead,
        name=f"dockerlab-{name}",
        restart_policy={"Name": "always"},
    )
    done = dockerlab("inspect", tiny_image)
    assert done.returncode == 0, done.stdout + done.stderr
    assert there(client, name) == set()


@pytest.mark.engine
def test_doctor_names_what_a_killed_check_left_and_one_clean_removes_it(
    client, tiny_image, name, tmp_path
) -> None:
    code = f"""
import sys
from pathlib import Path
from dockerlab.images.build import build
from dockerlab.course.grading.judging import Submission
submission = Submission(Path({str(tmp_path)!r}), lab="00").__enter__()
(Path({str(tmp_path)!r}) / "Dockerfile").write_text("FROM {tiny_image}\\nENV NAME={name}\\n")
print(submission.copy(), build(submission.folder, tag=submission.tag("image"), labels=submission.labels(), client=submission.client).tag, flush=True)
submission.client.containers.run("{tiny_image}", "sleep 300", detach=True, labels=submission.labels(), name=submission.name("{name}"))
print("made", flush=True)
sys.stdin.read()
"""
    check = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert check.stdout
    copy, tag = check.stdout.readline().split()
    assert check.stdout.readline() == "made\n"
    assert (
        cleanup.left_by_the_dead(client) == cleanup.Own() and Path(copy).is_dir() and client.images.get(tag)
    )
    check.kill()
    check.communicate(timeout=60)
    [found] = doctor._leftovers(client)
    assert (
        found.status == "warning"
        and "1 container, 1 image" in found.found
        and "temporary folder" in found.found
        and "dockerlab clean" in found.fix
    )
    done = dockerlab("clean")
    assert done.returncode == 0 and "Removed 1 container, 1 image" in done.stdout, done.stdout + done.stderr
    assert not Path(copy).parent.exists() and not client.images.list(tag) and there(client, name) == set()
    assert doctor._leftovers(client) == [precondition.Check("leftovers", "ok", "none")]


def dead_mark() -> str:
    """The mark of a process of this machine that has ended."""
    return f"{process_marks.mark().rsplit('-', 2)[0]}-99999999-1"


def test_a_process_is_known_by_more_than_its_number() -> None:
    mark = process_marks.mark()
    place, pid, start = mark.rsplit("-", 2)
    assert pid == str(os.getpid()) and process_marks.alive(mark)
    assert not process_marks.alive(f"{place}-{pid}-{int(start) - 1}")
    assert not process_marks.alive(f"{place}-99999999-{start}")
    # Another machine's or another container's processes cannot be seen from here.
    machine, boot, processes = place.split(".")
    assert process_marks.alive(f"0{machine[1:-1]}x.{boot}.{processes}-99999999-{start}")
    assert process_marks.alive(f"{machine}.{boot}.1-99999999-{start}")
    assert all(process_marks.alive(text) for text in ("", "-", "no mark", "elsewhere.1-99999999-5"))


def test_a_machine_that_was_started_again_has_none_of_its_processes_left() -> None:
    place, pid, start = process_marks.mark().rsplit("-", 2)
    machine, boot, processes = place.split(".")
    other = boot.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    assert not process_marks.alive(f"{machine}.{other}.{processes}-{pid}-{start}")
    assert not process_marks.alive(f"{machine}.{other}.1-{pid}-{start}"), (
        "a container of that boot has ended, too"
    )


@pytest.mark.engine
def test_after_the_machine_was_started_again_what_restarts_by_itself_goes_too(
    client, tiny_image, name
) -> None:
    place, rest = process_marks.mark().split("-", 1)
    machine, boot, processes = place.split(".")
    before = {process_marks.LABEL: f"{machine}.{'0' * len(boot)}.{processes}-{rest}"}
    client.containers.run(
        tiny_image,
        "sleep 300",
        detach=True,
        labels=object_labels.labels() | before,
        name=f"dockerlab-{name}",
        restart_policy={"Name": "unless-stopped"},
    )
    cleanup.sweep(client)
    assert there(client, name) == set()


def test_a_process_of_another_user_that_the_system_hides_may_live(monkeypatch) -> None:
    def refuse(pid: int, sent: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert process_marks.alive(f"{process_marks.mark().rsplit('-', 2)[0]}-99999999-1")


def test_no_image_ever_carries_the_mark_of_an_object_or_a_process() -> None:
    for kind in object_labels.IMAGE_KINDS:
        assert not set(object_labels.OBJECT_LABELS) & set(object_labels.labels(kind=kind))
    assert not set(object_labels.OBJECT_LABELS) & set(
        object_labels.for_image(object_labels.labels(kind="check"))
    )


def test_what_lasts_names_no_process() -> None:
    assert all(
        process_marks.LABEL not in object_labels.labels(kind=kind) for kind in object_labels.LASTING_KINDS
    )
    assert (
        object_labels.labels(kind="container")[process_marks.LABEL]
        == object_labels.labels()[process_marks.LABEL]
        == process_marks.mark()
    )
    assert object_labels.labels(process="")[process_marks.LABEL] == ""


def test_folders_of_dead_processes_are_found_and_others_are_not(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with process_marks.folder("check") as living:
        dead = tmp_path / f"dockerlab-check-{dead_mark()}-abcd1234"
        dead.mkdir()
        for other in ("dockerlab-check-abcd", "dockerlab-notes", f"mine-{dead_mark()}-x"):
            (tmp_path / other).mkdir()
        (tmp_path / f"dockerlab-check-{dead_mark()}-link").symlink_to(tmp_path / "dockerlab-notes")
        assert process_marks.dead_folders() == [dead] and Path(living).is_dir()
