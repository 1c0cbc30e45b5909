"""The guard of what the course did not make (foreign.py) notices a loss, in a test and in a notebook, and tidies up after itself."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import nbformat
import pytest

from dockerlab.engine import object_labels, ownership, process_marks
from dockerlab.images import base_images
from tests.plugins import foreign
from tests.support.daemons import Daemon, second_daemon

pytestmark = pytest.mark.engine
CODE = str(Path(__file__).resolve().parents[2])  # of this checkout, wherever the environment's package lies
PRUNE = """
from dockerlab.engine import connection
client = connection.connect()
client.containers.prune()
client.volumes.prune(filters={"all": True})
client.networks.prune()
client.images.prune(filters={"dangling": False})
"""


# Every way in which the course tidies up: at the first cell and the last of a lesson, in labs and checks, and on the command line.
TIDY = """
from dockerlab.containers import swarm
from dockerlab.course import cleanup
from dockerlab.engine import connection
from dockerlab.lessons.lesson11_production import rollout
from dockerlab.lessons.lesson02_images_and_containers import handover
from dockerlab.course.grading.judging import Submission
from dockerlab.lessons.lesson10_debugging.measures import Workbench
from dockerlab.lessons.lesson10_debugging.clinic import Ward
from dockerlab.course.workbench import Bench
from pathlib import Path
client = connection.connect()
cleanup.sweep(client)
for number in range(13):
    Bench(f"{number:02d}", client, Path(f"lesson-{number}")).clear()
    cleanup.remove_labelled(client, f"dockerlab.lesson={number:02d}")
Ward(Bench("10", client, Path("ward"))).clear()
Workbench(Path("lab"), client).clear()
handover.take_back(client, Path("lab-02"))
rollout.remove_images("*/dockerlab-lesson11", client)
with swarm.one_node(client):
    pass
with Submission(Path("."), client) as submission:
    submission.client
    submission.id = "canary"
cleanup.clean(client)
cleanup.clean(client, everything=True)
assert len(client.containers.list(filters={"name": "foreign-"})) == 2, "those that run go on running"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with second_daemon(tmp_path_factory.mktemp("foreign"), containerd=False) as daemon:
        yield daemon


@pytest.fixture
def run(daemon: Daemon, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run pytest with the guard on a file of tests, or on a notebook of one cell."""

    def pytest_on(text: str, notebook: bool = False, *options: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / ("lesson.ipynb" if notebook else "test_it.py")
        if notebook:
            cell = nbformat.v4.new_code_cell(text, metadata={"tags": ["nbval-ignore-output"]})
            nbformat.write(nbformat.v4.new_notebook(cells=[cell]), file)
        else:
            file.write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "nbval.plugin",
             "-p", "tests.plugins.foreign", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
             *options, file],
            env={**os.environ, "DOCKER_HOST": daemon.url, "PYTHONPATH": CODE, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    return pytest_on


@pytest.fixture
def runnable(daemon: Daemon, tiny_image: str, client: docker.DockerClient) -> Iterator[None]:
    """A small image under the name of the one whose containers run as somebody else's."""
    daemon.take(tiny_image, client)
    daemon.client.images.get(tiny_image).tag(base_images.SLIM)
    daemon.client.images.remove(tiny_image)
    yield
    daemon.client.images.remove(base_images.SLIM)
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})


def everything(daemon: Daemon) -> tuple[list, list, list, set[str]]:
    client = daemon.client
    return (
        client.containers.list(all=True),
        client.images.list(),
        client.volumes.list(),
        {network.name for network in client.networks.list()},
    )


@pytest.mark.parametrize("notebook", [False, True], ids=["test", "notebook"])
def test_a_prune_fails_the_run(run, daemon, notebook) -> None:
    body = (
        PRUNE
        if notebook
        else "import pytest\n@pytest.mark.engine\ndef test_prune():\n" + PRUNE.replace("\n", "\n    ")
    )
    done = run(body, notebook=notebook)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout and "foreign things are untouched" in done.stdout
    assert all(f"{kind} foreign-" in done.stdout for kind in ("container", "tag", "volume", "network")), (
        done.stdout
    )
    assert "-base:1" in done.stdout and "-committed:1" in done.stdout
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})


@pytest.mark.parametrize("notebook", [False, True], ids=["test", "notebook"])
def test_a_prune_fails_a_run_by_several_processes(run, daemon, notebook) -> None:
    body = (
        PRUNE
        if notebook
        else "import pytest\n@pytest.mark.engine\ndef test_prune():\n" + PRUNE.replace("\n", "\n    ")
    )
    several = ("-p", "xdist", "-p", "tests.plugins.lanes", "-n", "2", "--dist", "loadscope")
    done = run(body, notebook, *several)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout and "foreign things are untouched" in done.stdout
    assert all(f"{kind} foreign-" in done.stdout for kind in ("container", "tag", "volume", "network")), (
        done.stdout
    )
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})
    done = run("import pytest\n@pytest.mark.engine\ndef test_nothing(): pass\n", False, *several)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})


