"""Two learners on one engine: the first has the names that lessons print, the second has names of their own, and neither touches the other's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import jupytext
import pytest

from dockerlab.core.settings import ROOT
from dockerlab.course import cleanup
from dockerlab.course.grading.progress import state_file
from dockerlab.detection import wheel_index
from dockerlab.detection.variants import RUNGS
from dockerlab.engine import naming, object_labels, process_marks
from dockerlab.images.build_cache import cache_records
from dockerlab.images.dockerfile import read
from tests.support.daemons import Daemon, second_daemon

# What a cell, a Dockerfile or a compose file says -> what the learner `bob` gets.
OWN = {
    'client.containers.get("dockerlab-lesson07-data")': 'client.containers.get("dockerlab-bob-lesson07-data")',
    "build(here, tag='dockerlab-lab05:mine')": "build(here, tag='dockerlab-bob-lab05:mine')",
    'f"dockerlab-lesson02-{name}"': 'f"dockerlab-bob-lesson02-{name}"',
    'f"dockerlab-api:{name}"': 'f"dockerlab-bob-api:{name}"',
    "!docker run --name=dockerlab-lesson02-one dockerlab-lesson02:ticker": "!docker run --name=dockerlab-bob-lesson02-one dockerlab-bob-lesson02:ticker",
    "-v dockerlab-lesson07-named:/named --network container:dockerlab-lesson10-x": "-v dockerlab-bob-lesson07-named:/named "
    "--network container:dockerlab-bob-lesson10-x",
    "docker logs dockerlab-lesson02-$name": "docker logs dockerlab-bob-lesson02-$name",
    "FROM dockerlab-api:multistage AS shipped": "FROM dockerlab-bob-api:multistage AS shipped",
    "COPY --from=dockerlab-api:multistage /app/app app": "COPY --from=dockerlab-bob-api:multistage /app/app app",
    "ARG BASE=dockerlab-api:multistage": "ARG BASE=dockerlab-bob-api:multistage",
    "RUN --mount=type=cache,id=dockerlab-lab04-pip": "RUN --mount=type=cache,id=dockerlab-bob-lab04-pip",
    "docker push 127.0.0.1:5000/dockerlab-api:1": "docker push 127.0.0.1:5000/dockerlab-bob-api:1",
    "name: dockerlab-lesson08\n": "name: dockerlab-bob-lesson08\n",
    '"description~=dockerlab-lesson04"': '"description~=dockerlab-bob-lesson04"',
    "dockerlab-practice dockerlab-gate": "dockerlab-bob-practice dockerlab-bob-gate",
}
# What stays as it is.
NOBODYS = (
    "import dockerlab", "from dockerlab.engine import connection", "dockerlab-bob-lesson07", "../assets/detection-api/Dockerfile.multistage",
    "my-dockerlab-lesson07",
    "--label dockerlab.owner=bob", "dockerlab-check-03-image:1a2b-x", "dockerlab-swarm dockerlab-names dockerlab-wheels", "/tmp/dockerlab-build-4711/id",
    ".dockerlab-lesson07", "~/dockerlab-main/notebooks", "dockerlab - lesson07", "python:3.11-slim-bookworm", "dockerlab check 03", "dockerlab-apis", "",
)  # fmt: skip


@pytest.mark.parametrize("text", [*OWN, *NOBODYS])
def test_names_of_the_course_become_own_once_and_nothing_else_does(text: str) -> None:
    changed = naming.rewritten(text, "bob")
    assert changed == OWN.get(text, text)
    assert naming.rewritten(changed, "bob") == changed
    assert naming.rewritten(text, "") == text


def test_every_learner_has_a_word_of_their_own_that_no_lesson_uses() -> None:
    owners = [
        "bob",
        "bo.b",
        "bo-b",
        "b_ob",
        "api",
        "lesson07",
        "lab03",
        "models",
        "_",
        "a" * 16,
        "a" * 17,
        "a" * 18,
        "ann",
    ]
    words = [naming.word_of(owner) for owner in owners]
    assert words[0] == "bob" and len({*words}) == len(owners)
    for word in words:
        assert re.fullmatch("[a-z0-9]+", word) and len(word) <= 23
        name = naming.rewritten("dockerlab-api:1", word)
        assert name == f"dockerlab-{word}-api:1" and naming.rewritten(name, word) == name


def test_every_name_in_the_sources_is_known() -> None:
    """One that is not would be the same for all learners."""
    texts = {
        path: path.read_text(encoding="utf-8")
        for folder in ("sources/notebooks", "sources/labs", "assets/stack", "assets/production")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", "") and path.is_file()
    }
    left = {
        (path.name, match)
        for path, text in texts.items()
        for match in re.findall(r"(?<![\w.-])dockerlab-[a-z0-9{$]\S*", naming.rewritten(text, "x"))
        if not match.startswith("dockerlab-x-")
    }
    assert not left


def test_no_cell_says_a_name_before_its_notebook_has_asked_for_the_learners() -> None:
    """The cell that connects runs as it stands, so there a name goes through a function that makes it own."""
    for path in (
        *sorted((ROOT / "sources/notebooks").glob("*.py")),
        *sorted((ROOT / "sources/labs").glob("*/lab.py")),
    ):
        for cell in jupytext.read(path, fmt="py:percent").cells:
            if cell.cell_type == "code":
                code = re.sub(
                    r"^# .*$|(?:naming\.own|build|remove_images|remove_named|Stack)\([^)]*\)",
                    "",
                    cell.source,
                    flags=re.MULTILINE,
                )
                assert naming.rewritten(code, "x") == code, f"{path}: {cell.source}"
                if re.search(r"\bstart\(|prepare\(|hand_over\(|Workbench\(|check\(", cell.source):
                    break


def test_our_own_code_uses_the_learners_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (
        RUNGS["naive"].tag == naming.own("dockerlab-api:naive") == "dockerlab-api:naive"
        and naming.prefix() == "dockerlab-"
    )
    monkeypatch.delenv(naming.SETTING)
    monkeypatch.setenv("DOCKERLAB_OWNER", "bob")
    monkeypatch.setitem(naming._words, "bob", "bob")
    assert RUNGS["naive"].tag == "dockerlab-bob-api:naive" and naming.prefix() == "dockerlab-bob-"
    (tmp_path / "Dockerfile").write_bytes(b"FROM dockerlab-api:slim\n# caf\xe9\n")
    assert read(tmp_path / "Dockerfile") == "FROM dockerlab-bob-api:slim\n# caf\\xe9\n"


def test_learners_of_one_login_have_progress_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKERLAB_OWNER", raising=False)
    assert state_file().name == "progress.json"
    monkeypatch.setenv("DOCKERLAB_OWNER", "somebody-else")
    assert state_file().name == "progress-somebody-else.json"


# --- on an engine -----------------------------------------------------------------------------------------------------------

TINY = "tiny:1"
CELLS = (
    """
