"""What is inherited is not owned: whose containers, volumes and images are, by marks that cannot be handed on and by what was noted."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from dockerlab.course import cleanup
from dockerlab.engine import connection, object_labels, ownership
from dockerlab.engine.ownership import Record
from dockerlab.images.build import build

IMAGE = {
    "dockerlab.course": "1",
    "dockerlab.owner": "ann",
    "dockerlab.kind": "image",
    "dockerlab.tag": "dockerlab-api:slim",
}
OBJECT = {"dockerlab.course": "1", "dockerlab.owner": "ann", "dockerlab.object": "a1"}


@pytest.fixture(autouse=True)
def learner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A learner with a record of their own."""
    monkeypatch.setenv("DOCKERLAB_OWNER", f"t{uuid.uuid4().hex[:10]}")
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("DOCKERLAB_WORKER", raising=False)
    return object_labels.owner()


@pytest.fixture
def ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKERLAB_OWNER", "ann")


@pytest.mark.parametrize(
    ("labels", "inherited", "expected"),
    [
        (OBJECT, {}, True),
        (OBJECT, IMAGE, True),
        (OBJECT, None, True),
        (OBJECT | {"dockerlab.kind": "base"}, {"dockerlab.kind": "base"}, True),
        (IMAGE, IMAGE, False),  # inherited from our image
        (IMAGE, {}, False),  # copied by hand
        (OBJECT | {"dockerlab.object": ""}, {}, False),
        (OBJECT, OBJECT, False),  # inherited from what `docker commit` made of a container of ours
        (OBJECT | {"dockerlab.object": "b2"}, OBJECT, True),  # we ran such an image
        (OBJECT | {"dockerlab.owner": "bob"}, {}, False),
        ({"dockerlab.object": "a1", "dockerlab.course": "1"}, {}, False),
        ({"dockerlab.object": "a1", "dockerlab.owner": "ann"}, {}, False),
        ({}, {}, False),
        (None, None, False),
    ],
)
def test_a_thing_is_ours_by_its_own_mark(ann, labels, inherited, expected) -> None:
    assert ownership.marked(labels, inherited) is expected


def test_a_worker_sees_its_own_things_and_the_learner_sees_those_of_all(ann, monkeypatch) -> None:
    of = {worker: OBJECT | {"dockerlab.worker": worker} for worker in ("gw0", "gw1")}
    assert ownership.marked(of["gw0"]) and ownership.marked(of["gw1"])
    monkeypatch.setenv("DOCKERLAB_WORKER", "gw1")
    assert not ownership.marked(of["gw0"]) and not ownership.marked(OBJECT) and ownership.marked(of["gw1"])
    assert ownership.marked(object_labels.labels())


@pytest.mark.parametrize(
    ("tags", "labels", "record", "expected"),
    [
        (["dockerlab-api:slim"], IMAGE, Record(), True),
        (["mine/keep:7", "dockerlab-api:slim"], IMAGE, Record(), True),
        (["acme/service:1"], IMAGE, Record(), False),  # built FROM ours
        (["dockerlab-acme:1"], IMAGE, Record(), False),  # the name alone proves nothing
        ([], IMAGE, Record(), False),  # dangling, and anybody's
        (["dockerlab-api:slim"], IMAGE | {"dockerlab.owner": "bob"}, Record(), False),
        (["dockerlab-api:slim"], {}, Record(), False),
        (["acme/service:1"], {}, Record(ids={"sha256:1"}), True),
        ([], IMAGE, Record(ids={"sha256:1"}), True),
        # Somebody built FROM our image under its very name; ours is still there, without it.
        (
            ["dockerlab-api:slim"],
            IMAGE,
            Record(ids={"sha256:0"}, latest={"dockerlab-api:slim": "sha256:0"}),
            False,
        ),
        # Ours was built again elsewhere, and what we noted is gone.
        (
            ["dockerlab-api:slim"],
            IMAGE,
            Record(ids={"sha256:9"}, latest={"dockerlab-api:slim": "sha256:9"}),
            True,
        ),
    ],
)
def test_an_image_is_ours_by_what_was_noted_or_by_what_it_was_built_as(
    ann, tags, labels, record, expected
) -> None:
    assert ownership.is_own_image("sha256:1", tags, labels, record, ["sha256:0", "sha256:1"]) is expected


