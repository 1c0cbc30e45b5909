"""Why a step of a build ran, or did not: a model of BuildKit's cache keys, set beside what the engine reported.

A step is known by what goes into it: its own text, the files it copies (content, name and mode, never the time), the arguments and
variables it sees, and the step before it. It comes from the cache when a build with the same key was ever made and is still kept.
`keys` and `explain` are pure; `read_inputs` asks the engine for the bases, `BuildDiary` builds.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import pandas as pd
from docker.errors import APIError, ImageNotFound
from docker.utils import build as docker_context

from dockerlab.build import BuildReport, Step, build, ignore_patterns
from dockerlab.dockerfile import Dockerfile, Instruction, Stage, expand, pairs, parse

# Arguments that the builder knows undeclared; they reach RUN and are left out of the key.
PROXIES = {name for word in ("HTTP", "HTTPS", "FTP", "NO", "ALL") for name in (f"{word}_PROXY", f"{word.lower()}_proxy")}
_STEPS = ("RUN", "COPY", "ADD", "WORKDIR")


@dataclass(frozen=True)
class Inputs:
    """All that can decide about a build's cache: Dockerfile, digests of the files sent, build arguments, digests of the bases."""

    dockerfile: str
    files: Mapping[str, str] = field(default_factory=dict)
    buildargs: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A build: what went in and what the engine did."""

    inputs: Inputs
    report: BuildReport


@dataclass(frozen=True)
class Key:
    """The cache key of one step: `parts` are what it depends on by itself, `after` is the key of the step before it."""

    stage: int
    number: int
    instruction: str
    parts: Mapping[str, str]
    after: str

    @property
    def digest(self) -> str:
        """The key itself: equal for equal inputs."""
        return _digest(json.dumps([sorted(self.parts.items()), self.after]))


@dataclass(frozen=True)
class Verdict:
    """One step of a build: whether it ran, why, and whether the model expected that."""

    instruction: str
    ran: bool
    why: str
    expected: bool

    @property
    def cause(self) -> str:
        """The reason in a word: file, argument, text, base, earlier (step) or other; "" for a step that was cached."""
        if not self.ran:
            return ""
        words = (("an earlier step", "earlier"), (", which it ", "file"), ("build argument", "argument"), ("its own text", "text"), ("base image", "base"))
        return next((word for part, word in words if part in self.why), "other")

    @property
    def agrees(self) -> bool:
        """Whether model and engine say the same."""
        return self.ran == self.expected


def keys(inputs: Inputs) -> list[Key]:
    """The keys of all steps, stage by stage. Pure."""
    dockerfile = parse(inputs.dockerfile)
    found: list[_StageState] = []
    for number, stage in enumerate(dockerfile.stages):
        found.append(_follow(number, stage, found, dockerfile, inputs))
    return [key for state in found for key in state.keys]


def explain(before: Recorded, after: Recorded, earlier: Sequence[Recorded] = ()) -> list[Verdict]:
    """Each step of `after` in the order of the Dockerfile: cached or ran, and what of its inputs differs from `before`.

    `earlier` are other builds that the engine may remember. Pure.
    """
    old = keys(before.inputs)
    known = {key.digest for build in earlier for key in keys(build.inputs)} | {key.digest for key in old}
    stages = parse(after.inputs.dockerfile).stages
    planned_keys = keys(after.inputs)
    steps = _steps(planned_keys, after.report, stages)
    verdicts: list[Verdict] = []
    same: dict[str, str] = {}  # a key that only the builder can foresee -> the older key with the same result
    for planned in planned_keys:
        key = replace(planned, after=same.get(planned.after, planned.after), parts={name: same.get(value, value) for name, value in planned.parts.items()})
        twin = _twin(key, old)
        step = steps.get((key.stage, key.number))
        if step and step.cached and twin and key.digest not in known and _differ_by_stage_only(key, twin):
            verdicts.append(Verdict(key.instruction, False, "what it takes from another stage came out the same", False))
            same[planned.digest] = twin.digest
            continue
        same[planned.digest] = key.digest
        if step:  # else of a stage that the target does not need
            verdicts.append(_judge(key, twin, known, step, verdicts))
    return verdicts


def frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One row a step: instruction, cached or ran, why."""
    rows = [(each.instruction, "ran" if each.ran else "cached", each.why) for each in verdicts]
    return pd.DataFrame(rows, columns=["step", "outcome", "why"])


