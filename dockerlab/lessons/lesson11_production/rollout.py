"""Releases of the detection API in a swarm: build three of them, open a door to the replicas, and ship one while requests come in.

Release 3 is bad: it names a model that nobody put into the image. Its server runs, and can answer nothing but 503.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from dockerlab.containers import container, load_generator, swarm
from dockerlab.core import polling
from dockerlab.core.errors import CourseError
from dockerlab.core.settings import ROOT
from dockerlab.detection import variants
from dockerlab.engine import endpoint, naming, ownership
from dockerlab.engine.command import docker as docker_command
from dockerlab.images.base_images import DEBIAN, SLIM, ensure
from dockerlab.images.build import build

CONTEXT = ROOT / "assets" / "production"
BASE = "dockerlab-api:multistage"
_DOOR = "dockerlab-production:door"
SERVICE = "api"
RELEASES: Mapping[str, Mapping[str, str]] = {
    "v1": {"VERSION": "1"},
    "v2": {"VERSION": "2"},
    "v3": {"VERSION": "3", "MODEL": "harbour-m.onnx"},
}


def __getattr__(name: str) -> str:
    """`DOOR` is the tag of the door's image, which each learner of an engine has under another name."""
    if name == "DOOR":
        return naming.own(_DOOR)
    raise AttributeError(name)


class StackRefused(CourseError):
    """`docker stack` does not take the file, or its service does not answer."""


def build_releases(repository: str, client: docker.DockerClient, **labels: str) -> dict[str, str]:
    """Build the releases as REPOSITORY:v1 to :v3, and the door; returns their tags. Asks the engine; mostly from the cache."""
    ensure(SLIM, client)
    variants.have_rung("multistage", client)
    door_image(client)
    tags = {name: naming.own(f"{repository}:{name}") for name in RELEASES}
    for name, arguments in RELEASES.items():
        build(CONTEXT, tag=tags[name], buildargs=dict(arguments), labels=labels, client=client)
    return tags


def door_image(client: docker.DockerClient) -> str:
    """Build the image of the door, nginx before the replicas, and return its tag. Asks the engine; mostly from the cache."""
    ensure(DEBIAN, client)
    return str(build(CONTEXT / "door", tag=_DOOR, client=client).tag)


def images(pattern: str, client: docker.DockerClient) -> list[str]:
    """The tags of this learner's images that match, such as */dockerlab-lesson11: of those pushed to a registry on whatever port. Asks the engine."""
    pattern = naming.own(pattern)
    return sorted(
        tag
        for each in ownership.own_images(client)
        for tag in each.tags
        if fnmatch.fnmatch(tag.rpartition(":")[0], pattern)
    )


def remove_images(pattern: str, client: docker.DockerClient) -> int:
    """Remove these tags, and an image with its last one; returns how many went. Asks the engine."""
    gone = 0
    for image in images(pattern, client):
        with suppress(ImageNotFound, APIError):
            client.images.remove(image)
            gone += 1
    return gone


def deploy(stack_file: Path, stack: str, image: str, *more: Path) -> None:
    """`docker stack deploy` of this file, and `more` that are merged into it, with IMAGE set; returns at once. Asks the engine.

    Raises StackRefused with its reason.
    """
    files = [word for file in (stack_file, *more) for word in ("-c", str(file))]
    _docker("stack", "deploy", "--detach=true", "--resolve-image", "never", *files, stack, image=image)


def config(stack_file: Path, image: str = "image") -> str:
    """`docker stack config`: the file as the engine will get it. Raises StackRefused with what is wrong in it."""
    return _docker("stack", "config", "-c", str(stack_file), image=image)


def _docker(*arguments: str, image: str) -> str:
    done = docker_command(*arguments, env={**endpoint.environment(), "IMAGE": image}, raises=StackRefused)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it says nothing"]
        raise StackRefused(
            f"`docker {' '.join(arguments[:2])}` does not take the file: {lines[-1].rstrip('.')}.",
            fix="Mend that line.",
        )
    return done.stdout