class Engine:
    """An engine that only says who it is."""

    def info(self) -> dict[str, str]:
        return {"ID": "an engine/1"}


def test_the_record_of_many_processes_is_whole_and_damage_costs_a_line(monkeypatch) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_ownership import Engine; from dockerlab.engine import ownership\n"
        "for number in range(100): ownership.note(Engine(), id=f'{sys.argv[1]}-{number}', tag='dockerlab-x:1', kind='image')"
    )
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda each: subprocess.run(
                    [sys.executable, "-c", code, str(each), str(Path(__file__).parent)], check=True
                ),
                range(4),
            )
        )
    file = ownership.record_file(Engine())
    with file.open("a") as handle:
        handle.write('{"id": "cut o\n[]\nnull\n')
    ownership.note(Engine(), id="last")
    assert len(ownership.read(Engine()).ids) == 401
    assert file.name.startswith("an_engine_1.") and file.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("DOCKERLAB_OWNER", "somebody-else")
    assert ownership.read(Engine()) == Record()


def test_where_the_record_cannot_be_written_nothing_fails(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path / "file"))
    ownership.note(Engine(), id="x")
    assert ownership.read(Engine()) == Record()


# --- on the engine ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def name(client: docker.DockerClient) -> Iterator[str]:
    """A name for the things of a test, all of which are removed at its end."""
    name = uuid.uuid4().hex[:10]
    yield name
    for container in client.containers.list(all=True, filters={"name": name}):
        container.remove(force=True, v=True)
    for entry in client.api.images():
        for tag in entry.get("RepoTags") or []:
            if name in tag:
                client.images.remove(tag, force=True)


def dockerfile(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(text)
    return folder


@pytest.mark.engine
@pytest.mark.parametrize("everything", [False, True])
def test_what_somebody_made_of_our_image_stays_with_its_data(
    client, tiny_image, tmp_path, name, everything
) -> None:
    ours = build(
        dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}\n"),
        tag=f"dockerlab-{name}:api",
        client=client,
        labels={"dockerlab.lesson": name},
    )
    assert not set(object_labels.OBJECT_LABELS) & set(client.images.get(ours.image_id).labels)
    client.images.build(
        path=str(dockerfile(tmp_path / "acme", f"FROM dockerlab-{name}:api\nVOLUME /data\n")),
        tag=f"acme-{name}:1",
        rm=True,
    )
    client.images.get(ours.image_id).tag(f"keep-{name}", "7")
    prod = client.containers.run(f"acme-{name}:1", "sleep 300", detach=True, name=f"acme-{name}")
    hand = client.containers.run(f"dockerlab-{name}:api", "sleep 300", detach=True, name=f"hand-{name}")
    prod.reload()
    volume = prod.attrs["Mounts"][0]["Name"]

    connection.connect().close()
    cleanup.begin(client, f"dockerlab.lesson={name}")
    cleanup.sweep(client)
    cleanup.clean(client, everything=everything)

    for container in (prod, hand):
        container.reload()
        assert container.status == "running"
    assert (
        client.volumes.get(volume)
        and client.images.get(f"acme-{name}:1")
        and client.images.get(f"keep-{name}:7").id == ours.image_id
    )
    with pytest.raises(NotFound):
        client.images.get(f"dockerlab-{name}:api")


@pytest.mark.engine
def test_our_image_is_kept_while_somebody_runs_it_and_that_is_said(
    client, tiny_image, tmp_path, name
) -> None:
    build(
        dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}\n"),
        tag=f"dockerlab-{name}:api",
        client=client,
    )
    hand = client.containers.create(f"dockerlab-{name}:api", name=f"hand-{name}")
    report = cleanup.clean(client)
    assert report.images == 0 and f"dockerlab-{name}:api" in report.kept[0]
    assert client.containers.get(hand.id)
    hand.remove()
    assert cleanup.clean(client).images == 1


