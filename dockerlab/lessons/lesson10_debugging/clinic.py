"""The clinic of lesson 10: containers that are broken for a known reason, the first commands one types, and which of them names the cause.

The set-ups lie in assets/clinic, one folder a case. Everything carries a label of its own and goes with `Ward.clear`.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd
from docker.errors import NotFound
from docker.models.containers import Container

from dockerlab.containers.container import remove
from dockerlab.core import elf
from dockerlab.core.errors import CourseError
from dockerlab.core.polling import wait_until
from dockerlab.core.settings import ROOT
from dockerlab.core.text import Text
from dockerlab.course import cleanup
from dockerlab.course.workbench import Bench, free_port
from dockerlab.engine import object_labels, ownership
from dockerlab.engine.command import docker as docker_command
from dockerlab.images.build import build
from dockerlab.lessons.lesson10_debugging import docker_run_options

SETUPS = ROOT / "assets/clinic"
AT_ONCE = 4
SETTLE = 30  # seconds until a symptom shows


@dataclass(frozen=True)
class Case:
    """One way to be broken.

    `clue` is what names the cause wherever it stands; `look` is what one types in a shell inside; `shows` is what status and log hold
    once the symptom is there.
    """

    key: str
    name: str
    symptom: str
    clue: str
    look: str
    shows: str = "exited"


CASES = {case.key: case for case in (
    Case("exits", "exits at once", "It was started, and `docker ps` does not show it.", "KeyError: 'MODEL_NAME'", "printenv"),
    Case("port", "port in use", "It does not even start.", "already allocated", "", "created"),
    Case("volume", "volume not writable", "It cannot keep its results in the volume.", r"Permission denied: '/results|root root .*/results",
         "id; ls -ld /results"),
    Case("memory", "out of memory", "It vanishes in the middle of its work and says nothing.", '"OOMKilled": true|"Action":"oom"', "ls -l /app"),
    Case("library", "missing shared library", "It ran on my machine. In the image the import fails.", r"libgomp\.so\.1(:| =>).*(cannot open|not found)",
         "ldd /app/site/lightgbm/lib/lib_lightgbm.so"),
    Case("architecture", "wrong architecture", "Built on a colleague's laptop. Here it ends before its first line.",
         r'exec format error|platform \(linux/{foreign}|"Architecture": "{foreign}"', ""),
    Case("neighbour", "localhost is not the host", "The models answer on my machine. The container cannot reach them.", "http://localhost", "printenv",
         "fails:"),
    Case("name", "name not found", "Same program, right name, and still nobody is found.",
         r'Name or service not known|name resolution|no such host|"Networks": \{\s*"bridge"', "getent hosts {models} || echo no such host", "fails:"),
    Case("health", "red health check", "Every request is answered, and `docker ps` says unhealthy.", "Connection refused",
         "python -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')\"", "unhealthy"),
    Case("ignored", "a file is missing in the image", "It works in my folder. In the image it does not.",
         r"labels\.json.*No such file|No such file.*labels\.json", "ls -l labels.json"),
    Case("disk", "disk full", "It runs, and keeps nothing.", "No space left|100%", "df -h /tmp", "cannot keep"),
)}  # fmt: skip

COMMANDS = (
    "docker run, its own words",
    "docker ps -a",
    "docker logs",
    "docker inspect",
    "docker events",
    "docker image inspect",
    "look inside",
)


@dataclass(frozen=True)
class Patient:
    """A broken container on the engine, and how it was started."""

    case: Case
    started: docker_run_options.Started

    def __repr__(self) -> str:
        return f"“{self.case.symptom}”\n$ {self.started.line}".replace("`", "")


class Ward:
    """Takes broken containers in, examines them, and lets them go. Making one removes what an earlier run left."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.client = bench, bench.client
        self.labels = object_labels.labels(kind="clinic", clinic=object_labels.owner())
        self.architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(
            self.client.info()["Architecture"], "amd64"
        )
        self._book: dict[str, tuple[str, str, bool]] = {}
        self._borrowed: dict[str, int] = {}
        self.clear()
        self.leftovers = self.left()
        self.client.networks.create(self.name("net"), labels=self.labels)

    def name(self, what: str) -> str:
        """The name of a container, network or volume of this ward."""
        return f"{self.bench.repository}-{what}"

    @property
    def options(self) -> str:
        """The labels as options of `docker run` and `docker volume create`."""
        return object_labels.options(self.labels)

    @property
    def image_options(self) -> str:
        """The labels as options of `docker build`."""
        return object_labels.options(object_labels.image_labels(clinic=object_labels.owner()))

    def container(self, what: str) -> Container:
        """A container of this ward. Asks the engine."""
        return self.client.containers.get(self.name(what))

    def build(self, key: str) -> str:
        """Copy the set-up into the lesson's folder, build it, and return its tag. Asks the engine."""
        folder = self.bench.folder / key
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(SETUPS / key, folder)
        if key != "architecture":
            # The label finds the image also when a mended one has taken its tag.
            build(
                folder,
                tag=self.bench.tag(key),
                labels={"dockerlab.clinic": object_labels.owner()},
                client=self.client,
            )
            return self.bench.tag(key)
        built = elf.other(self.architecture)
        options = ownership.build_options(
            self.client, self.bench.tag(key), self.labels | {object_labels.KIND_LABEL: "image"}
        )
        (folder / "hello").write_bytes(elf.program(built, f"hello from {built}\n"))
        done = docker_command(
            "build", "-q", "--platform", f"linux/{built}", *options, str(folder), timeout=120
        )
        if done.returncode:
            raise CourseError(
                "The image of the wrong architecture was not built.", done.stderr.strip()[-300:]
            )
        ownership.note_built(self.client, self.bench.tag(key))
        return self.bench.tag(key)

    def admit(self, key: str) -> Patient:
        """Make the set-up `key` go wrong as a colleague did, and return when the symptom shows. Asks the engine."""
        case = CASES[key]
        self._send_away(key)
        image, places = self.build(key), self._company(key)
        options = docker_run_options.read_options(self.bench.folder / key, places)
        patient = Patient(case, docker_run_options.start(image, self.name(key), options, self.labels))
        if not wait_until(lambda: case.shows in self._state(key), SETTLE, interval=0.05):
            raise CourseError(
                f"{key} did not break as it should.",
                f"It says: {self._state(key)[-300:]}.",
                "Run the cell again.",
            )
        return patient

    def _company(self, key: str) -> dict[str, str]:
        """Who and what is there besides: a taken port, models on a network, a new volume."""
        if key == "port":
            self._borrowed["port"] = free_port()
            self._neighbour("monday", "-p", f"127.0.0.1:{self._borrowed['port']}:8000")
        if key == "neighbour":
            self._neighbour(
                "models", "--network", self.name("net"), "--network-alias", "models", "-p", "127.0.0.1::8000"
            )
        if key == "name":
            self._neighbour("catalogue")
        if key == "volume":
            with suppress(NotFound):
                self.client.volumes.get(self.name("results")).remove(force=True)
            self.client.volumes.create(self.name("results"), labels=self.labels)
        return {
            "port": str(self._borrowed.get("port", "")),
            "network": self.name("net"),
            "models": self.name("catalogue"),
            "volume": self.name("results"),
        }

    def _neighbour(self, what: str, *options: str) -> None:
        self._remove(what)
        docker_run_options.start(self.build("models"), self.name(what), options, self.labels)
        wait_until(lambda: b"Serving" in self.container(what).logs(), SETTLE, interval=0.05)

    def _state(self, key: str) -> str:
        patient = self.container(key)
        health = patient.attrs["State"].get("Health", {}).get("Status", "")
        return f"{patient.status} {health}\n{patient.logs(tail=5).decode(errors='replace')}"

    def says(self, what: str, text: str, timeout: float = SETTLE) -> bool:
        """Whether `text` comes to stand in the log of a container within `timeout` seconds. Asks the engine."""
        return wait_until(
            lambda: text in self.container(what).logs().decode(errors="replace"), timeout, interval=0.05
        )

    def discharge(self, key: str, cause: str, found_by: str, mended: bool) -> Text:
        """Note how a case ended, and remove its containers; says whether the cure was proven. Asks the engine."""
        self._book[key] = (cause, found_by, mended)
        self._send_away(key)
        return Text(f"{CASES[key].name}: {'mended' if mended else 'still ill'}")

    def book(self) -> pd.DataFrame:
        """One row a case that was discharged: cause, the command that named it, and whether the cure was proven."""
        rows = [(CASES[key].name, *entry) for key, entry in self._book.items()]
        return pd.DataFrame(rows, columns=["case", "cause", "found by", "mended"]).set_index("case")

    def examine(self, patient: Patient, since: float = 0) -> dict[str, bool]:
        """For each first command, whether its answer names the cause. Asks the engine, through the `docker` command."""
        name, image, case = patient.started.name, self.bench.tag(patient.case.key), patient.case
        clue = case.clue.replace("{foreign}", elf.other(self.architecture))
        asked = {
            "docker ps -a": ["ps", "-a", "--filter", f"name=^{name}$"], "docker logs": ["logs", name], "docker inspect": ["inspect", name],
            "docker events": ["events", "--since", str(since), "--until", str(time.time()), "--filter", f"container={name}", "--format", "json"],
            "docker image inspect": ["image", "inspect", image],
        }  # fmt: skip
        answers = {"docker run, its own words": patient.started.message} | {
            command: docker(*words) for command, words in asked.items()
        }
        answers["look inside"] = self._look(patient)
        return {command: bool(re.search(clue, answers[command])) for command in COMMANDS}

    def _look(self, patient: Patient) -> str:
        """What `look` prints in the running container, or in a new one like it; nothing where none can be started."""
        case, name = patient.case, patient.started.name
        look = case.look.replace("{models}", self.name("catalogue"))
        if not look:
            return ""
        if self.container(case.key).status == "running":
            return docker("exec", name, "sh", "-c", look)
        options = docker_run_options.read_options(self.bench.folder / case.key, self._places())
        marks = self.options.split()
        return docker(
            "run", "--rm", *marks, *options, "--entrypoint", "sh", self.bench.tag(case.key), "-c", look
        )

    def _places(self) -> dict[str, str]:
        return {
            "port": "0",
            "network": self.name("net"),
            "models": self.name("catalogue"),
            "volume": self.name("results"),
        }

    def rounds(self, keys: Iterable[str] = CASES) -> pd.DataFrame:
        """Break every set-up again, some at once, and try every first command on each: one row a case, `True` where it names the cause.

        The first column is what `docker ps -a` calls the state. Asks the engine; removes the containers.
        """

        def one(key: str) -> dict[str, object]:
            begun = time.time()
            patient = self.admit(key)
            row: dict[str, object] = {"state": self._seen(key), **self.examine(patient, begun)}
            self._send_away(key)
            return row

        keys = list(keys)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return pd.DataFrame(list(pool.map(one, keys)), index=[CASES[key].name for key in keys])

    def _seen(self, key: str) -> str:
        state = self.container(key).attrs["State"]
        health = state.get("Health", {}).get("Status", "")
        if state["Status"] == "exited":
            return f"Exited ({state['ExitCode']})"
        return "Created" if state["Status"] == "created" else f"Up{f' ({health})' if health else ''}"

    def _send_away(self, key: str) -> None:
        company = {"port": ["monday"], "neighbour": ["models"], "name": ["catalogue"]}.get(key, [])
        for what in (key, *company):
            self._remove(what)

    def _remove(self, what: str) -> None:
        with suppress(NotFound):
            remove(self.container(what))

    def left(self) -> int:
        """How many containers, networks, volumes and images of this ward are on the engine. Asks the engine."""
        kinds = (ownership.containers, ownership.networks, ownership.volumes, ownership.images)
        return sum(len(kind(self.client, f"dockerlab.clinic={object_labels.owner()}")) for kind in kinds)

    def clear(self) -> None:
        """Remove everything of this ward and its bench. Asks the engine."""
        cleanup.remove_labelled(self.client, f"dockerlab.clinic={object_labels.owner()}")
        self.bench.clear()


def docker(*words: str) -> str:
    """What a `docker` command prints, errors too. Asks the engine."""
    done = docker_command(*words)
    return done.stdout + done.stderr


def fewest(table: pd.DataFrame) -> list[str]:
    """The shortest list of commands that names every cause that any of them names, the most telling first; taken greedily. Pure."""
    found = table[[command for command in COMMANDS if command in table]].astype(bool)
    chosen: list[str] = []
    open_cases = found[found.any(axis=1)]
    while len(open_cases):
        best = max(found.columns, key=lambda command: open_cases[command].sum())
        chosen.append(best)
        open_cases = open_cases[~open_cases[best]]
    return chosen
