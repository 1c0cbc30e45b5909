"""What could an intruder still do? Each attempt is made for real inside a running container, with the rights of its server.

`attack_probe_script.py` makes the attempts and needs nothing but a Python interpreter in the image: no shell. A scorecard is what it found; pure from there on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pandas as pd
from docker.errors import APIError
from docker.models.containers import Container

from dockerlab.containers import container, inspection, privileges
from dockerlab.core import elf
from dockerlab.core.errors import CourseError
from dockerlab.core.markup import words_left
from dockerlab.engine import connection

PROBE = Path(__file__).with_name("attack_probe_script.py")
# What an intruder does who finds the engine's socket: arguments are an image, a folder of the host, and labels in JSON.
TAKEOVER = Path(__file__).with_name("socket_takeover_script.py")
AT_ONCE = 3
SECONDS = 60  # of all attempts together, which take one or two
# The attempts, in the order in which they are shown: what an intruder gets if it works.
ATTEMPTS = {
    "kernel": "use kernel calls that servers do not need",
    "host": "see the host's disks, processes or files",
    "engine": "command the Docker Engine",
    "secrets": "read secrets beside the code or in the environment",
    "chown": "take files of other users",
    "raw": "forge network packets",
    "root": "act as root",
    "code": "change the code that runs next time",
    "setuid": "become root through a setuid program",
    "install": "store a program and run it",
    "processes": "start processes without end",
    "shell": "work in a shell",
    "memory": "run a program from memory",
}
# What a helper cannot try in the place of the container: its own filter, its own count of processes, and what nothing prevents.
NOT_FROM_OUTSIDE = ("kernel", "processes", "memory")
_INTERPRETERS = (
    "python3",
    "python",
    "/usr/bin/python3",
    "/usr/bin/python3.11",
    "/usr/local/bin/python3",
    "/opt/venv/bin/python",
)


class NoProbe(CourseError):
    """The attempts could not be made in this container."""


@dataclass(frozen=True)
class Attempt:
    """One attempt: its key, what it is for, whether it worked, and what was seen."""

    key: str
    purpose: str
    worked: bool
    seen: str


@dataclass(frozen=True, repr=False)
class Scorecard:
    """What worked and what did not."""

    attempts: tuple[Attempt, ...]

    @property
    def open(self) -> list[str]:
        """Keys of the attempts that worked."""
        return [each.key for each in self.attempts if each.worked]

    def worked(self, key: str) -> bool:
        """Whether one attempt worked."""
        return key in self.open

    def seen(self, key: str) -> str:
        """What was seen at one attempt."""
        return next(each.seen for each in self.attempts if each.key == key)

    def frame(self) -> pd.DataFrame:
        """One row an attempt: what an intruder tries, whether it works, and what was seen."""
        rows = [(each.purpose, "yes" if each.worked else "no", each.seen) for each in self.attempts]
        return pd.DataFrame(rows, columns=["an intruder tries to", "works", "seen"]).set_index(
            "an intruder tries to"
        )

    def _repr_html_(self) -> str | None:
        return words_left(self.frame())

    def __repr__(self) -> str:
        return f"Scorecard({len(self.open)} of {len(self.attempts)} attempts worked)"


def read(answer: Mapping[str, Sequence[Any]]) -> Scorecard:
    """A scorecard from what the probe printed, in the order of ATTEMPTS. Pure."""
    return Scorecard(
        tuple(
            Attempt(key, purpose, bool(answer[key][0]), str(answer[key][1]))
            for key, purpose in ATTEMPTS.items()
        )
    )


def probe(service: Container) -> Scorecard:
    """Make all attempts inside a running container, as the user and with the limits that its server has. Asks the engine.

    Raises NoProbe where the image has no Python, or the container allows it no process.
    """
    last = "it has no Python"
    for interpreter in _INTERPRETERS:
        try:
            code, output = container.execute(
                service, [interpreter, "-I", "-c", PROBE.read_text(encoding="utf-8")], SECONDS
            )
        except APIError as error:
            last = str(error.explanation)
            continue
        except container.NoEnd as error:
            raise NoProbe(
                "The attempts could not be made in this container.", error.what, error.fix
            ) from error
        text = output.decode(errors="replace").strip()
        if code == 0:
            try:
                return read(json.loads(text.splitlines()[-1]))
            except (ValueError, LookupError, TypeError) as error:
                raise NoProbe(
                    "The attempts could not be made in this container.",
                    f"Its {interpreter} is no Python: it says {text[-80:]!r}.",
                ) from error
        if code not in (126, 127):
            last = text.splitlines()[-1] if text else f"exit code {code}"
            break
    raise NoProbe(
        "The attempts could not be made in this container.",
        f"{last}.",
        "Look whether it runs: `docker ps -a`, `docker logs CONTAINER`.",
    )


def judged(
    service: Container, client: docker.DockerClient, labels: Mapping[str, str] | None = None
) -> Scorecard:
    """What works for an intruder, without believing the image: an attempt works if one of three finds so. Asks the engine.

    The probe inside, where the image has an interpreter that answers; the same probe from a helper that has its own interpreter and takes
    the rights of the container's first process; and what `docker inspect` and the kernel say of the container. Raises NoProbe, CourseError.
    """
    service.reload()
    architecture = {"aarch64": "arm64"}.get(client.info()["Architecture"], "amd64")
    seen = inspection.look(
        client,
        service,
        PROBE.read_text(encoding="utf-8"),
        elf.program(architecture, ""),
        NOT_FROM_OUTSIDE,
        labels,
    )
    inside = {each.key: (each.worked, each.seen) for each in probe(service).attempts}
    facts = {
        key: (True, said)
        for key, said in privileges.opened(
            service.attrs, inspection.mounts(client, service.attrs), connection.engine_socket()
        ).items()
    }
    facts |= _of_processes(seen)
    return read(
        {
            key: next(
                (each[key] for each in (facts, seen.attempts, inside) if key in each and each[key][0]),
                inside[key],
            )
            for key in ATTEMPTS
        }
    )


def _of_processes(seen: inspection.Seen) -> dict[str, tuple[bool, str]]:
    """What the users and capabilities of a container's processes let an intruder do."""
    held = {name for process in seen.processes for name in process.capabilities}
    facts = {"root": (True, "a process of it is root")} if 0 in seen.users else {}
    facts |= {
        key: (True, f"a process of it has the capability {name}")
        for key, name in (("chown", "CHOWN"), ("raw", "NET_RAW"))
        if name in held
    }
    return facts


def tried(image: str, client: docker.DockerClient, **options: Any) -> Scorecard:
    """Run `image` with these options of `containers.run`, make all attempts in it, remove it. Asks the engine."""
    with container.running(image, ready=None, client=client, **options) as service:
        return probe(service.container)


def steps(runs: Mapping[str, Mapping[str, Any]], client: docker.DockerClient) -> pd.DataFrame:
    """Several run lines, some at once: name -> options, `image` among them. One row an attempt, one column a run line: whether it worked."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        cards = list(pool.map(lambda options: tried(client=client, **options), runs.values()))
    return compared(dict(zip(runs, cards, strict=True)))


def compared(cards: Mapping[str, Scorecard]) -> pd.DataFrame:
    """One row an attempt, one column a scorecard: whether it worked. Pure."""
    columns = {name: [each.worked for each in card.attempts] for name, card in cards.items()}
    return pd.DataFrame(columns, index=pd.Index(list(ATTEMPTS.values()), name="an intruder can"))
