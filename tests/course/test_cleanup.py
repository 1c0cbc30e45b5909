"""What `clean` takes away and, above all, what it leaves alone."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from dockerlab.course import cleanup
from dockerlab.course.grading import judging
from dockerlab.engine import object_labels, ownership
from tests.support.daemons import second_daemon


def test_the_report_counts_in_words() -> None:
    report = cleanup.CleanReport(
        containers=1, images=2, kept=("dockerlab-x (in use)",), freed_bytes=3_000_000
    )
    assert str(report).splitlines() == [
        "Removed 1 container, 2 images, 0 volumes, 0 networks: 3 MB freed.",
        "Still in use, kept: dockerlab-x (in use)",
    ]


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex[:10]


@pytest.fixture
def learner(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> str:
    """A learner of our own, with a record of their own, so that the tests touch nobody's things on a shared engine."""
    monkeypatch.setenv("DOCKERLAB_OWNER", f"t{name}")
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("DOCKERLAB_WORKER", raising=False)
    return object_labels.owner()


@pytest.fixture
def foreign(client: docker.DockerClient, tiny_image: str, name: str) -> Iterator[dict]:
    """A container, image, volume and network that the course did not make, and a container that inherits a base's labels."""
    image = f"foreign-{name}:1"
    plain = {"dockerlab.course": "", "dockerlab.owner": ""}
    inherited = {"dockerlab.course": "1", "dockerlab.owner": f"t{name}", "dockerlab.kind": "base"}
    holder = client.containers.create(tiny_image, "true", labels=plain, name=f"foreign-holder-{name}")
    changes = ["LABEL dockerlab.course='' dockerlab.owner='' dockerlab.kind=''"]
    holder.commit("foreign-" + name, "1", changes=changes)
    holder.remove()
    things = {
        "running": client.containers.run(
            image, "sleep 300", detach=True, labels=plain, name=f"foreign-{name}"
        ),
        "inherits": client.containers.create(
            tiny_image, "true", labels=inherited, name=f"foreign-inherits-{name}"
        ),
        "volume": client.volumes.create(f"foreign-{name}"),
        "network": client.networks.create(f"foreign-{name}"),
    }
    yield things | {"image": image}
    for kind in ("running", "inherits"):
        things[kind].remove(force=True)
    things["volume"].remove()
    things["network"].remove()
    client.images.remove(image, force=True)


