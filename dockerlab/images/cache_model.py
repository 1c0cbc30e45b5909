"""Why a step of a build ran, or did not: a model of BuildKit's cache keys, set beside what the engine reported.

A step is known by what goes into it: its own text, the files it copies (content, name and mode, never the time), the images and stages it
copies from or mounts, the arguments and variables it sees, and the step before it. It comes from the cache when a build with the same key
was ever made and is still kept. What lies elsewhere (a URL, a repository, an image that the engine does not have) the model cannot know, and
it says so. The content of secrets, SSH agents and cache mounts is no input.
`keys` and `explain` are pure; `read_inputs` asks the engine for the images, `BuildDiary` builds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pandas as pd
from docker.errors import APIError, ImageNotFound

from dockerlab.images import build_plan, dockerfile_words
from dockerlab.images.build import build
from dockerlab.images.build_plan import SCRATCH, Image, Planned, PlannedStage, join
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.dockerfile import parse, read
from dockerlab.images.ignore_rules import BadPattern, IgnoreRules, glob

# Images that read a Dockerfile by the same rules as the engine's own frontend.
_FRONTEND = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")
_SAME_OPTION = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_LINKS = 40  # one that leads further is a circle


@dataclass(frozen=True)
class Inputs:
    """All that can decide about a build's cache: Dockerfile, digests of the files sent, build arguments, digests of the images.

    `bases` has "" for an image that the engine did not have; `images` is what stages take over from those they begin with, `links` where the
    symbolic links among the files lead, `platform` the engine's own, such as linux/amd64.
    """

    dockerfile: str
    files: Mapping[str, str] = field(default_factory=dict)
    buildargs: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""

    def planned(self) -> list[PlannedStage]:
        """The stages with their steps."""
        return build_plan.plan(parse(self.dockerfile), self.buildargs, self.images, self.platform)


@dataclass(frozen=True)
class Recorded:
    """A build: what went in and what the engine did."""

    inputs: Inputs
    report: BuildReport

    @property
    def keys(self) -> list[Key]:
        """The keys of its steps on the engine that built it."""
        return keys(self.inputs, merges=any("] LINK " in step.name for step in self.report.steps))


class Input(NamedTuple):
    """One thing that a step depends on by itself: its kind (a word of `Verdict.cause`, or setting), its name, and of a file what is done to it."""

    kind: str
    name: str = ""
    verb: str = ""

    def __str__(self) -> str:
        if self.kind == "file":
            return f"{self.name}, which it {self.verb},"
        names = {
            "text": "its own text",
            "base": "the base image",
            "argument": f"build argument {self.name}",
            "variable": f"ENV {self.name}",
        }
        return names.get(self.kind) or (self.name if self.kind == "setting" else f"{self.kind} {self.name}")


@dataclass(frozen=True)
class Key:
    """The cache key of one step: `parts` are what it depends on by itself, `after` is the key of the step before it.

    `unknown` names what the step depends on and the model cannot see. A `linked` step (COPY --link, where the engine's store can merge layers)
    does not depend on the one before it.
    """

    stage: int
    number: int
    instruction: str
    parts: Mapping[Input, str]
    after: str
    unknown: tuple[str, ...] = ()
    linked: bool = False

    @property
    def digest(self) -> str:
        """The key itself: equal for equal inputs."""
        return _digest(json.dumps([sorted(self.parts.items()), "" if self.linked else self.after]))

    @property
    def end(self) -> str:
        """What the next step depends on."""
        return _digest(self.digest + self.after) if self.linked else self.digest


@dataclass(frozen=True)
class Verdict:
    """One step of a build: whether it ran, why, and whether the model expected that.

    `cause` is the reason in a word: file, argument, variable, text, base, image, stage, earlier (step), unknown or other; "" for a step that was
    cached. `known` is False where the model cannot tell what became of an input: then it expected nothing.
    """

    instruction: str
    ran: bool
    why: str
    expected: bool
    cause: str = ""
    known: bool = True

    @property
    def agrees(self) -> bool:
        """Whether model and engine say the same, or the model makes no claim."""
        return not self.known or self.ran == self.expected


def keys(inputs: Inputs, *, merges: bool = False) -> list[Key]:
    """The keys of all steps, stage by stage; `merges` says whether the engine's store can merge the layers of a COPY --link. Pure."""
    stages = inputs.planned()
    frontend = parse(inputs.dockerfile).syntax
    foreign = (
        () if not frontend or _FRONTEND.fullmatch(frontend) else (f"how {frontend} reads the Dockerfile",)
    )
    found: list[Key] = []
    ends: list[_End] = []
    for stage in stages:
        end = ends[stage.parent] if stage.parent is not None else _beginning(stage.base, inputs)
        for step in stage.steps:
            parts, unknown = _parts(step, stages, ends, inputs)
            linked = merges and step.instruction.is_set("link") and not step.instruction.flag("chmod")
            key = Key(
                step.stage,
                step.number,
                str(step),
                {**end.parts, **parts},
                end.digest,
                (*end.unknown, *unknown, *foreign),
                linked,
            )
            found.append(key)
            end = _End(key.end)
        ends.append(end)
    return found


def explain(before: Recorded, after: Recorded, earlier: Sequence[Recorded] = ()) -> list[Verdict]:
    """Each step of `after` in the order of the Dockerfile: cached or ran, and what of its inputs differs from `before`.

    `earlier` are other builds that the engine may remember. Pure.
    """
    old, planned_keys = before.keys, after.keys
    known = {key.digest for build in earlier for key in build.keys} | {key.digest for key in old}
    steps = build_plan.match(after.report.steps, after.inputs.planned())
    verdicts: list[Verdict] = []
    same: dict[str, str] = {}  # a key that only the builder can foresee -> the older key with the same result
    for planned in planned_keys:
        key = replace(
            planned,
            after=same.get(planned.after, planned.after),
            parts={name: same.get(value, value) for name, value in planned.parts.items()},
        )
        twin = _twin(key, old)
        step = steps.get((key.stage, key.number))
        if (
            step
            and step.cached
            and twin
            and key.digest not in known
            and (taken := _differ_by_source_only(key, twin))
        ):
            why = (
                "what it takes from another stage came out the same"
                if taken == "stage"
                else "the engine knew the files that it takes from another image"
            )
            verdicts.append(Verdict(key.instruction, False, why, False))
            same[planned.end] = twin.end
            continue
        same[planned.end] = key.end
        if step:  # else of a stage that the target does not need
            verdicts.append(_judge(key, twin, known, step, verdicts))
            if not verdicts[-1].known:
                same[planned.end] = _digest(f"{key.end} anew")
    return verdicts


def frame(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One row a step: instruction, cached or ran, why."""
    rows = [(each.instruction, "ran" if each.ran else "cached", each.why) for each in verdicts]
    return pd.DataFrame(rows, columns=["step", "outcome", "why"])


def context_files(folder: Path, dockerfile: str = "Dockerfile") -> dict[str, str]:
    """Path -> digest of every file and folder that a build of this folder sends: content, mode and link target, not the time."""
    files = {}
    for name in IgnoreRules.of(folder, dockerfile).walk(folder):
        path = folder / name
        if path.is_symlink():
            files[name] = _digest(f"link {path.readlink()}")
        elif path.is_dir():
            files[f"{name}/"] = _digest(f"folder {path.stat().st_mode}")
        elif path.is_file():
            files[name] = hashlib.sha256(f"{path.stat().st_mode} ".encode() + path.read_bytes()).hexdigest()
    return files


def read_inputs(
    folder: Path,
    dockerfile: str = "Dockerfile",
    buildargs: Mapping[str, str] | None = None,
    *,
    client: docker.DockerClient,
) -> Inputs:
    """What a build of this folder depends on now. Asks the engine for the images that it begins with, copies from or mounts."""
    files, version = context_files(folder, dockerfile), client.version()
    links = {
        name: str((folder / name).readlink())
        for name in files
        if not name.endswith("/") and (folder / name).is_symlink()
    }
    arguments = {key: str(value) for key, value in (buildargs or {}).items()}
    inputs = Inputs(
        read(folder / dockerfile),
        files,
        arguments,
        links=links,
        platform=f"{version.get('Os', 'linux')}/{version.get('Arch', '')}",
    )
    while missing := build_plan.images_of(inputs.planned()) - set(
        inputs.bases
    ):  # the triggers of a base may name further images
        found = {name: _image(name, client) for name in missing}
        inputs = replace(
            inputs,
            bases={**inputs.bases, **{name: digest for name, (digest, _) in found.items()}},
            images={**inputs.images, **{name: image for name, (_, image) in found.items()}},
        )
    return inputs


class BuildDiary:
    """Builds one folder again and again, and remembers what went into each build and what came of it."""

    def __init__(
        self, folder: Path, tag: str, client: docker.DockerClient, dockerfile: str = "Dockerfile"
    ) -> None:
        self.folder, self.tag, self.client, self.dockerfile = folder, tag, client, dockerfile
        self.builds: list[Recorded] = []

    def build(self, buildargs: Mapping[str, str] | None = None, **options: Any) -> BuildReport:
        """Build the folder as it is now; keywords go to `dockerlab.images.build.build`. Asks the engine."""
        inputs = read_inputs(self.folder, self.dockerfile, buildargs, client=self.client)
        report = build(
            self.folder,
            dockerfile=self.dockerfile,
            tag=self.tag,
            buildargs=buildargs,
            client=self.client,
            **options,
        )
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


class _End(NamedTuple):
    """What a stage has come to: the key of its last step, or what its first step will depend on."""

    digest: str
    parts: Mapping[Input, str] = {}
    unknown: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """What a step depends on that copies from this stage."""
        return _digest(json.dumps([self.digest, sorted(self.parts.items())])) if self.parts else self.digest


def _beginning(base: str, inputs: Inputs) -> _End:
    if base == SCRATCH:
        return _End(_digest(f"base {base}"))
    digest = inputs.bases.get(base, base)
    return _End(
        "",
        {Input("base"): digest},
        () if digest else (f"the image {base}, which the engine did not have before the build",),
    )


class _Sources(NamedTuple):
    """What a step takes in besides the step before it, and what of that cannot be seen."""

    parts: dict[Input, str]
    unknown: tuple[str, ...] = ()


def _parts(step: Planned, stages: Sequence[PlannedStage], ends: Sequence[_End], inputs: Inputs) -> _Sources:
    """What a step depends on by itself."""
    scope, user = step.scope, {Input("setting", "USER"): step.scope.user} if step.scope.user else {}
    if step.instruction.keyword == "WORKDIR":
        return _Sources({Input("text"): scope.path(step.instruction.text), **user})
    if step.instruction.keyword == "RUN":
        return _run(step, stages, ends, inputs, user)
    return _copy(step, stages, ends, inputs)


def _run(
    step: Planned,
    stages: Sequence[PlannedStage],
    ends: Sequence[_End],
    inputs: Inputs,
    user: Mapping[Input, str],
) -> _Sources:
    each, scope = step.instruction, step.scope
    mounts = [
        {_SAME_OPTION.get(key, key): scope.expand(value) for key, value in mount.items()}
        for mount in each.mounts
    ]
    flags = sorted(flag for flag in each.flags if flag[0] != "mount")
    bodies = [heredoc.text for heredoc in each.heredocs]
    alone = (
        len(bodies) == 1
        and dockerfile_words.split(each.text) == [each.text]
        and not bodies[0].startswith("#!")
    )  # then the body is what the shell runs
    told = [sorted(item for item in mount.items() if item[0] != "readonly") for mount in mounts]
    parts = {
        Input("text"): json.dumps([told, flags, "" if alone else each.json or each.text, bodies]),
        Input("setting", "WORKDIR"): scope.folder,
        **user,
    }
    if scope.shell and each.json is None:
        parts[Input("setting", "SHELL")] = json.dumps(scope.shell)
    kinds = {"ARG": "argument", "ENV": "variable"}
    parts |= {Input(kinds[origin], name): scope.variables[name] for name, origin in scope.origins.items()}
    unknown: tuple[str, ...] = ()
    for mount in mounts:
        kind = mount.get("type", "bind").lower()
        if kind == "bind" or (kind == "cache" and mount.get("from")):
            found = _sources(
                step.stage,
                mount.get("from", ""),
                [mount.get("source") or "."],
                "mounts",
                stages,
                ends,
                inputs,
            )
            parts, unknown = parts | found.parts, unknown + found.unknown
    return _Sources(parts, unknown)


def _copy(step: Planned, stages: Sequence[PlannedStage], ends: Sequence[_End], inputs: Inputs) -> _Sources:
    each, scope = step.instruction, step.scope
    *sources, target = [scope.expand(word) for word in each.words] or [""]
    remote = [source for source in sources if each.keyword == "ADD" and _is_remote(source)]
    local = [
        source if each.is_set("parents") else join("/", source) for source in sources if source not in remote
    ]
    excludes = [scope.expand(value) for value in each.flag_values("exclude")]
    flags = sorted(
        (name, scope.expand(value)) for name, value in each.flags if name not in ("from", "exclude")
    )
    where = scope.path(target) if target else scope.folder
    where += "/" if target.endswith("/") or target in (".", "") else ""
    bodies = [
        (heredoc.name, _body(step, heredoc.text) if heredoc.expand else heredoc.text)
        for heredoc in each.heredocs
    ]
    text = json.dumps([each.keyword, flags, excludes, local, remote, where, bodies])
    found = _sources(
        step.stage,
        each.flag("from"),
        local,
        "copies",
        stages,
        ends,
        inputs,
        excludes,
        parents=each.is_set("parents"),
    )
    unseen = tuple(
        f"what {source} holds"
        for source in remote
        if not each.flag("checksum") and not re.search(r"#[0-9a-f]{40}(?:$|:)", source)
    )
    return _Sources({Input("text"): text, **found.parts}, found.unknown + unseen)


def _body(step: Planned, text: str) -> str:
    try:
        return dockerfile_words.expand_body(text, step.scope.variables)
    except dockerfile_words.BadSubstitution:
        return text


def _is_remote(source: str) -> bool:
    """Whether ADD fetches this: a URL or a repository."""
    return re.match(r"(?:https?|git|ssh)://|git@|github\.com/", source) is not None


def _sources(
    stage: int,
    origin: str,
    patterns: Sequence[str],
    verb: str,
    stages: Sequence[PlannedStage],
    ends: Sequence[_End],
    inputs: Inputs,
    excludes: Sequence[str] = (),
    *,
    parents: bool = False,
) -> _Sources:
    """The files of the context that match, or the stage or image that they are taken from."""
    if not patterns or origin == SCRATCH:
        return _Sources({})
    if origin:
        number = build_plan.stage_named(origin, stages[:stage], numbers=verb == "copies")
        if number is not None:
            return _Sources(
                {Input("stage", stages[number].stage.name or str(number)): ends[number].whole},
                ends[number].unknown,
            )
        digest = inputs.bases.get(origin, origin)
        return _Sources(
            {Input("image", origin): digest},
            () if digest else (f"the image {origin}, which the engine did not have before the build",),
        )
    try:
        kept = IgnoreRules(excludes)
        names = {
            name
            for pattern in patterns
            for name, below in (_parents(pattern, inputs) if parents else _matching(pattern, inputs)).items()
            if not (below and kept.excludes(below))
        }
    except BadPattern:  # which the builder refuses as well
        names = set()
    return _Sources({Input("file", name, verb): inputs.files[name] for name in sorted(names)})


def _matching(pattern: str, inputs: Inputs) -> dict[str, str]:
    """Files that a COPY source names -> their path below that source: all of the context, a folder with what is in it, or a pattern.

    The `*` of a pattern stays within one name. A source that is a link, or lies behind one, means what the link leads to.
    """
    wanted = join("/", pattern)[1:]
    if not wanted:
        return {name: name.rstrip("/") for name in inputs.files}
    parts = wanted.split("/")
    fixed = next(
        (at for at, part in enumerate(parts) if re.search(r"[*?[]", re.sub(r"\\.", "", part))), len(parts)
    )
    start = _followed("/".join(parts[:fixed]), inputs.links)
    if fixed == len(parts):
        return _below(start, inputs)
    rest = "/".join(parts[fixed:])
    found: dict[str, str] = {}
    for name in _below(start, inputs):
        own = name.rstrip("/").removeprefix(start).strip("/").split("/")
        if len(own) == len(parts) - fixed and glob(rest, "/".join(own)):
            found |= _below(_followed(name.rstrip("/"), inputs.links), inputs)
    return found


def _below(path: str, inputs: Inputs) -> dict[str, str]:
    """A file, or a folder and what is in it -> the path below; everything for ""."""
    names = {name: name.rstrip("/") for name in inputs.files}
    return {
        name: own[len(path) :].strip("/")
        for name, own in names.items()
        if not path or own == path or own.startswith(f"{path}/")
    }


def _followed(path: str, links: Mapping[str, str]) -> str:
    """The path that is meant when every link on the way is followed; none leads out of the context."""
    for _ in range(_LINKS):
        parts = path.split("/")
        link = next((at for at in range(1, len(parts) + 1) if "/".join(parts[:at]) in links), 0)
        if not link:
            break
        path = join(
            "/",
            "/".join([join("/" + "/".join(parts[: link - 1]), links["/".join(parts[:link])]), *parts[link:]]),
        )[1:]
    return path


def _parents(pattern: str, inputs: Inputs) -> dict[str, str]:
    """The same for COPY --parents: the pattern, whose `**` crosses folders, counts below the part before `/./`; folders above a match go along."""
    pivot, sign, wanted = pattern.partition("/./")
    start, wanted = (join("/", pivot)[1:], wanted) if sign else ("", pattern)
    rules = IgnoreRules([join("/", wanted)[1:] or "**"])
    inside = {name: below for name, below in _below(start, inputs).items() if below}
    found = {name: below for name, below in inside.items() if rules.excludes(below)}
    above = {
        f"{'/'.join(name.split('/')[:depth])}/" for name in found for depth in range(1, name.count("/") + 1)
    }
    return found | {name: "" for name in above if name in inside and name not in found}


def _judge(key: Key, twin: Key | None, known: set[str], step: Step, done: Sequence[Verdict]) -> Verdict:
    ran, expected = not step.cached, key.digest not in known
    if ran and expected:
        reasons, first = _reasons(key, twin), next((each.instruction for each in done if each.ran), "")
        if not reasons:
            reasons = (
                [("earlier", f"an earlier step ran: {first}")]
                if first
                else [("other", "the step before it is another one")]
            )
        return Verdict(key.instruction, ran, "; ".join(why for _, why in reasons), expected, reasons[0][0])
    if ran and key.unknown:
        why = f"the model does not know: it depends on {' and on '.join(dict.fromkeys(key.unknown))}"
        return Verdict(key.instruction, ran, why, expected, "unknown", known=False)
    if ran:
        return Verdict(
            key.instruction,
            ran,
            "nothing changed: its result had left the cache, or the cache was switched off",
            expected,
            "other",
        )
    if expected:
        return Verdict(key.instruction, ran, "the engine knew it from another build", expected)
    unchanged = twin is not None and twin.digest == key.digest
    return Verdict(
        key.instruction,
        ran,
        "nothing that it depends on changed" if unchanged else "an earlier build had the same inputs",
        expected,
    )


def _twin(key: Key, old: Sequence[Key]) -> Key | None:
    """The same step in the build before: the same text at the same place, the same text elsewhere, or what stood at its place."""
    there = next((each for each in old if (each.stage, each.number) == (key.stage, key.number)), None)
    return next((each for each in (there, *old) if each and each.instruction == key.instruction), there)


def _differ_by_source_only(key: Key, twin: Key) -> str:
    """`stage` or `image` where two keys differ in nothing but what they copy from or mount, "" otherwise."""
    kinds = {name.kind for name in {*key.parts, *twin.parts} if key.parts.get(name) != twin.parts.get(name)}
    return (
        next(iter(kinds))
        if key.after == twin.after and len(kinds) == 1 and kinds <= {"stage", "image"}
        else ""
    )


def _reasons(key: Key, twin: Key | None) -> list[tuple[str, str]]:
    """What of the step's own inputs differs from the same step of the build before, each as a word and a sentence; what counts most comes first."""
    if twin is None:
        return [("other", "it is a new step")]
    if twin.instruction.split()[0] != key.instruction.split()[0]:
        return [("text", "its own text changed")]
    changed: dict[str, list[Input]] = {"changed": [], "is new": [], "is gone": []}
    for name in dict.fromkeys([*key.parts, *twin.parts]):
        if key.parts.get(name) != twin.parts.get(name):
            changed[
                "changed"
                if name in key.parts and name in twin.parts
                else "is new"
                if name in key.parts
                else "is gone"
            ].append(name)
    base = any(name.kind == "base" for name in changed["changed"])
    return [
        (name.kind if name.kind != "setting" else "other", f"{name} {what.replace('is', 'are') if more else what}")
        for what, names in changed.items() for name, more in _few(names) if not (base and name.kind == "setting")
    ]  # fmt: skip


def _few(names: list[Input]) -> list[tuple[Input, bool]]:
    """The names without folders that only hold others of them; many files as one and a count, with True."""
    files = [name for name in names if name.kind == "file"]
    files = [
        name
        for name in files
        if not (
            name.name.endswith("/")
            and any(other != name and other.name.startswith(name.name) for other in files)
        )
    ]
    rest = [(name, False) for name in names if name.kind != "file"]
    if len(files) <= 2:
        return [*rest, *((name, False) for name in files)]
    return [*rest, (files[0]._replace(name=f"{files[0].name} and {len(files) - 1} more"), True)]


def _image(name: str, client: docker.DockerClient) -> tuple[str, Image]:
    """A digest of what a build takes from an image (its layers, and the settings that later steps inherit), and those settings.

    The digest is "" where the engine has no such image.
    """
    try:
        attributes = client.images.get(name).attrs
    except (ImageNotFound, APIError):
        return "", Image()
    config, layers = attributes.get("Config") or {}, (attributes.get("RootFS") or {}).get("Layers")
    digest = _digest(
        json.dumps([layers, *(config.get(key) for key in ("Env", "WorkingDir", "User", "Shell", "OnBuild"))])
    )
    variables = dict(item.partition("=")[::2] for item in config.get("Env") or [])
    return digest, Image(
        variables, config.get("WorkingDir") or "/", tuple(config.get("OnBuild") or ()), bool(layers)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