def context_files(folder: Path, dockerfile: str = "Dockerfile") -> dict[str, str]:
    """Path -> digest of every file and folder that a build of this folder sends: content, mode and link target, not the time."""
    sent = docker_context.exclude_paths(str(folder), ignore_patterns(folder, dockerfile), dockerfile=dockerfile)
    files = {}
    for name in sorted(sent):
        path = folder / name
        if path.is_symlink():
            files[name] = _digest(f"link {path.readlink()}")
        elif path.is_dir():
            files[f"{name}/"] = _digest(f"folder {path.stat().st_mode}")
        elif path.is_file():
            files[name] = hashlib.sha256(f"{path.stat().st_mode} ".encode() + path.read_bytes()).hexdigest()
    return files


def read_inputs(folder: Path, dockerfile: str = "Dockerfile", buildargs: Mapping[str, str] | None = None, *,
                client: docker.DockerClient) -> Inputs:
    """What a build of this folder depends on now. Asks the engine which images its bases are."""
    text = (folder / dockerfile).read_text(encoding="utf-8")
    arguments = {key: str(value) for key, value in (buildargs or {}).items()}
    read = parse(text)
    variables = _global_arguments(read, arguments)
    names = {expand(stage.base, variables) for stage in read.stages} - {stage.name for stage in read.stages}
    return Inputs(text, context_files(folder, dockerfile), arguments, {name: _base_digest(name, client) for name in names})


class BuildDiary:
    """Builds one folder again and again, and remembers what went into each build and what came of it."""

    def __init__(self, folder: Path, tag: str, client: docker.DockerClient, dockerfile: str = "Dockerfile") -> None:
        self.folder, self.tag, self.client, self.dockerfile = folder, tag, client, dockerfile
        self.builds: list[Recorded] = []

    def build(self, buildargs: Mapping[str, str] | None = None, **options: Any) -> BuildReport:
        """Build the folder as it is now; keywords go to `dockerlab.build.build`. Asks the engine."""
        inputs = read_inputs(self.folder, self.dockerfile, buildargs, client=self.client)
        report = build(self.folder, dockerfile=self.dockerfile, tag=self.tag, buildargs=buildargs, client=self.client, **options)
        self.builds.append(Recorded(inputs, report))
        return report

    @property
    def steps(self) -> list[str]:
        """The steps of the last build, as they stand in the Dockerfile."""
        return [key.instruction for key in keys(self.builds[-1].inputs)]

    def explain(self) -> list[Verdict]:
        """The last build, compared with the one before it."""
        *earlier, before, after = self.builds
        return explain(before, after, earlier)


@dataclass
class _StageState:
    """What a stage has come to after each of its instructions."""

    keys: list[Key]
    end: str
    variables: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    folder: str = "/"


def _follow(number: int, stage: Stage, before: list[_StageState], dockerfile: Dockerfile, inputs: Inputs) -> _StageState:
    outer = _global_arguments(dockerfile, inputs.buildargs)
    base = expand(stage.base, outer)
    parent = next((state for state, other in zip(before, dockerfile.stages, strict=False) if other.name and other.name == base.lower()), None)
    if parent:
        state = _StageState([], parent.end, dict(parent.variables), {}, dict(parent.settings), parent.folder)
    else:
        state = _StageState([], _digest(f"base {base if base == 'scratch' else inputs.bases.get(base, base)}"))
    place = 1 if parent or base == "scratch" else 2
    for each in stage.instructions:
        if each.keyword in _STEPS:
            key = Key(number, place, str(each), _parts(each, state, before, dockerfile, inputs), state.end)
            state.keys.append(key)
            state.end, place = key.digest, place + 1
        _settle(each, state, outer, inputs)
    return state


