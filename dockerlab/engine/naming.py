"""What a learner's things are called on an engine: `dockerlab-…` for the first learner there, `dockerlab-WORD-…` for everybody else.

Lessons write `dockerlab-lesson07-data` in plain sight, and an engine has one thing of a name. Whoever comes first takes the plain names: a
volume, which the engine makes once and hands to everybody else as it is, says whose they are. For the others `own` puts a word of theirs
into the names of the course: in the package where a name goes to the engine, and in the text of a notebook's cells before they run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from dockerlab.core import ipython
from dockerlab.core.errors import CourseError
from dockerlab.engine import object_labels, process_marks
from dockerlab.engine.reach import reach

CLAIM = f"{object_labels.NAME_PREFIX}names"
ONE_TO_AN_ENGINE = (CLAIM, f"{object_labels.NAME_PREFIX}swarm", f"{object_labels.NAME_PREFIX}wheels")
KIND = "names"
SETTING = "DOCKERLAB_NAMES"  # "plain": nobody is asked, for tests and CI, whose learners take turns
HELD_DAYS = (
    7  # of a claim by a process that cannot be seen from here, and whose learner has nothing on the engine
)
# What the names of lessons and labs begin with. Others are unique by themselves, such as those of checks, or are no names on the engine.
_BEGINNINGS = (
    r"(?:lesson|lab[\d{]|build:|(?:api|gate|handover|ladder|models|neighbour|practice|production|trial)\b)"
)
_NAME = re.compile(rf"(?<![\w.-]){object_labels.NAME_PREFIX}(?={_BEGINNINGS})")
_words: dict[str, str] = {}  # owner -> the word in the names, "" where these are plain
_clients: list[docker.DockerClient] = []  # the connection of this notebook


def own(name: str) -> str:
    """A name of the course as this learner's things have it, or a text that holds some; one that is own already stays. Asks the engine once."""
    return rewritten(name, _word()) if _NAME.search(name) else name


def prefix() -> str:
    """What this learner's names begin with. Asks the engine once."""
    return f"{object_labels.NAME_PREFIX}{word}-" if (word := _word()) else object_labels.NAME_PREFIX


def rewritten(text: str, word: str) -> str:
    """The text with `word` in every name of the course; unchanged where `word` is "". Doing it twice is doing it once. Pure."""
    return _NAME.sub(f"{object_labels.NAME_PREFIX}{word}-", text) if word else text


def word_of(owner: str) -> str:
    """The word for a learner who is not the first: the name, with some digits behind it where a name on the engine may not hold all of it. Pure."""
    word = re.sub(r"[^a-z0-9]", "", owner)[:16]
    if word == owner and not re.match(_BEGINNINGS, word):
        return word
    return f"u{word}{hashlib.sha256(owner.encode()).hexdigest()[:6]}"  # no name of the course begins with a u


def _word() -> str:
    if os.environ.get(SETTING) == "plain":
        return ""
    if object_labels.owner() not in _words:
        with suppress(CourseError):  # without an engine there is nobody to share names with
            _find(reach(120)[0])
    return _words.get(object_labels.owner(), "")


def _find(client: docker.DockerClient) -> None:
    """Ask for the word; one that was found stays until the process ends, since names with it are nobody else's."""
    if not _words.get(object_labels.owner()):
        with suppress(DockerException, requests.RequestException):
            _words[object_labels.owner()] = "" if _is_first(client) else word_of(object_labels.owner())


def follow(client: docker.DockerClient) -> None:
    """From now on cells of this notebook use this learner's names; where they are not plain, say so once. Asks the engine."""
    shell = ipython.shell()
    if shell is None or os.environ.get(SETTING) == "plain":
        return
    _clients[:] = [client]
    _tell()
    if _cells not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(_cells)


def _tell() -> None:
    before = _words.get(object_labels.owner())
    _find(_clients[0])
    if (word := _words.get(object_labels.owner())) and not before:
        print(
            f"Another learner has the plain names on this engine: where the course says `{object_labels.NAME_PREFIX}…`, yours are called "
            f"`{object_labels.NAME_PREFIX}{word}-…`; cells see to that by themselves, and in a terminal you type it."
        )


