"""Make the base images of the course present: already here, pulled, from a mirror, from a bundle, or made from Debian.

Dockerfiles name plain public images. Where no registry answers, a stand-in is put under the same name (`debian.make`),
labelled as a stand-in. `recipes` says what each is made of, `site_layer` how the settings of a closed network get into each; this module
says where a base comes from, and in which order it tries.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import re
import subprocess
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import requests
import zstandard
from docker.errors import APIError, DockerException, ImageNotFound

from dockerlab.core import tars
from dockerlab.core.errors import CourseError
from dockerlab.core.settings import Site, load_site
from dockerlab.engine import connection, endpoint, error_messages, ownership
from dockerlab.images.base_images import debian, site_layer
from dockerlab.images.base_images.debian import Offline, debian_sources
from dockerlab.images.base_images.recipes import (
    BASES,
    COURSE_BASES,
    DEBIAN,
    DISTROLESS,
    FULL,
    POSTGRES,
    REDIS,
    REGISTRY,
    SLIM,
    Base,
)
from dockerlab.images.base_images.site_layer import LAYER_LABEL, STANDIN_LABEL, bridge_gateway, give_back

__all__ = [
    "BASES", "COURSE_BASES", "DEBIAN", "DISTROLESS", "FULL", "POSTGRES", "REDIS", "REGISTRY", "SLIM", "STANDIN_LABEL", "Base", "BaseMissing", "BaseState",
    "bridge_gateway", "debian_sources", "ensure", "ensure_all", "give_back", "present", "save", "standin_note", "suits",
]  # fmt: skip
PROBE_SECONDS = 4
_loading = threading.Lock()


class BaseMissing(CourseError):
    """A base image is not on the engine and could not be brought there."""


@dataclass(frozen=True)
class BaseState:
    """Where a base came from: here, pull, mirror, bundle or debian; seconds taken to bring it."""

    name: str
    source: str
    seconds: float


def present(client: docker.DockerClient, name: str) -> bool:
    """Whether the engine holds this image. Asks the engine."""
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def standin_note(client: docker.DockerClient, name: str) -> str:
    """One sentence about a base: official, or a stand-in and how it differs. Asks the engine."""
    labels = client.images.get(name).labels or {}
    if label := labels.get(STANDIN_LABEL):
        return f"{name} is a stand-in made from Debian packages: {label}."
    return f"{name} is the image that its publisher made{', with the settings of this site on top' if LAYER_LABEL in labels else ''}."


def suits(client: docker.DockerClient, name: str, site: Site | None = None) -> bool:
    """Whether a base that is present has the settings of this site in it (`site_layer`). Asks the engine."""
    return name not in BASES or site_layer.suits(client, BASES[name], site or load_site())


def ensure(
    name: str, client: docker.DockerClient, site: Site | None = None, source: str | None = None
) -> BaseState:
    """Make one base present on the engine; the first source that works wins.

    A base that has not the settings of this site in it gets them, also one that was here before they changed.
    `source` is one of site.BASES_SOURCES. Raises BaseMissing when none works.
    """
    site = site or load_site()
    source = source or site.bases_source
    started, failures = time.monotonic(), {}
    if present(client, name):
        return BaseState(name, "here", time.monotonic() - started if _settle(name, client, site) else 0.0)
    for each in _SOURCES if source == "auto" else (source,):
        try:
            _SOURCES[each](name, client, site)
            _settle(name, client, site)
            _note(name, client)
            return BaseState(name, each, time.monotonic() - started)
        except (
            CourseError,
            DockerException,
            requests.RequestException,
            OSError,
            subprocess.SubprocessError,
        ) as error:
            failures[each] = error
    raise _missing(name, failures)


def _settle(name: str, client: docker.DockerClient, site: Site) -> bool:
    """Put the settings of this site into a base that has not got them; whether that was needed. Asks the engine."""
    if suits(client, name, site):
        return False
    site_layer.apply(client, BASES[name], site)
    _note(name, client)
    return True


def _note(name: str, client: docker.DockerClient) -> None:
    """Note a base that this learner brought or put the settings of the site into."""
    ownership.note(client, id=str(client.images.get(name).id), tag=name, kind="base")


def _missing(name: str, failures: dict[str, Exception]) -> BaseMissing:
    """What to tell when no source worked: one plain sentence where the network is what is missing."""
    what = f"The base image {name} is not on the engine"
    if isinstance(failures.get("debian"), Offline) and (
        "pull" not in failures or isinstance(failures["pull"], Offline)
    ):
        return BaseMissing(f"{what}, and this machine reaches no network that has it.",
                           fix="Connect and run `dockerlab bases`, or set bases_bundle in course.local.toml to a file of saved bases.")  # fmt: skip
    reasons = "; ".join(
        f"{source}: {(str(error).strip() or type(error).__name__).splitlines()[0].rstrip('.')}"
        for source, error in failures.items()
    )
    if "no space left" in reasons:
        return BaseMissing(f"{what}.", f"{reasons}.", error_messages.advice(reasons)[1])
    return BaseMissing(f"{what}.", f"{reasons}.", "Mend one of these and run `dockerlab bases`.")


def ensure_all(
    client: docker.DockerClient | None = None,
    site: Site | None = None,
    source: str | None = None,
    names: Iterable[str] = COURSE_BASES,
    say: Callable[[str], None] = print,
) -> list[BaseState]:
    """Make every base named present, two at a time, and say where each came from. Asks the engine."""
    client, site, names = client or connection.connect(timeout=900), site or load_site(), list(names)
    missing = {name for name in names if not present(client, name)}
    states: list[BaseState] = []
    pool = ThreadPoolExecutor(2)
    try:
        for state in pool.map(lambda name: ensure(name, client, site, source), names):
            if (
                state.source == "here" and state.name in missing
            ):  # one load of a bundle brings more than was asked for
                state = replace(state, source="bundle")
            say(f"{state.name}: {state.source}" + (f", {state.seconds:.0f} s" if state.seconds else ""))
            states.append(state)
    finally:  # where one is missing, the rest would fail for the same reason
        pool.shutdown(cancel_futures=True)
    return states


def save(file: Path, client: docker.DockerClient | None = None, names: Iterable[str] = COURSE_BASES) -> int:
    """Write the bases into one file that others load by the setting bases_bundle; returns its bytes. Asks the engine.

    A name that ends with .zst is compressed. All names must be present. The file appears whole or not at all.
    """
    client = client or connection.connect(timeout=900)
    api, part = client.api, file.with_name(file.name + ".part")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as raw, api.get(
            f"{api.base_url}/v{api.api_version}/images/get", params={"names": list(names)}, stream=True, timeout=900
        ) as answer:  # fmt: skip
            if not answer.ok:
                said = answer.json().get("message", answer.reason)
                raise CourseError(
                    "The bases were not saved.", f"The engine said: {said}.", "Run `dockerlab bases` first."
                )
            out = (
                zstandard.ZstdCompressor(level=3, threads=-1).stream_writer(raw, closefd=False)
                if file.suffix == ".zst"
                else raw
            )
            for piece in answer.iter_content(1 << 20):
                out.write(piece)
            if out is not raw:
                out.close()
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


_reached: dict[
    tuple[str, str], str
] = {}  # (engine, registry) -> why it cannot be used; empty where it answers


def _probe(client: docker.DockerClient, name: str) -> None:
    """Ask the engine, once a process, whether it gets an answer from the registry of `name`; raises Offline where not.

    A pull without a network can hang for minutes; this costs PROBE_SECONDS at most, and nothing for the next base.
    """
    first = name.split("/")[0]
    key = (
        endpoint.address_of(client),
        first if "/" in name and ("." in first or ":" in first or first == "localhost") else "docker.io",
    )
    if key not in _reached:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(_refusal(client, name)), daemon=True)
        thread.start()
        thread.join(PROBE_SECONDS)
        _reached[key] = answers[0] if answers else f"{key[1]} did not answer within {PROBE_SECONDS} s"
    if _reached[key]:
        raise Offline(_reached[key])


def _refusal(client: docker.DockerClient, name: str) -> str:
    """Why the engine gets no answer about `name`; empty where the registry says anything, even no."""
    try:
        client.api.inspect_distribution(name)
    except APIError as error:
        return str(error.explanation or error) if error.is_server_error() else ""
    except (DockerException, requests.RequestException) as error:
        return str(error)
    return ""


def _pull(name: str, client: docker.DockerClient, site: Site) -> None:
    _probe(client, name)
    repository, _, tag = name.rpartition(":")
    client.images.pull(repository, tag=tag)


def _mirror(name: str, client: docker.DockerClient, site: Site) -> None:
    """Pull through the class's registry and tag with the public name."""
    if not site.registry_mirror:
        raise CourseError("no registry_mirror is set")
    path = name if "/" in name else f"library/{name}"
    there = f"{site.registry_mirror.rpartition('://')[2]}/{path}"
    _probe(client, there)
    repository, _, tag = there.rpartition(":")
    client.images.pull(repository, tag=tag).tag(*name.rsplit(":", 1))
    client.images.remove(there, noprune=True)


