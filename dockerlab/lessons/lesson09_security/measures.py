"""How the service of lab 09 is built, run by the learner's own run line, asked, and broken into. All of it asks the engine."""

from __future__ import annotations

import hashlib
import secrets
import shlex
import string
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import requests
from docker.models.containers import Container

from dockerlab.containers import container, inspection
from dockerlab.core import polling
from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.course.grading import folders
from dockerlab.course.grading.judging import NotStarted, Outcome, Submission, bounds, waiting
from dockerlab.engine import connection, ownership
from dockerlab.engine.command import docker as docker_command
from dockerlab.images import base_images, secret_scan
from dockerlab.lessons.lesson09_security import attack_surface

TOKEN, KEY = (
    "tkn-tides-8804",
    "gate-key-5521",
)  # in the files that are handed out; a check has a key of its own
HOLDERS = (".env", "key.txt")  # where a working folder keeps them
PORT = 8080
GIVEN = ("gate/", "fetch_tides.py")
BUILD_SECONDS, START_SECONDS = 300, 20
# Options that the check sets itself, with and without a value.
OWN_WITH_VALUE = {"--name", "-p", "--publish", "--restart", "--cidfile", "-l", "--label"}
OWN = {"-d", "--detach", "--rm", "-it", "-i", "-t", "-P", "--publish-all", "--interactive", "--tty", "-dit"}


class BadRunLine(CourseError):
    """run.sh holds no run line that can be tried."""


BASES = (base_images.SLIM, base_images.FULL, base_images.DISTROLESS)


def prepare(submission: Submission) -> None:
    """The bases that a solution may begin from. The image is searched for secrets while the other promises are tried."""
    for base in BASES:
        base_images.ensure(base, submission.client)
    with suppress(CourseError):  # the first promise tells it
        _image(submission)
        submission.state["leaks"] = submission.pool(1).submit(_secrets, submission)


def untouched(submission: Submission) -> Outcome:
    """The service's code is the one that was handed out."""
    other = folders.changed(submission.folder, "09", *GIVEN, but=("gate/tides.json",))
    return Outcome(
        not other,
        f"changed: {', '.join(other)}" if other else f"{len(folders.given('09', *GIVEN))} files as they were",
    )


def key_of(submission: Submission) -> str:
    """The key of the service, made for this check. The token cannot be: a secret is no part of what the builder's cache knows a step by."""
    return submission.cached("key", lambda: f"gate-{secrets.token_hex(8)}")


def _folder(submission: Submission) -> Path:
    """A copy of the folder in which the files that hold the key hold that of this check."""

    def copy() -> Path:
        folder = submission.copy(also=HOLDERS)
        for path in (folder / name for name in HOLDERS):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(path.read_bytes().replace(KEY.encode(), key_of(submission).encode()))
        return folder

    return submission.cached("folder", copy)


def builds(submission: Submission) -> Outcome:
    """It builds by `docker buildx build`, which hands over secrets."""
    _image(submission)
    return Outcome(True, "it builds")


def _image(submission: Submission) -> str:
    def make() -> str:
        tag = submission.tag("gate")
        options = ownership.build_options(submission.client, tag, submission.image_labels())
        secret = submission.scratch() / "token"
        secret.write_text(TOKEN, encoding="utf-8")
        options = ["--build-arg", f"TOKEN={TOKEN}", "--secret", f"id=token,src={secret}", *options]
        with waiting("the build", BUILD_SECONDS):
            done = docker_command(
                "buildx",
                "build",
                "--quiet",
                "--load",
                *options,
                str(_folder(submission)),
                timeout=BUILD_SECONDS,
            )
        if done.returncode:
            lines = [
                line.strip()
                for line in done.stderr.splitlines()
                if line.strip() and not line.startswith(("---", "View build"))
            ]
            wrong = [line for line in lines if "ERROR" in line or "rror:" in line or "token" in line] or lines
            fix = "Run `docker buildx build --secret id=token,src=token.txt .` in this folder."
            raise CourseError("The image does not build.", " ".join(wrong[-2:])[:280], fix)
        return tag

    return submission.cached("image", make)