@pytest.mark.engine
def test_of_images_without_a_name_only_those_go_that_we_built(client, tiny_image, tmp_path, name) -> None:
    ours = [
        build(
            dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}-{number}\n"),
            tag=f"dockerlab-{name}:api",
            client=client,
        ).image_id
        for number in range(2)
    ]
    theirs, _ = client.images.build(
        path=str(dockerfile(tmp_path / "acme", f"FROM dockerlab-{name}:api\nENV OWN=1\n")), rm=True
    )
    report = cleanup.remove_dangling(client)
    assert report.images == 1
    with pytest.raises(NotFound):
        client.images.get(ours[0])
    assert client.images.get(ours[1]) and client.images.get(theirs.id)
    client.images.remove(theirs.id)


@pytest.mark.engine
def test_a_build_that_was_killed_before_it_could_be_noted_is_known_by_its_tag(
    client, tiny_image, tmp_path, name
) -> None:
    tag = f"dockerlab-{name}:api"
    built = build(
        dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}\n"), tag=tag, client=client
    )
    file = ownership.record_file(client)
    file.write_text(
        "".join(f"{line}\n" for line in file.read_text().splitlines() if not json.loads(line).get("id"))
    )
    assert [each.ours for each in ownership.images(client)] == [(tag,)]
    file.unlink()
    assert [each.id for each in ownership.images(client)] == [built.image_id]
    assert cleanup.clean(client).images == 1


@pytest.mark.engine
def test_another_learner_takes_nothing_of_ours(client, tiny_image, tmp_path, name, monkeypatch) -> None:
    marks = object_labels.labels(lesson=name)
    build(
        dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}\n"),
        tag=f"dockerlab-{name}:api",
        client=client,
        labels=marks,
    )
    made = [
        client.containers.create(tiny_image, name=f"dockerlab-{name}", labels=marks),
        client.volumes.create(f"dockerlab-{name}", labels=marks),
        client.networks.create(f"dockerlab-{name}", labels=marks),
    ]
    with monkeypatch.context() as other:
        other.setenv("DOCKERLAB_OWNER", "somebody-else")
        cleanup.begin(client, f"dockerlab.lesson={name}")
        cleanup.clean(client, everything=True)
    for each in made:
        each.reload()
    assert client.images.get(f"dockerlab-{name}:api")
    report = cleanup.remove_labelled(client, f"dockerlab.lesson={name}")
    assert (report.containers, report.networks, report.volumes, report.images) == (1, 1, 1, 1)


@pytest.mark.engine
def test_bases_go_with_all_unless_somebody_uses_them(client, name) -> None:
    def base(what: str) -> str:
        tag = f"public-{name}-{what}:1"
        changes = [
            f'LABEL {key}="{value}"' for key, value in object_labels.image_labels(tag, kind="base").items()
        ]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo(tag)
            tar.addfile(entry, io.BytesIO())
        client.api.import_image_from_data(
            buffer.getvalue(), repository=tag.partition(":")[0], tag="1", changes=changes
        )
        return tag

    free, used, built_on = base("free"), base("used"), base("built-on")
    client.containers.create(used, ["/x"], name=f"acme-{name}")
    client.images.build(
        fileobj=io.BytesIO(f"FROM {built_on}\nENV OWN=1\n".encode()), tag=f"acme-{name}:1", rm=True
    )
    cleanup.clean(client)
    assert all(client.images.get(tag) for tag in (free, used, built_on))
    cleanup.clean(client, everything=True)
    assert client.images.get(used) and client.images.get(built_on)
    with pytest.raises(NotFound):
        client.images.get(free)