def _bundle(name: str, client: docker.DockerClient, site: Site) -> None:
    """Load a file of saved bases that somebody handed round, once it is known to be that and nothing else."""
    if not site.bases_bundle:
        raise CourseError("no bases_bundle is set")
    file = Path(site.bases_bundle).expanduser()
    with _loading:  # one load brings them all
        if not present(client, name):
            with file.open("rb") as stream:
                check_bundle(stream, file.name, site.bases_bundle_sha256)
                stream.seek(0)
                client.images.load(stream)
    if not present(client, name):
        raise CourseError(f"{file.name} does not hold it")


def check_bundle(stream: io.BufferedReader | io.BytesIO, name: str, sha256: str = "") -> None:
    """Refuse a file of saved bases whose SHA-256 is not the one expected, or that would give an image a name other than a base's.

    The names that the engine would give are in manifest.json and `repositories` (docker save) and index.json (OCI layout).
    Raises CourseError.
    """
    if sha256 and (found := hashlib.file_digest(stream, "sha256").hexdigest()) != sha256.lower():
        raise CourseError(
            f"{name} is not the file that was meant: its SHA-256 is {found}.",
            fix="Copy it again, or correct bases_bundle_sha256.",
        )
    stream.seek(0)
    packed = stream.read(4) == zstandard.FRAME_HEADER
    stream.seek(0)
    try:
        with tarfile.open(
            fileobj=zstandard.ZstdDecompressor().stream_reader(stream, closefd=False) if packed else stream,
            mode="r|*",
        ) as archive:
            named = {
                each
                for member in archive
                if member.isfile() and member.name.removeprefix("./") in _NAMES
                for each in _NAMES[member.name.removeprefix("./")](json.loads(tars.content(archive, member)))
            }
    except (
        tarfile.TarError,
        zstandard.ZstdError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
    ) as error:
        raise CourseError(f"{name} is no file of saved images: {error}") from error
    strangers = sorted({_plain(each) for each in named} - BASES.keys())
    if strangers:
        raise CourseError(
            f"{name} holds {', '.join(strangers)}, which is no base of the course, so nothing of it was loaded.",
            fix="Ask whoever made it for a file from `dockerlab bases --save`.",
        )


