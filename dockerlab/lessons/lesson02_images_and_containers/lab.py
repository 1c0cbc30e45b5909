"""Lab 02: take over two images that came as files: load, tell apart, run, rescue, publish. Judged on fresh files each time."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, ImageNotFound, NotFound

from dockerlab.containers import container
from dockerlab.core import polling
from dockerlab.core.fetch import fetch
from dockerlab.course.grading import criteria
from dockerlab.course.grading.calls import Caller, CallFailed
from dockerlab.course.grading.judging import Lab, Outcome, Submission, bound
from dockerlab.lessons.lesson02_images_and_containers import handover

START = 15  # seconds until the service has to answer
REPOSITORY, TAG = "harbour/board", "2.0"
ACCEPT = ", ".join((
    "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
))  # fmt: skip


def _prepare(submission: Submission) -> None:
    submission.state["call"] = Caller(submission.folder)
    submission.callback(submission.state["call"].close)


def _call(submission: Submission, function: str, *arguments: Any) -> Any:
    return submission.state["call"].call(function, *arguments)


def _number(submission: Submission) -> int:
    """A number that belongs to this check, for ports and seeds."""
    return int(submission.id, 16)


def _folder(submission: Submission) -> Path:
    return submission.cached("folder", lambda: submission.enter(handover.temporary_folder()))


def _tar(submission: Submission, what: str) -> dict[str, Any]:
    """A fresh image file: path, layers of the image, release word, port. Its image is not on the engine."""

    def make() -> dict[str, Any]:
        number = _number(submission)
        # Neither name nor order tells which is which.
        name = (number + (what == "job")) % 2
        port, release = 9100 + number % 800, f"harbour-{submission.id[:4]}{name}"
        path = _folder(submission) / f"image-{submission.id[:5]}-{name}.tar"
        layers = handover.image_file(
            what,
            submission.tag(f"i{name}"),
            path,
            submission.client,
            submission.image_labels(),
            port,
            release,
        )
        return {"path": path, "layers": layers, "release": release, "port": port}

    return submission.cached(("tar", what), make)


def _loaded(submission: Submission, what: str) -> Any:
    """What the learner's load() says about a fresh file. Raises what load() raises."""
    return submission.cached(
        ("load", what), lambda: _call(submission, "load", _tar(submission, what)["path"])
    )


def _image(submission: Submission, what: str) -> str:
    """The image of a fresh file by a name that holds, whatever load() said."""
    reference = _loaded(submission, what)
    if isinstance(reference, str) and _is(submission, reference, what):
        return reference
    raise CallFailed("load() did not give the image.", fix="Mend the first promise first.")


def _is(submission: Submission, reference: object, what: str) -> bool:
    if not isinstance(reference, str) or not reference:
        return False
    try:
        return bool(
            submission.client.images.get(reference).attrs["RootFS"]["Layers"]
            == _tar(submission, what)["layers"]
        )
    except (ImageNotFound, APIError):
        return False


def _loads(submission: Submission) -> Outcome:
    for what in ("service", "job"):
        reference = _loaded(submission, what)
        if not isinstance(reference, str):
            return Outcome(False, f"returned {type(reference).__name__} {reference!r:.60}, not a text")
        if not _is(submission, reference, what):
            return Outcome(
                False,
                f"returned {reference!r:.60}, which is not the image of {_tar(submission, what)['path'].name}",
            )
    return Outcome(True, "both images are there")


def _tells_apart(submission: Submission) -> Outcome:
    said = {what: _call(submission, "kind", _image(submission, what)) for what in ("service", "job")}
    return Outcome(
        all(what == word for what, word in said.items()),
        ", ".join(f"the {what} is called {word!r:.30}" for what, word in said.items()),
    )


def _started(submission: Submission) -> tuple[Any, str]:
    """The container that run_service() started, and its station; waits until it answers or has ended."""

    def start() -> tuple[Any, str]:
        name, station = submission.name("board"), f"quay-{submission.id[:6]}"
        submission.callback(_remove, submission, name)
        _call(submission, "run_service", _image(submission, "service"), name, station)
        box = submission.client.containers.get(name)
        bound(box)
        return box, station

    return submission.cached("service", start)