@pytest.mark.engine
def test_tags_in_a_registry_of_ours_go_and_others_stay(client, tiny_image, tmp_path, name) -> None:
    built = build(
        dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}\n"),
        tag=f"dockerlab-{name}:api",
        client=client,
    )
    registry = client.containers.run(
        tiny_image,
        "sleep 300",
        detach=True,
        name=f"dockerlab-{name}",
        labels=object_labels.labels(),
        ports={"5000/tcp": ("127.0.0.1", None)},
    )
    registry.reload()
    port = registry.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"]
    for place in (f"127.0.0.1:{port}/{name}", f"registry.example/{name}"):
        client.images.get(built.image_id).tag(place, "1")
    cleanup.clean(client)
    assert client.images.get(built.image_id).tags == [f"registry.example/{name}:1"]


@pytest.mark.engine
def test_the_docker_command_of_a_lesson_marks_what_it_makes(
    client, tiny_image, tmp_path, name, monkeypatch
) -> None:
    path = os.environ["PATH"]
    for key in ("PATH", "DOCKERLAB_MARKS", "DOCKERLAB_IMAGE_MARKS", "DOCKERLAB_RECORD", "DOCKERLAB_PROCESS"):
        monkeypatch.setenv(key, os.environ.get(key, ""))
    ownership.mark_commands(client)
    ownership.mark_commands(client)
    assert os.environ["PATH"].endswith(path) and os.environ["PATH"].count("commands") == 1 + path.count(
        "commands"
    )

    def run(*words: str) -> str:
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    folder = dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}\n")
    first = run("build", "-q", "-t", f"dockerlab-{name}", str(folder))
    dockerfile(folder, f"FROM {tiny_image}\nENV NAME={name}-2\n")
    second = run(
        "buildx", "build", "-q", f"--tag=dockerlab-{name}:latest", "-t", f"dockerlab-{name}:2", str(folder)
    )
    nameless = run(
        "build", "-q", str(dockerfile(tmp_path / "third", f"FROM {tiny_image}\nENV NAME={name}-3\n"))
    )
    labels = client.images.get(second).labels
    assert labels["dockerlab.tag"] == f"dockerlab-{name}:latest" and not set(
        object_labels.OBJECT_LABELS
    ) & set(labels)
    boxes = [
        run("run", "-d", "--name", f"dockerlab-{name}-{words[0]}", *words[1:])
        for words in (
            ("one", tiny_image, "sh", "-c", "echo 'two  words'; sleep 300"),
            ("two", f"dockerlab-{name}", "sleep", "300"),
        )
    ]
    boxes.append(run("container", "create", f"dockerlab-{name}:2"))
    run("volume", "create", f"dockerlab-{name}")
    run("network", "create", f"dockerlab-{name}")
    assert client.containers.get(boxes[0]).logs() == b"two  words\n"
    assert {each.id for each in ownership.containers(client)} == set(boxes)
    assert {each.id for each in ownership.images(client)} >= {first, second, nameless}
    assert run("version", "--format", "{{.Client.Version}}")
    report = cleanup.clean(client)
    assert (report.containers, report.images, report.volumes, report.networks, report.kept) == (
        3,
        3,
        1,
        1,
        (),
    )


@pytest.mark.engine
def test_what_docker_py_builds_under_our_name_is_noted_and_nothing_else(
    client, tiny_image, tmp_path, name
) -> None:
    folder = dockerfile(tmp_path / "ours", f"FROM {tiny_image}\nENV NAME={name}\n")
    ours, _ = client.images.build(
        path=str(folder), tag=f"dockerlab-{name}:1", labels=object_labels.labels(kind="test"), rm=True
    )
    theirs, _ = client.images.build(path=str(folder), tag=f"acme-{name}:1", rm=True)
    assert (
        not set(object_labels.OBJECT_LABELS) & set(ours.labels)
        and ours.labels["dockerlab.tag"] == f"dockerlab-{name}:1"
    )
    assert [each.id for each in ownership.images(client)] == [ours.id] and theirs.labels == client.images.get(
        tiny_image
    ).labels