def _plain(reference: str) -> str:
    """An image's name as people write it, without Docker Hub's own address. Pure."""
    return re.sub(r"^(?:docker\.io/|index\.docker\.io/)?(?:library/(?=[^/]+$))?", "", reference)


def _oci_names(index: Any) -> list[str]:
    """The names in an OCI layout's index.json; one that is only a tag belongs to a name that stands elsewhere. Pure."""
    annotations = [each.get("annotations") or {} for each in index.get("manifests") or []]
    full = [each["io.containerd.image.name"] for each in annotations if each.get("io.containerd.image.name")]
    return full + [
        name
        for each in annotations
        if (name := each.get("org.opencontainers.image.ref.name", "")) and re.search(r"[:/]", name)
    ]


# The files of an archive that name its images -> how to read the names in them.
_NAMES: dict[str, Callable[[Any], list[str]]] = {
    "manifest.json": lambda entries: [tag for entry in entries for tag in entry.get("RepoTags") or []],
    "repositories": lambda table: [f"{name}:{tag}" for name, tags in table.items() for tag in tags],
    "index.json": _oci_names,
}


def _debian(name: str, client: docker.DockerClient, site: Site) -> None:
    """Make the stand-in from Debian packages."""
    if name not in BASES:
        raise CourseError(f"there is no recipe for {name}")
    debian.make(BASES[name], client, site)


_SOURCES: dict[str, Callable[[str, docker.DockerClient, Site], None]] = {
    "pull": _pull,
    "mirror": _mirror,
    "bundle": _bundle,
    "debian": _debian,
}