def _remove(submission: Submission, name: str) -> None:
    with suppress(NotFound):
        container.remove(submission.client.containers.get(name))


def _serves(submission: Submission) -> Outcome:
    try:
        box, station = _started(submission)
    except NotFound:
        return Outcome(False, "no container of the name that was asked for")
    port = _tar(submission, "service")["port"]
    answer: dict[str, str] = {}

    def settled() -> bool:
        box.reload()
        if box.status in ("exited", "dead", "created"):
            return True
        if not box.attrs["NetworkSettings"]["Ports"].get(
            f"{port}/tcp"
        ):  # so no answer can come; wait for its log only
            return bool(box.logs(tail=1))
        answer.update(_ask(box, port))
        return bool(answer)

    polling.wait_until(settled, START, interval=0.1)
    if not answer:
        return Outcome(False, _silence(box, port))
    right = answer == {"station": station, "release": _tar(submission, "service")["release"]}
    return Outcome(
        right,
        f"it reports for {answer.get('station')!r}, wanted {station!r}"
        if not right
        else f"answers for {station}",
    )


def _ask(box: Any, port: int) -> dict[str, str]:
    for binding in box.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp") or []:
        try:
            answer: dict[str, str] = fetch(f"http://127.0.0.1:{binding['HostPort']}/", 2).json()
            return answer
        except (requests.RequestException, ValueError):
            continue
    return {}


def _silence(box: Any, port: int) -> str:
    last = box.logs(tail=1).decode(errors="replace").strip()
    if box.status != "running":
        return f"{box.status} with code {box.attrs['State']['ExitCode']}: {last}"
    published = sorted(key for key, bindings in box.attrs["NetworkSettings"]["Ports"].items() if bindings)
    return (
        f"published: {', '.join(published) or 'no port'}; the program says: {last}"
        if f"{port}/tcp" not in published
        else f"no answer; {last}"
    )


def _is_private(submission: Submission) -> Outcome:
    box, _ = _started(submission)
    addresses = sorted(
        {
            binding["HostIp"]
            for bindings in box.attrs["NetworkSettings"]["Ports"].values()
            for binding in bindings or []
        }
    )
    return Outcome(addresses == ["127.0.0.1"], f"published on {', '.join(addresses) or 'no address'}")


def _counts(submission: Submission) -> Outcome:
    path = _folder(submission) / f"day-{submission.id[:5]}.csv"
    wanted = handover.boxes(path, _number(submission))
    said = _call(submission, "run_job", _image(submission, "job"), path)
    if not isinstance(said, str):
        return Outcome(False, f"returned {type(said).__name__}, not a text")
    found = re.search(r"\{.*\}", said)
    try:
        answer = json.loads(found[0]) if found else {}
    except ValueError:
        answer = {}
    right = answer == {"release": _tar(submission, "job")["release"], "boxes": sum(wanted.values()), **wanted}
    last = said.strip().splitlines()[-1] if said.strip() else "nothing"
    return Outcome(right, f"{answer.get('boxes')} boxes counted" if answer else f"it says: {last:.200}")


def _lost(submission: Submission) -> dict[str, Any]:
    """A fresh stopped container, what its table holds, and what recover() returned or raised."""

    def lose() -> dict[str, Any]:
        name, client = submission.name("lost"), submission.client
        handover.lose(name, submission.tag("night"), client, submission.labels())
        return {
            "name": name,
            "table": handover.table_of(name, client),
            "state": client.containers.get(name).attrs["State"],
        }

    lost = submission.cached("lost", lose)
    return lost | {
        "recovered": submission.cached("recovered", lambda: _call(submission, "recover", lost["name"]))
    }