@pytest.mark.engine
@pytest.mark.parametrize("everything", [False, True])
def test_foreign_things_survive_and_ours_go(client, tiny_image, learner, foreign, name, everything) -> None:
    ours = object_labels.labels(kind="test")
    container = client.containers.run(
        tiny_image, "sleep 300", detach=True, labels=ours, name=f"dockerlab-{name}"
    )
    network = client.networks.create(f"dockerlab-{name}", labels=ours)
    volume = client.volumes.create(f"dockerlab-{name}", labels=ours)
    committed = container.commit(f"dockerlab-{name}", "1")
    ownership.note(client, id=committed.id)

    report = cleanup.clean(client, everything=everything)

    assert (report.containers, report.networks, report.volumes, report.images, report.kept) == (
        1,
        1,
        1,
        1,
        (),
    )
    for collection, key in (
        (client.containers, container.id), (client.networks, network.id), (client.volumes, volume.name), (client.images, f"dockerlab-{name}:1"),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            collection.get(key)
    assert client.containers.get(foreign["running"].id).status == "running"
    assert client.containers.get(foreign["inherits"].id)
    assert client.images.get(foreign["image"]) and client.images.get(tiny_image)
    assert client.volumes.get(foreign["volume"].name) and client.networks.get(foreign["network"].id)
    again = cleanup.clean(client, everything=everything)
    assert (again.containers, again.networks, again.volumes, again.images, again.kept) == (0, 0, 0, 0, ())


@pytest.mark.engine
def test_a_label_of_ones_own_takes_its_objects_and_no_others(client, tiny_image, name, learner) -> None:
    wanted, other = (object_labels.labels(lesson=f"t{name}{more}") for more in ("", "-neighbour"))
    client.containers.create(tiny_image, "true", labels=wanted, name=f"dockerlab-{name}")
    client.volumes.create(f"dockerlab-{name}", labels=wanted)
    client.networks.create(f"dockerlab-{name}", labels=wanted)
    stays = [
        client.containers.create(tiny_image, "true", labels=other, name=f"dockerlab-{name}-2"),
        client.volumes.create(f"dockerlab-{name}-2", labels=other),
    ]
    dockerfile = io.BytesIO(f"FROM {tiny_image}\nENV NAME={name}\n".encode())
    image, _ = client.images.build(fileobj=dockerfile, tag=f"dockerlab-{name}:1", labels=wanted, rm=True)
    client.containers.create(tiny_image, "true", labels=wanted | object_labels.labels(lesson=f"t{name}"))
    image.tag(f"dockerlab-{name}", "2")
    try:
        report = cleanup.remove_labelled(client, f"dockerlab.lesson=t{name}")
        assert (report.containers, report.networks, report.volumes, report.images, report.kept) == (
            2,
            1,
            1,
            1,
            (),
        )
        with pytest.raises(NotFound):
            client.images.get(f"dockerlab-{name}:2")
        assert client.containers.get(stays[0].id) and client.volumes.get(stays[1].name)
        again = cleanup.remove_labelled(client, f"dockerlab.lesson=t{name}")
        assert (again.containers, again.networks, again.volumes, again.images) == (0, 0, 0, 0)
    finally:
        for each in stays:
            each.remove()


@pytest.fixture
def kept(client: docker.DockerClient, tiny_image: str, name: str, learner: str) -> Iterator[tuple[str, str]]:
    """An image of ours, by its id, to which somebody has given a name of their own."""
    labels = object_labels.image_labels(check=name)
    image, _ = client.images.build(
        fileobj=io.BytesIO(f"FROM {tiny_image}\nENV NAME={name}\n".encode()),
        tag=f"dockerlab-{name}:1",
        labels=labels,
        rm=True,
    )
    image.tag(f"foreign-keep-{name}", "7")
    yield image.id, f"foreign-keep-{name}:7"
    client.images.remove(f"foreign-keep-{name}:7")


@pytest.mark.engine
def test_by_name_goes_what_is_ours(client, tiny_image, name, learner, kept) -> None:
    ours, prefix = object_labels.labels(kind="test"), f"dockerlab-{name}"
    client.containers.create(tiny_image, "true", labels=ours, name=prefix)
    client.volumes.create(f"{prefix}-data", labels=ours)
    stays = [
        client.containers.create(
            tiny_image, "true", labels={"dockerlab.course": ""}, name=f"{prefix}-theirs"
        ),
        client.volumes.create(f"{prefix}-theirs"),
        client.volumes.create(f"foreign-x-{prefix}", labels=ours),
    ]
    try:
        report = cleanup.remove_named(client, prefix)
        assert (report.containers, report.networks, report.volumes, report.images, report.kept) == (
            1,
            0,
            1,
            0,
            (),
        )
        assert client.containers.get(stays[0].id) and all(client.volumes.get(each.name) for each in stays[1:])
        assert client.images.get(kept[1]).tags == [kept[1]] and not len(cleanup.named(client, prefix))
    finally:
        for each in stays:
            each.remove()


@pytest.mark.engine
def test_what_a_check_made_goes_without_the_names_of_others(client, name, kept) -> None:
    judging._remove_made(client, name)
    assert client.images.get(kept[0]).tags == [kept[1]]


@pytest.mark.engine
@pytest.mark.parametrize("containerd", [False, True], ids=["overlay2", "containerd"])
def test_the_steps_of_the_classic_builder_go_with_their_image(tmp_path, containerd, learner) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nCOPY number /\n")
    with (
        second_daemon(tmp_path, containerd=containerd) as daemon,
        closing(ownership.Client(docker.APIClient(base_url=daemon.url))) as course,
    ):
        for number in range(2):  # the first one of each lesson loses its name
            (context / "number").write_text(str(number))
            for lesson in ("02", "03"):  # labels are set in the order of the alphabet, the owner's last
                course.images.build(
                    path=str(context),
                    tag=f"dockerlab-{lesson}:1",
                    labels={"dockerlab.lesson": lesson},
                    rm=True,
                )
        for lesson in ("02", "03"):
            assert cleanup.remove_labelled(daemon.client, f"dockerlab.lesson={lesson}").images >= 2
            assert not daemon.client.images.list(filters={"label": f"dockerlab.lesson={lesson}"})