def run_line(text: str, values: dict[str, str]) -> tuple[list[str], int]:
    """The words behind `docker run` in run.sh, variables filled in, without what the check sets itself; and the port that is published. Pure.

    Raises BadRunLine, and NotStarted where there is no such line.
    """
    lines = [
        line
        for line in text.replace("\\\n", " ").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    chosen = [
        line
        for line in lines
        if line.split()[:2] == ["docker", "run"] or line.split()[:3] == ["docker", "container", "run"]
    ]
    if not chosen:
        raise NotStarted("run.sh holds no line that begins with docker run.")
    try:
        words = shlex.split(string.Template(chosen[-1]).safe_substitute(values), comments=True)
    except ValueError as error:
        raise BadRunLine("The run line cannot be read.", f"{error}.", "Close every quote.") from error
    words, kept, port = words[words.index("run") + 1 :], [], PORT
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        if name in OWN_WITH_VALUE:
            value = value or (words.pop(0) if words else "")
            if name in ("-p", "--publish"):
                port = int("".join(each for each in value.rpartition(":")[2] if each.isdigit()) or PORT)
        elif word not in OWN:
            kept.append(word)
        if word == values["IMAGE"]:  # what follows is the command, and belongs to the image
            kept += words
            break
    if values["IMAGE"] not in kept:
        raise BadRunLine("The run line does not run $IMAGE.", fix="End it with $IMAGE.")
    return kept, port


def _service(submission: Submission) -> tuple[Container, str]:
    """The learner's run line, running and healthy; its container and address."""

    def start() -> tuple[Container, str]:
        folder, key = submission.scratch(), key_of(submission)
        folder.chmod(0o755)
        (folder / "key").write_text(key)
        (folder / "key").chmod(0o444)
        tag, name = _image(submission), submission.name("gate")
        values = {
            "IMAGE": tag,
            "KEY_FILE": str(folder / "key"),
            "HARBOUR_KEY": key,
            "SOCKET": connection.engine_socket(),
        }
        words, port = run_line(submission.text("run.sh"), values)
        labels = [
            word for key, value in submission.labels().items() for word in ("--label", f"{key}={value}")
        ]
        submission.state["key file"] = values["KEY_FILE"]
        # How many processes there may be is one of the promises.
        bounded = bounds(words[: words.index(tag)], processes=False, memory=True)
        done = docker_command(
            "run", "-d", "--name", name, "-p", f"127.0.0.1::{port}", *labels, *bounded, *words
        )
        if done.returncode:
            raise CourseError(
                "The run line does not start it.",
                (done.stderr.strip().splitlines() or ["it said nothing"])[0][:280],
                "Run it by hand.",
            )
        box = submission.client.containers.get(name)
        submission.callback(container.remove, box)
        url = container.published(box, port)
        polling.wait_until(lambda: _over(box) or _health(url), START_SECONDS, 0.1)
        if _over(box) or _health(url) != 200:
            raise CourseError(
                "It does not become healthy.",
                _last(box) or f"/health answers {_health(url) or 'nothing'}",
                "Read `docker logs`.",
            )
        return box, url

    return submission.cached("service", start)


def _over(box: Container) -> bool:
    box.reload()
    return box.status in ("exited", "dead")


def _health(url: str) -> int:
    try:
        return fetch(f"{url}/health", 2).status_code if url else 0
    except requests.RequestException:
        return 0


def _last(box: Container) -> str:
    output: bytes = box.logs(tail=1)
    return (output.decode(errors="replace").strip().splitlines() or [""])[-1]


def serves(submission: Submission) -> Outcome:
    """Healthy with the tide table of the right token; refuses without the key; keeps a picture and lists it."""
    (box, url), key = _service(submission), key_of(submission)
    wrong = []
    if fetch(f"{url}/health", 5).json().get("tides") != hashlib.sha256(TOKEN.encode()).hexdigest():
        wrong.append("the tide table was not made with the token")
    if fetch(f"{url}/entries", 5).status_code != 401:
        wrong.append("it answers without the key")
    kept = fetch(f"{url}/entries/truck7", 5, method="PUT", data=b"picture" * 1000, headers={"X-Key": key})
    if kept.status_code != 201:
        wrong.append(f"the picture is answered with {kept.status_code}: {_last(box)}")
    elif fetch(f"{url}/entries", 5, headers={"X-Key": key}).json() != ["truck7"]:
        wrong.append("the picture is not listed")
    return Outcome(not wrong, "; ".join(wrong) or "four answers, all right")


def _secrets(submission: Submission) -> list[str]:
    tag, found = _image(submission), []
    for what, secret in (("the token", TOKEN), ("the key", key_of(submission))):
        found += [
            f"{what} in {place}" for place in secret_scan.find(tag, secret, submission.client, below=BASES)
        ]
    return found


def nowhere(submission: Submission) -> Outcome:
    """No part of the image holds the token or the key."""
    found = submission.state["leaks"].result()
    return Outcome(not found, "; ".join(found[:3]) if found else "nowhere")


def card(submission: Submission) -> attack_surface.Scorecard:
    """What an intruder can do behind the learner's run line."""
    return submission.cached(
        "card", lambda: attack_surface.judged(_service(submission)[0], submission.client, submission.labels())
    )


def refused(submission: Submission, attempts: Sequence[str]) -> Outcome:
    """None of these attempts works."""
    found = card(submission)
    worked = [found.seen(key) for key in attempts if found.worked(key)]
    if "host" in attempts and not worked:
        worked = _folders_of_the_host(submission)
    return Outcome(not worked, "; ".join(worked or [found.seen(attempts[0])]))


def _folders_of_the_host(submission: Submission) -> list[str]:
    """What of the host is mounted besides the key's file."""
    box = _service(submission)[0]
    return [
        f"{mount.source} of the host is mounted at {mount.target}"
        for mount in inspection.mounts(submission.client, box.attrs)
        if mount.kind == "bind" and not mount.source.endswith(submission.state["key file"])
    ]


def scorecard_of(folder: Path) -> attack_surface.Scorecard | str:
    """What an intruder can do behind the run line of a folder, which is built and run for it; or in one sentence why it could not be tried."""
    with Submission(folder, lab="09") as submission:
        try:
            prepare(submission)
            return card(submission)
        except CourseError as error:
            return str(error)