def _parts(each: Instruction, state: _StageState, before: list[_StageState], dockerfile: Dockerfile, inputs: Inputs) -> dict[str, str]:
    """What a step depends on by itself, under names that can be printed."""
    seen = state.arguments | state.variables
    if each.keyword == "WORKDIR":
        return {"its own text": _join(state.folder, expand(each.text, seen)), **{k: v for k, v in state.settings.items() if k == "USER"}}
    if each.keyword == "RUN":
        mounts = [sorted((key, value) for key, value in mount.items() if key not in ("ro", "readonly")) for mount in each.mounts]
        flags = [flag for flag in each.flags if flag[0] != "mount"]
        parts = {"its own text": json.dumps([mounts, flags, each.text, each.heredoc]), "WORKDIR": state.folder, **state.settings}
        parts |= {f"ENV {name}": value for name, value in state.variables.items()}
        parts |= {f"build argument {name}": value for name, value in state.arguments.items() if name not in state.variables}
        for mount in each.mounts:
            if mount.get("type", "bind") == "bind":
                source = expand(mount.get("source") or mount.get("src") or ".", seen)
                parts |= _sources(mount.get("from", ""), [source], "mounts", before, dockerfile, inputs)
        return parts
    words = [expand(word, seen) for word in each.words]
    target = _join(state.folder, words[-1]) + ("/" if words[-1].endswith("/") or words[-1] == "." else "") if words else ""
    flags = [(name, expand(value, seen)) for name, value in each.flags]
    sources = [word if "://" in word else _join("/", word) for word in words[:-1]]
    parts = {"its own text": json.dumps([flags, sources, target, each.heredoc])}
    sources = [word for word in sources if "://" not in word]
    return parts | _sources(dict(flags).get("from", ""), sources, "copies", before, dockerfile, inputs, dict(flags).get("exclude", ""))


def _sources(origin: str, patterns: Sequence[str], verb: str, before: list[_StageState], dockerfile: Dockerfile, inputs: Inputs,
             exclude: str = "") -> dict[str, str]:
    """The files of the context that match, or the stage or image that they are taken from."""
    if not origin:
        names = [name for pattern in patterns for name in _matching(pattern, inputs.files) if not (exclude and fnmatch.fnmatchcase(name, exclude))]
        return {f"{name}, which it {verb},": inputs.files[name] for name in names}
    for number, (state, stage) in enumerate(zip(before, dockerfile.stages, strict=False)):
        if origin.lower() in (stage.name, str(number)):
            return {f"stage {stage.name or number}": state.end}
    return {f"image {origin}": inputs.bases.get(origin, origin)}


def _matching(pattern: str, files: Mapping[str, str]) -> list[str]:
    """Files that a COPY source names: all of the context, a folder with what is in it, or a pattern whose * stays within one name."""
    wanted = PurePosixPath(_join("/", pattern)).relative_to("/").as_posix()
    if wanted == ".":
        return list(files)
    parts = wanted.split("/")
    return [
        name for name in files
        if len(own := name.rstrip("/").split("/")) >= len(parts) and all(fnmatch.fnmatchcase(*pair) for pair in zip(own, parts, strict=False))
    ]


def _settle(each: Instruction, state: _StageState, outer: Mapping[str, str], inputs: Inputs) -> None:
    """Carry over what an instruction changes for those after it."""
    seen = state.arguments | state.variables
    if each.keyword == "ENV":
        state.variables |= {name: expand(value or "", seen) for name, value in pairs(each.text)}
    elif each.keyword == "ARG":
        for name, default in pairs(each.text):
            value = inputs.buildargs.get(name, expand(default, seen) if default is not None else outer.get(name))
            if value is not None and name not in PROXIES:
                state.arguments[name] = value
    elif each.keyword == "WORKDIR":
        state.folder = _join(state.folder, expand(each.text, seen))
    elif each.keyword in ("USER", "SHELL"):
        state.settings[each.keyword] = expand(each.text, seen) if each.keyword == "USER" else each.text


def _judge(key: Key, twin: Key | None, known: set[str], step: Step, done: Sequence[Verdict]) -> Verdict:
    ran, expected = not step.cached, key.digest not in known
    if ran and expected:
        first = next((each.instruction for each in done if each.ran), "")
        chain = f"an earlier step ran: {first}" if first else "the base image changed" if not done else "the step before it is another one"
        why = "; ".join(_reasons(key, twin)) or chain
    elif ran:
        why = "nothing changed: its result had left the cache, or the cache was switched off"
    elif expected:
        why = "the engine knew it from another build"
    else:
        unchanged = twin is not None and twin.digest == key.digest
        why = "nothing that it depends on changed" if unchanged else "an earlier build had the same inputs"
    return Verdict(key.instruction, ran, why, expected)