from dockerlab.engine import connection, object_labels
from dockerlab.images.build import build
from dockerlab.course.workbench import Bench
client = connection.connect()
bench = Bench("07", client)
""",
    """
bench.build("one", "FROM TINY\\nRUN echo WHO > /who\\n")
build(FOLDER, tag="dockerlab-api:first", client=client)
client.volumes.create("dockerlab-lesson07-data", labels=object_labels.labels(process=""))
""",
    """%%bash
docker network create dockerlab-lesson07-net
docker build -q -t dockerlab-lesson07:cli FOLDER
docker run -d --name dockerlab-lesson07-box --network dockerlab-lesson07-net -v dockerlab-lesson07-data:/data dockerlab-lesson07:cli sleep 300
""",
    """
client.containers.run("dockerlab-api:first", ["cat", "/who"], name="dockerlab-lesson07-who", labels=object_labels.labels(process=""))
said = !docker run --rm dockerlab-lesson07:cli cat /who
print("it says:", said, client.containers.get("dockerlab-lesson07-who").logs())
""",
)
# A notebook without a server: what a kernel does with a cell.
SHELL = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.loads(sys.argv[1]):
    shell.run_cell(cell).raise_error()
os._exit(0)  # as a killed kernel: nothing is tidied up
"""
# Asks on the first line that it reads, and lives until the second.
CLAIM = "import sys; from dockerlab.engine import naming; sys.stdin.readline(); print(naming.prefix(), flush=True); sys.stdin.readline()"


