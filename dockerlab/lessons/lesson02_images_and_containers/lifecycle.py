"""Write down how commands move a container from state to state, and wait until a container answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import docker
import pandas as pd
import requests
from docker.errors import NotFound

from dockerlab.containers import container
from dockerlab.containers.container import ContainerFailed
from dockerlab.core import polling

NONE = "no container"
STARTS = ("run", "start", "restart")


@dataclass(frozen=True)
class Move:
    """One command and the container's state before and after it; the exit code only where the process has ended."""

    command: str
    before: str
    after: str
    exit_code: int | None = None


@dataclass
class Watch:
    """Follows the container of this name; it need not exist yet.

    A program needs a moment until it listens to signals: with `says`, a line that it prints at each start, a start counts when the
    line is in the log.
    """

    name: str
    client: docker.DockerClient
    moves: list[Move] = field(default_factory=list)
    says: str = ""

    def after(self, command: str) -> Move:
        """Note the state that `command` led to. Asks the engine."""
        if self.says and command in STARTS:
            starts = 1 + sum(move.command in STARTS for move in self.moves)
            polling.wait_until(lambda: self._lines().count(self.says) >= starts, 30)
        before = self.moves[-1].after if self.moves else NONE
        state, code = self._look()
        self.moves.append(Move(command, before, state, code))
        return self.moves[-1]

    def _lines(self) -> list[str]:
        output: bytes = self.client.containers.get(self.name).logs()
        return output.decode(errors="replace").splitlines()

    def _look(self) -> tuple[str, int | None]:
        try:
            found = self.client.containers.get(self.name)
        except NotFound:
            return NONE, None
        return found.status, found.attrs["State"]["ExitCode"] if found.status == "exited" else None


def compare(cli: Watch, python: Watch) -> pd.DataFrame:
    """One row a move: the command, the state before it, and where it led on the command line and with docker-py."""
    rows = []
    for one, two in zip(cli.moves, python.moves, strict=True):
        rows.append(
            (
                one.command,
                one.before,
                _state(one),
                _state(two),
                (one.command, one.before, _state(one)) == (two.command, two.before, _state(two)),
            )
        )
    return pd.DataFrame(
        rows, columns=["command", "before", "after, CLI", "after, docker-py", "same"]
    ).set_index("command")


def _state(move: Move) -> str:
    return move.after if move.exit_code is None else f"{move.after} ({move.exit_code})"


def health(name: str, client: docker.DockerClient, port: int = 8000, timeout: float = 60) -> dict[str, Any]:
    """What GET /health of a running container says, as soon as it says it with 200; `timeout` in seconds. Asks the engine.

    Raises ContainerFailed where it stays silent.
    """
    answer: dict[str, Any] = {}

    def answers() -> bool:
        try:
            reply = requests.get(
                f"{container.published(client.containers.get(name), port)}/health", timeout=2
            )
        except requests.RequestException:
            return False
        if reply.ok:
            answer.update(reply.json())
        return reply.ok

    if not polling.wait_until(answers, timeout, interval=0.05):
        last = client.containers.get(name).logs(tail=3).decode(errors="replace").strip()
        raise ContainerFailed(
            f"{name} did not answer /health in time.", f"Its last lines: {last}", "Mend what they name."
        )
    return answer