def _recovers(submission: Submission) -> Outcome:
    lost = _lost(submission)
    found = lost["recovered"]
    if not isinstance(found, bytes):
        return Outcome(False, f"returned {type(found).__name__}, not bytes")
    if found == lost["table"]:
        return Outcome(True, f"{len(found)} bytes, as they were")
    looks = (
        "a table of another night"
        if found.startswith(b"hour,")
        else "a tar archive"
        if b"ustar" in found[:512]
        else f"{found[:30]!r}"
    )
    return Outcome(False, f"{len(found)} bytes: {looks}")


def _leaves_alone(submission: Submission) -> Outcome:
    lost = _lost(submission)
    try:
        state = submission.client.containers.get(lost["name"]).attrs["State"]
    except NotFound:
        return Outcome(False, "the container is gone")
    same = all(state[key] == lost["state"][key] for key in ("Status", "StartedAt", "FinishedAt"))
    return Outcome(same, "it is as it was" if same else f"{state['Status']}, and it was started again")


def _registry(submission: Submission) -> str:
    def make() -> str:
        address = handover.registry(submission.name("registry"), submission.client, submission.labels())
        submission.callback(_untag, submission.client, f"{address}/")
        return address

    return submission.cached("registry", make)


def _untag(client: docker.DockerClient, prefix: str) -> None:
    """Take back the tags by which the learner's publish() sent images to the registry of this check, which has gone. Asks the engine."""
    tags = [tag for image in client.images.list() for tag in image.tags if tag.startswith(prefix)]
    for tag in tags:
        with suppress(APIError):
            client.images.remove(tag)


def _published(submission: Submission) -> object:
    return submission.cached(
        "publish", lambda: _call(submission, "publish", _image(submission, "service"), _registry(submission))
    )


def _publishes(submission: Submission) -> Outcome:
    _published(submission)
    layers = _layers_in_registry(_registry(submission))
    if layers is None:
        server = f"http://{_registry(submission)}/v2"
        catalog = fetch(f"{server}/_catalog", 10).json()["repositories"]
        names = [
            f"{name}:{tag}"
            for name in catalog
            for tag in fetch(f"{server}/{name}/tags/list", 10).json().get("tags") or []
        ]
        return Outcome(False, f"the registry has {', '.join(names) or 'nothing'}")
    right = layers == _tar(submission, "service")["layers"]
    return Outcome(
        right, f"{REPOSITORY}:{TAG} is the board" if right else f"{REPOSITORY}:{TAG} is another image"
    )


def _layers_in_registry(registry: str) -> list[str] | None:
    """The layers of what the registry has under the wanted name, None where it has nothing."""
    base, headers = f"http://{registry}/v2/{REPOSITORY}", {"Accept": ACCEPT}
    answer = fetch(f"{base}/manifests/{TAG}", 10, headers=headers)
    if not answer.ok:
        return None
    manifest = answer.json()
    if "manifests" in manifest:  # an index: the first real platform
        entry = next(
            each for each in manifest["manifests"] if each.get("platform", {}).get("os") != "unknown"
        )
        manifest = fetch(f"{base}/manifests/{entry['digest']}", 10, headers=headers).json()
    layers: list[str] = fetch(f"{base}/blobs/{manifest['config']['digest']}", 10).json()["rootfs"]["diff_ids"]
    return layers


def _names_digest(submission: Submission) -> Outcome:
    said = _published(submission)
    head = fetch(
        f"http://{_registry(submission)}/v2/{REPOSITORY}/manifests/{TAG}",
        10,
        method="HEAD",
        headers={"Accept": ACCEPT},
    )
    digest = head.headers.get("Docker-Content-Digest", "")
    return Outcome(
        said == digest,
        "the registry's own" if said == digest else f"returned {said!r:.40}, the registry says {digest:.19}…",
    )


LAB = Lab(
    number="02",
    name="take over two images",
    files=("work.py",),
    prepare=_prepare,
    criteria=criteria.read(
        "02",
        {
            "load": _loads,
            "kind": _tells_apart,
            "service": _serves,
            "private": _is_private,
            "job": _counts,
            "recover": _recovers,
            "untouched": _leaves_alone,
            "publish": _publishes,
            "digest": _names_digest,
        },
        REPOSITORY=REPOSITORY,
        TAG=TAG,
    ),
)