@dataclass
class Rollout:
    """What one release did: the state in which the update ended, how long that took, the fewest replicas that were ready, and the requests."""

    state: str = ""
    message: str = ""
    seconds: float = 0.0
    fewest: int = 0
    ready: Mapping[str, int] = field(default_factory=dict)
    seen: load_generator.Seen = field(default_factory=load_generator.Seen)
    uploads: load_generator.Seen = field(default_factory=load_generator.Seen)


class Trial:
    """One stack file on a swarm of its own, from the first release on; `with Trial(…) as trial: trial.ship("v2")`.

    Everything that it makes is gone when the block ends. Talks to the engine.
    """

    def __init__(
        self,
        stack_file: Path,
        images: Mapping[str, str],
        client: docker.DockerClient,
        name: str = "dockerlab-trial",
        more: Sequence[Path] = (),
    ) -> None:
        self.more = tuple(more)  # files that are merged into the stack file
        self.file, self.images, self.client, self.name = stack_file, images, client, name
        self.service, self.url = f"{name}_{SERVICE}", ""
        self._stack = ExitStack()

    def __enter__(self) -> Trial:
        config(self.file, self.images["v1"])
        try:
            self._stack.enter_context(swarm.one_node(self.client))
            deploy(self.file, self.name, self.images["v1"], *self.more)
            if not polling.wait_until(lambda: self.ready("v1") >= self._wanted(), 40, 0.1):
                raise StackRefused(
                    f"Release 1 has {self.ready('v1')} ready replicas of {self._wanted()}.",
                    self._why(),
                    "Mend what that names.",
                )
            opened = container.running(
                naming.own(_DOOR),
                port=8080,
                ready="/health",
                network=f"{self.name}_web",
                client=self.client,
                timeout=30,
            )
            self.url = self._stack.enter_context(opened).url
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ready(self, release: str) -> int:
        """How many replicas of this release are ready."""
        return swarm.replicas(self.service, self.client).ready.get(self.images[release], 0)

    def ship(
        self,
        release: str,
        picture: Path,
        upload_seconds: float = 0.0,
        patience: float = 45,
        settle: float = 1.5,
    ) -> Rollout:
        """Deploy a release while pictures come in, some of them over lines so slow that one takes `upload_seconds`.

        Returns when the update, or the rollback of it, is over, after `patience` seconds at the latest.
        """
        result = Rollout(fewest=swarm.replicas(self.service, self.client).count)
        with ExitStack() as coming:
            result.seen = coming.enter_context(
                load_generator.traffic(self.url, load_generator.picture(picture), clients=2, pause=0.2)
            )
            if upload_seconds:
                result.uploads = coming.enter_context(
                    load_generator.traffic(
                        self.url, load_generator.picture(picture, upload_seconds=upload_seconds), clients=8
                    )
                )
                time.sleep(upload_seconds / 2)
            began = time.monotonic()
            deploy(self.file, self.name, self.images[release], *self.more)
            swarm.settled(
                self.service,
                self.client,
                patience,
                lambda now: setattr(result, "fewest", min(result.fewest, now.count)),
            )
            result.seconds = time.monotonic() - began
            time.sleep(settle)
        now = swarm.replicas(self.service, self.client)
        result.ready, result.state, result.message = now.ready, now.update, now.message
        return result

    def _wanted(self) -> int:
        mode = self.client.services.get(self.service).attrs["Spec"]["Mode"]
        wanted: int = mode.get("Replicated", {}).get("Replicas", 1)
        return wanted

    def _why(self) -> str:
        tasks = self.client.api.tasks(filters={"service": self.service})
        reasons = [
            task["Status"].get("Err") or task["Status"].get("Message", "")
            for task in sorted(tasks, key=lambda task: task["UpdatedAt"])
        ]
        return f"The last one says: {reasons[-1]}." if reasons else "There is none."