def test_a_volume_left_without_a_name_fails_the_run(run, daemon, tiny_image, client) -> None:
    daemon.take(tiny_image, client)
    body = f"""
from dockerlab.engine import connection, object_labels
client = connection.connect()
box = client.containers.create("{tiny_image}", "true", mounts=[{{"Target": "/data", "Type": "volume"}}], labels=object_labels.labels())
box.start()
box.wait()
box.remove()"""
    done = run("import pytest\n@pytest.mark.engine\ndef test_leaves():" + body.replace("\n", "\n    "))
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    [volume] = daemon.client.volumes.list()
    assert f"left these behind: volume {volume.name}" in done.stdout
    volume.remove()
    daemon.client.images.remove(tiny_image)


def test_a_good_run_passes_and_leaves_nothing(run, daemon) -> None:
    kept = daemon.client.volumes.create("someone")
    done = run("import pytest\n@pytest.mark.engine\ndef test_nothing(): pass\n")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
    assert everything(daemon) == ([], [], [kept], {"bridge", "host", "none"})
    stopped = run(
        "import pytest\n@pytest.mark.engine\ndef test_stops():\n    from dockerlab.engine import connection\n"
        "    connection.connect().volumes.get('someone').remove()\n    raise KeyboardInterrupt\n"
    )
    assert (
        stopped.returncode == 1
        and "Gone, although the course did not make it: volume someone" in stopped.stdout
    ), stopped.stdout
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})


@pytest.mark.parametrize("built", [True, False], ids=["ours", "foreign"])
def test_an_image_that_lost_its_tag_is_the_courses_where_it_built_it(run, daemon, built) -> None:
    old, new = (_empty_image(daemon, "dockerlab-moved:1", number) for number in (1, 2))
    if built:
        ownership.note(daemon.client, id=old, tag="dockerlab-moved:1", kind="image")
    done = run(
        "import pytest\n@pytest.mark.engine\ndef test_takes_it():\n    from dockerlab.engine import connection\n"
        f"    connection.connect().images.remove('{old}')\n"
    )
    daemon.client.images.remove(new)
    assert ("2 passed" if built else "1 failed, 1 passed") in done.stdout, done.stdout + done.stderr
    assert everything(daemon) == ([], [], [], {"bridge", "host", "none"})


def _empty_image(daemon: Daemon, tag: str, number: int) -> str:
    """The id of an image that is built as `tag`, labelled as the course's and different for each number."""
    labels = object_labels.image_labels(tag) | {"number": str(number)}
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    repository, version = tag.split(":")
    changes = [f"LABEL {key}={value}" for key, value in labels.items()]
    daemon.client.api.import_image_from_data(
        buffer.getvalue(), repository=repository, tag=version, changes=changes
    )
    return daemon.client.images.get(tag).id


@pytest.mark.parametrize("notebook", [False, True], ids=["test", "notebook"])
def test_no_clean_up_takes_what_only_inherited_our_labels(run, runnable, notebook) -> None:
    body = (
        TIDY
        if notebook
        else "import pytest\n@pytest.mark.engine\ndef test_tidy():\n" + TIDY.replace("\n", "\n    ")
    )
    done = run(body, notebook)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr


def test_make_clean_removes_the_canaries_of_a_run_that_was_killed_and_of_no_other(runnable, daemon) -> None:
    client, made = daemon.client, {}
    for name, mark in (("foreign-killed", foreign._dead()), ("foreign-lives", process_marks.mark())):
        labels = {foreign.MARK: mark}
        volume, network = (
            client.volumes.create(name, labels=labels),
            client.networks.create(name, labels=labels),
        )
        made[name] = [
            *foreign._running_by_hand(client, name, labels),
            ("volume", name, volume.name),
            ("network", network.id, name),
        ]
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "clean"], cwd=CODE, capture_output=True, text=True, check=True
    )
    course, tests = (line.removeprefix(".venv/bin/").split() for line in done.stdout.splitlines()[-2:])
    assert course == ["dockerlab", "clean"] and tests[0] == "python"
    subprocess.run(
        [sys.executable, *tests[1:]],
        cwd=CODE,
        env={**os.environ, "DOCKER_HOST": daemon.url, "PYTHONPATH": CODE},
        check=True,
    )
    there = {(kind, key) for kind, key, _, _ in foreign.everything(client)}
    assert {name: {(kind, key) in there for kind, key, _ in things} for name, things in made.items()} == {
        "foreign-killed": {False},
        "foreign-lives": {True},
    }
    foreign.remove(client, [(kind, key) for kind, key, _ in made["foreign-lives"]])