@pytest.fixture(scope="module")
def daemon(
    client: docker.DockerClient, tiny_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    with second_daemon(tmp_path_factory.mktemp("naming")) as second:
        second.take(tiny_image, client)
        second.client.images.get(tiny_image).tag(*TINY.split(":"))
        second.client.images.remove(tiny_image)  # which would be a thing of one more learner
        yield second


def learner(daemon: Daemon, folder: Path, owner: str, *command: str) -> subprocess.Popen[str]:
    """A command of this learner; all share a login, its state and the engine."""
    names = {
        "DOCKER_HOST": daemon.url,
        "DOCKERLAB_OWNER": owner,
        "DOCKERLAB_STATE": str(folder / "state"),
        "DOCKERLAB_BUILD": str(folder / owner),
        "IPYTHONDIR": str(folder / f"ipython-{owner}"),
    }
    environment = {key: value for key, value in os.environ.items() if key != naming.SETTING} | names
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def notebook(daemon: Daemon, folder: Path, owner: str) -> subprocess.Popen[str]:
    (place := folder / f"context-{owner}").mkdir()
    (place / "Dockerfile").write_text("FROM dockerlab-lesson07:one\nENV BY_HAND=1\n")
    cells = [
        cell.replace("TINY", TINY)
        .replace("WHO", owner)
        .replace("FOLDER", repr(str(place)) if "(" in cell else str(place))
        for cell in CELLS
    ]
    return learner(daemon, folder, owner, "-c", SHELL, json.dumps(cells))


def ended(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def here(daemon: Daemon, prefix: str) -> set[tuple[str, str]]:
    """Names and ids of all whose name begins so, but for the claim."""
    api = daemon.client.api
    found = {(each["Names"][0].strip("/"), each["Id"]) for each in api.containers(all=True)}
    found |= {(each["Name"], each["Id"]) for each in api.networks()} | {
        (each["Name"], each["CreatedAt"]) for each in api.volumes()["Volumes"] or []
    }
    found |= {(tag, each["Id"]) for each in api.images() for tag in each["RepoTags"] or []}
    return {(name, key) for name, key in found if re.match(prefix, name) and name != naming.CLAIM}


FIRST = "dockerlab-(?:lesson|api)"


@pytest.mark.engine
def test_two_learners_run_the_same_cells_at_once_and_each_cleans_their_own(
    daemon: Daemon, tmp_path: Path
) -> None:
    running = {owner: notebook(daemon, tmp_path, owner) for owner in ("ann", "bob")}
    said = {owner: ended(process) for owner, process in running.items()}
    first = daemon.client.api.inspect_volume(naming.CLAIM)["Labels"][object_labels.OWNER_LABEL]
    second = "bob" if first == "ann" else "ann"
    assert said[first].count("Another learner") == 0 and said[second].count("Another learner") == 1
    for owner in running:
        assert f"it says: ['{owner}'] b'{owner}\\n'" in said[owner]  # each from an image of their own

    names = {name for name, _ in here(daemon, FIRST)}
    assert {
        "dockerlab-lesson07-box",
        "dockerlab-lesson07-who",
        "dockerlab-lesson07-data",
        "dockerlab-lesson07-net",
        "dockerlab-lesson07:one",
        "dockerlab-lesson07:cli",
        "dockerlab-api:first",
    } == names
    assert {naming.rewritten(name, second) for name in names} == {
        name for name, _ in here(daemon, f"dockerlab-{second}-")
    }

    before, cached = here(daemon, FIRST), {each["ID"] for each in cache_records(daemon.client)}
    ended(learner(daemon, tmp_path, second, "-m", "dockerlab.cli", "clean"))
    assert here(daemon, FIRST) == before and not here(daemon, f"dockerlab-{second}-")
    assert {each["ID"] for each in cache_records(daemon.client)} == cached
    ended(learner(daemon, tmp_path, first, "-m", "dockerlab.cli", "clean"))
    assert not here(daemon, FIRST) and not [
        each for each in daemon.client.volumes.list() if each.name == naming.CLAIM
    ]


@pytest.mark.engine
def test_one_of_several_at_once_gets_the_plain_names_also_from_the_dead(
    daemon: Daemon, tmp_path: Path
) -> None:
    for round in ("nobody", "the dead"):
        asking = {
            owner: learner(daemon, tmp_path, owner, "-c", CLAIM)
            for owner in (f"{round[-4:]}{number}" for number in range(4))
        }
        time.sleep(3)  # until all have imported what they need
        for process in asking.values():
            print(file=process.stdin, flush=True)
        said = {
            owner: process.stdout.readline().strip() for owner, process in asking.items() if process.stdout
        }
        for process in asking.values():
            ended(process)
        assert sorted(said.values())[0] == "dockerlab-" and len({*said.values()}) == 4, said
    daemon.client.volumes.get(naming.CLAIM).remove()


@pytest.mark.engine
def test_plain_names_are_given_back_and_taken_only_when_nothing_has_one(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {object_labels.COURSE_LABEL: "1", object_labels.OWNER_LABEL: "ann"}
    dead = f"{process_marks.mark().rsplit('-', 2)[0]}-999999999-1"
    daemon.client.volumes.create(
        naming.CLAIM,
        labels=marks | {object_labels.KIND_LABEL: naming.KIND, object_labels.PROCESS_LABEL: dead},
    )
    thing = daemon.client.volumes.create("dockerlab-lesson07-data", labels=marks)

    def has_them(owner: str, give_back: bool = False) -> bool:
        monkeypatch.setenv("DOCKERLAB_OWNER", owner)
        if give_back:
            naming.give_back(daemon.client)
            return bool(naming._claim(daemon.client))
        return naming._is_first(daemon.client)

    assert has_them("ann", give_back=True) and not has_them("bob")
    thing.remove()
    assert has_them("bob") and not has_them("ann")  # whose process has died, and the one of bob lives
    assert has_them("bob", give_back=True)
    daemon.client.volumes.get(naming.CLAIM).remove()


@pytest.mark.engine
def test_the_server_of_all_learners_goes_with_the_last(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path))

    def left_by(owner: str) -> list[str]:
        monkeypatch.setenv("DOCKERLAB_OWNER", owner)
        cleanup.clean(daemon.client)
        return [each.name for each in daemon.client.containers.list(all=True)]

    monkeypatch.setenv("DOCKERLAB_OWNER", "bob")
    daemon.client.volumes.create("dockerlab-bob-lesson07-data", labels=object_labels.labels())
    monkeypatch.setenv("DOCKERLAB_OWNER", "ann")
    daemon.client.containers.run(
        TINY, ["sleep", "300"], name=wheel_index.NAME, detach=True, labels=object_labels.labels(kind="index")
    )
    assert left_by("ann") == [wheel_index.NAME]
    assert left_by("bob") == []