def _twin(key: Key, old: Sequence[Key]) -> Key | None:
    """The same step in the build before: the same text at the same place, the same text elsewhere, or what stood at its place."""
    there = next((each for each in old if (each.stage, each.number) == (key.stage, key.number)), None)
    return next((each for each in (there, *old) if each and each.instruction == key.instruction), there)


def _differ_by_stage_only(key: Key, twin: Key) -> bool:
    names = {name for name in {*key.parts, *twin.parts} if key.parts.get(name) != twin.parts.get(name)}
    return key.after == twin.after and bool(names) and all(name.startswith("stage ") for name in names)


def _reasons(key: Key, twin: Key | None) -> list[str]:
    """What of the step's own inputs differs from the same step of the build before."""
    if twin is None:
        return ["it is a new step"]
    if twin.instruction.split()[0] != key.instruction.split()[0]:
        return ["its own text changed"]
    changed: dict[str, list[str]] = {"changed": [], "is new": [], "is gone": []}
    for name in dict.fromkeys([*key.parts, *twin.parts]):
        if key.parts.get(name) != twin.parts.get(name):
            changed["changed" if name in key.parts and name in twin.parts else "is new" if name in key.parts else "is gone"].append(name)
    return [f"{name} {what.replace('is', 'are') if ' more, ' in name else what}" for what, names in changed.items() for name in _few(names)]


def _few(names: list[str]) -> list[str]:
    """The names without folders that only hold others of them; many files as one and a count."""
    files = [name for name in names if ", which it " in name]
    files = [name for name in files if not ("/, which" in name and any(other != name and other.startswith(name.split(",")[0]) for other in files))]
    rest = [name for name in names if ", which it " not in name]
    if len(files) <= 2:
        return rest + files
    first, verb = files[0].split(", which it ")
    return [*rest, f"{first} and {len(files) - 1} more, which it {verb}"]


def _steps(planned: Sequence[Key], report: BuildReport, stages: Sequence[Stage]) -> dict[tuple[int, int], Step]:
    """(stage, number) -> step. A step that another build is at in the same moment bears the place that it has there: its text tells."""
    found = {(_stage_number(step, stages), step.number): step for step in report.instructions}
    places = {(key.stage, key.number): key for key in planned}
    fits = {place: step for place, step in found.items() if place in places and _text(step)[:1] == places[place].instruction.split()[:1]}
    strays = [step for place, step in found.items() if place not in fits]
    for place, key in places.items():
        twin = next((step for step in strays if _text(step) == key.instruction.split()), None) if place not in fits else None
        if twin is not None:
            fits[place] = twin
            strays.remove(twin)
    return found | fits


def _text(step: Step) -> list[str]:
    return step.name.partition("] ")[2].split()


def _stage_number(step: Step, stages: Sequence[Stage]) -> int:
    """Which stage a step's label means: a name, `stage-1`, or nothing where there is one only."""
    label = step.stage.lower()
    named = next((number for number, stage in enumerate(stages) if stage.name and stage.name == label), None)
    if named is not None:
        return named
    match = re.fullmatch(r"stage-(\d+)", label)
    return int(match[1]) if match else len(stages) - 1


def _global_arguments(dockerfile: Dockerfile, buildargs: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in dockerfile.arguments:
        for name, default in pairs(each.text):
            value = buildargs.get(name, expand(default, found) if default is not None else None)
            found |= {name: value} if value is not None else {}
    return found


def _base_digest(name: str, client: docker.DockerClient) -> str:
    """What a build takes from its base: the layers, and the settings that later steps inherit. "" where the engine has no such image."""
    try:
        attributes = client.images.get(name).attrs
    except (ImageNotFound, APIError):
        return ""
    config = attributes.get("Config") or {}
    return _digest(json.dumps([attributes["RootFS"].get("Layers"), *(config.get(key) for key in ("Env", "WorkingDir", "User", "Shell"))]))


def _join(folder: str, path: str) -> str:
    return (PurePosixPath(folder) / path).as_posix()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
