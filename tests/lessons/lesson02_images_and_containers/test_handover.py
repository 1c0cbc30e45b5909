"""What lab 02 hands over is the same for everybody, small enough, complete, and gone afterwards."""

from __future__ import annotations

import uuid
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from dockerlab.containers import container
from dockerlab.engine import object_labels
from dockerlab.images.image import inspect_tar
from dockerlab.lessons.lesson02_images_and_containers import handover

MARK = "dockerlab.test"


@pytest.fixture
def labels(client: docker.DockerClient):
    own = {MARK: uuid.uuid4().hex[:10]}
    yield object_labels.labels(kind="test") | own
    found = {"label": f"{MARK}={own[MARK]}"}
    for each in client.containers.list(all=True, filters=found):
        container.remove(each)
    for each in client.images.list(filters=found):
        client.images.remove(each.id, force=True)


@pytest.mark.engine
@pytest.mark.parametrize("what", ["service", "job"])
def test_an_image_file_is_small_loads_and_is_made_the_same_twice(
    client, labels, tmp_path: Path, what: str
) -> None:
    tag = f"dockerlab-test:{labels[MARK]}"
    layers = [handover.image_file(what, tag, tmp_path / f"{number}.tar", client, labels) for number in (1, 2)]
    assert layers[0] == layers[1]
    with pytest.raises(ImageNotFound):
        client.images.get(tag)
    assert (tmp_path / "1.tar").stat().st_size < 60_000_000
    assert inspect_tar(tmp_path / "1.tar").config == inspect_tar(tmp_path / "2.tar").config
    loaded = client.images.load((tmp_path / "1.tar").read_bytes())[0]
    assert loaded.tags == [tag]
    assert ("9000/tcp" in (loaded.attrs["Config"].get("ExposedPorts") or {})) is (what == "service")
    assert ("/data" in (loaded.attrs["Config"].get("Volumes") or {})) is (what == "job")


@pytest.mark.engine
def test_a_lost_container_holds_a_table_that_a_new_start_destroys(client, labels) -> None:
    name = f"dockerlab-test-lost-{labels[MARK]}"
    handover.lose(name, f"dockerlab-test-lost:{labels[MARK]}", client, labels)
    table = handover.table_of(name, client)
    assert table.startswith(b"hour,ships,containers\n0,") and len(table.splitlines()) == 25
    lost = client.containers.get(name)
    lost.start()
    lost.wait(timeout=30)
    assert handover.table_of(name, client) != table


def test_boxes_are_counted_as_they_are_written(tmp_path: Path) -> None:
    counts = handover.boxes(tmp_path / "a.csv", seed=7)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "label,score" and len(lines) - 1 == sum(counts.values())
    assert all(
        sum(line.startswith(f"{label},") for line in lines) == count for label, count in counts.items()
    )
    assert handover.boxes(tmp_path / "b.csv", seed=7) == counts != handover.boxes(tmp_path / "b.csv", seed=8)


@pytest.mark.engine
def test_a_registry_answers_and_one_that_runs_is_kept(client, labels) -> None:
    name = f"dockerlab-test-registry-{labels[MARK]}"
    address = handover.registry(name, client, labels)
    first = client.containers.get(name)
    assert handover.registry(name, client, labels) == address
    assert client.containers.get(name).id == first.id