def _cells(lines: list[str]) -> list[str]:
    """What runs instead of these lines of a cell. Asks the engine where they hold names, since plain ones may have been given back meanwhile."""
    text = "".join(lines)
    if _NAME.search(text):
        _tell()
    return rewritten(text, _word()).splitlines(keepends=True)


# --- whose the plain names are ----------------------------------------------------------------------------------------------


def _is_first(client: docker.DockerClient) -> bool:
    """Whether the plain names are this learner's, who takes them where they are nobody's. Asks the engine.

    They are somebody's for as long as anything has one, with or without a claim; and who has begun with another word goes on with it.
    """
    me, mine = object_labels.owner(), f"{object_labels.NAME_PREFIX}{word_of(object_labels.owner())}-"
    marks = {
        object_labels.COURSE_LABEL: "1",
        object_labels.OWNER_LABEL: me,
        object_labels.KIND_LABEL: KIND,
        object_labels.PROCESS_LABEL: process_marks.mark(),
    }
    while True:
        held = _claim(client)
        ours = held is not None and held["Labels"].get(object_labels.OWNER_LABEL) == me
        if held and _lasts(held):
            return ours
        if not ours and any(
            _NAME.match(name) if owner != me else name.startswith(mine) for owner, name in things(client)
        ):
            return False
        if held:  # of a process that has died: ours go on in the name of this one
            _remove(client, held)
        made = client.volumes.create(CLAIM, labels=marks).attrs.get("Labels") or {}
        if not held or ours:
            return made.get(object_labels.OWNER_LABEL) == me
        time.sleep(0.5)  # another that found the same old claim may remove ours once, before it sees that


def _lasts(claim: Mapping[str, Any]) -> bool:
    """Whether a claim holds though nothing has a plain name: its learner's process lives, or nobody of the course made it."""
    labels, made = claim["Labels"], dt.datetime.fromisoformat(claim["CreatedAt"].replace("Z", "+00:00"))
    recent = dt.datetime.now(dt.UTC) - made < dt.timedelta(days=HELD_DAYS)
    return (
        labels.get(object_labels.KIND_LABEL) != KIND
        or recent
        and process_marks.alive(labels.get(object_labels.PROCESS_LABEL, ""))
    )


def give_back(client: docker.DockerClient) -> None:
    """Give the plain names back, where they are this learner's and nothing has one, nor a process may still use them. Asks the engine."""
    held, me = _claim(client), object_labels.owner()
    if (
        held
        and held["Labels"].get(object_labels.OWNER_LABEL) == me
        and not _lasts(held)
        and not any(owner == me and _NAME.match(name) for owner, name in things(client))
    ):
        _remove(client, held)


def things(client: docker.DockerClient) -> Iterator[tuple[str, str]]:
    """Owner and name of all on the engine that carries the course's label, whoever made it; labels that were inherited count. Asks the engine."""
    api, ours = client.api, {"label": f"{object_labels.COURSE_LABEL}=1"}
    found = [(each, each["Names"]) for each in api.containers(all=True, filters=ours)]
    found += [
        (each, [each["Name"]])
        for each in (*api.networks(filters=ours), *(api.volumes(filters=ours)["Volumes"] or []))
    ]
    found += [(each, each["RepoTags"] or []) for each in api.images(filters=ours)]
    for thing, names in found:
        yield from (
            ((thing["Labels"] or {}).get(object_labels.OWNER_LABEL, ""), name.lstrip("/")) for name in names
        )


def _claim(client: docker.DockerClient) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.api.inspect_volume(CLAIM)
    except NotFound:
        return None
    return found | {"Labels": found.get("Labels") or {}}


def _remove(client: docker.DockerClient, claim: Mapping[str, Any]) -> None:
    """Remove this very claim; one that came in its place stays."""
    with suppress(APIError):
        if _claim(client) == claim:
            client.api.remove_volume(CLAIM)
