"""The steps that a Dockerfile comes to: which instruction bears which number in which stage, and what it sees of variables. Pure.

By the rules of BuildKit's frontend/dockerfile/dockerfile2llb: RUN, COPY, ADD and WORKDIR are steps (but `WORKDIR /` is none), a base that
has layers is the first one of its stage, and the triggers (ONBUILD) of a base come before the stage's own instructions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dockerlab.images import dockerfile_words
from dockerlab.images.dockerfile import STEPS, Dockerfile, Instruction, Stage, expand, parse

if TYPE_CHECKING:
    from dockerlab.images.build_report import Step

SCRATCH = "scratch"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where the base sets none
_MARKS = (
    "ONBUILD ",
    "LINK ",
)  # what BuildKit writes before an instruction of a trigger, and before the merge of a `COPY --link`


@dataclass(frozen=True)
class Image:
    """What a stage takes over from the image it begins with: ENV, WORKDIR and ONBUILD; `layers` False for an image without any."""

    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    triggers: tuple[str, ...] = ()
    layers: bool = True


@dataclass(frozen=True)
class Scope:
    """What an instruction sees: variables (`origins` says of those set in the Dockerfile whether by ARG or ENV), WORKDIR, USER and SHELL.

    `user` and `shell` are empty as long as the Dockerfile does not set them.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    shell: tuple[str, ...] = ()
    escape: str = "\\"

    def expand(self, word: str) -> str:
        """The word with its variables, without its quotes."""
        return expand(word, self.variables, self.escape)

    def path(self, word: str) -> str:
        """A path of the image: relative ones lie in the folder of the last WORKDIR."""
        return join(self.folder, self.expand(word))

    def after(self, each: Instruction, outer: Mapping[str, str], buildargs: Mapping[str, str]) -> Scope:
        """What the next instruction sees."""
        if each.keyword == "ENV":
            new = {self.expand(name): self.expand(value or "") for name, value in each.pairs}
            return replace(
                self,
                variables={**self.variables, **new},
                origins={**self.origins, **dict.fromkeys(new, "ENV")},
            )
        if each.keyword == "ARG":
            return self._declare(each, outer, buildargs)
        if each.keyword == "WORKDIR":
            return replace(self, folder=self.path(each.text))
        if each.keyword == "USER":
            return replace(self, user=self.expand(each.text))
        if each.keyword == "SHELL":
            return replace(self, shell=tuple(each.json or [each.text]))
        return self

    def _declare(self, each: Instruction, outer: Mapping[str, str], buildargs: Mapping[str, str]) -> Scope:
        """ARG: the value given to the build, else the default, else the value before the first FROM. It hides an ENV of the same name."""
        scope = self
        for word, default in each.pairs:
            name = scope.expand(word)
            value = buildargs.get(name, scope.expand(default) if default is not None else outer.get(name))
            if value is not None:
                scope = replace(
                    scope, variables={**scope.variables, name: value}, origins={**scope.origins, name: "ARG"}
                )
        return scope


@dataclass(frozen=True)
class Planned:
    """One step: its stage (from 0), its number in it, and what it sees. `trigger`: it comes from the base, not from this Dockerfile."""

    stage: int
    number: int
    instruction: Instruction
    scope: Scope
    trigger: bool = False

    def __str__(self) -> str:
        return f"{'ONBUILD ' if self.trigger else ''}{self.instruction}"

    @property
    def label(self) -> str:
        """The step as BuildKit names it, behind the place in brackets; words between single spaces."""
        text, variables, escape = self.instruction.original, self.scope.variables, self.scope.escape
        if self.instruction.keyword == "RUN":
            if self.instruction.heredocs and self.instruction.text.startswith("<<"):
                first, *more = self.instruction.heredocs[0].content.strip().splitlines() or [""]
                text += f" ({first.rstrip()}{'...' if more else ''})"
            shown = _lexed(dockerfile_words.expand_command, text, variables, escape)
        else:
            shown = _lexed(dockerfile_words.expand, text, variables, escape)
        keyword, space, rest = shown.partition(" ")
        return " ".join(f"{keyword.upper()}{space}{rest}".split())


@dataclass(frozen=True)
class PlannedStage:
    """A stage: the image or the earlier stage that it begins with, its steps, and what its last instruction leaves to see."""

    stage: Stage
    base: str
    parent: int | None
    steps: tuple[Planned, ...]
    scope: Scope
    triggers: tuple[Instruction, ...] = ()


def plan(
    dockerfile: Dockerfile, buildargs: Mapping[str, str] | None = None, images: Mapping[str, Image] | None = None, platform: str = "",
) -> list[PlannedStage]:  # fmt: skip
    """The stages with their steps. What a stage takes from an image that `images` does not hold counts as nothing.

    `platform` is the engine's own, such as linux/amd64: the value of BUILDPLATFORM, TARGETARCH and their like.
    """
    arguments, outer = dict(buildargs or {}), Scope(_of_platform(platform), escape=dockerfile.escape)
    for each in dockerfile.arguments:
        outer = outer.after(each, {}, arguments) if each.keyword == "ARG" else outer
    done: list[PlannedStage] = []
    for number, stage in enumerate(dockerfile.stages):
        done.append(_stage(number, stage, done, outer, arguments, images or {}))
    return done


def stage_named(name: str, stages: Sequence[PlannedStage], *, numbers: bool = True) -> int | None:
    """Which of these stages `--from=name` means: the last of that name, or the one of that number; None for an image.

    The `from` of a --mount knows no numbers.
    """
    named = [
        number for number, each in enumerate(stages) if each.stage.name and each.stage.name == name.lower()
    ]
    return (
        named[-1]
        if named
        else int(name)
        if numbers and re.fullmatch("[0-9]{1,9}", name) and int(name) < len(stages)
        else None
    )


def images_of(stages: Sequence[PlannedStage]) -> set[str]:
    """The images that a build begins stages with, copies from or mounts."""
    names = {each.base for each in stages if each.parent is None}
    for number, stage in enumerate(stages):
        for step in stage.steps:
            sources = [
                (step.instruction.flag("from"), True),
                *((mount.get("from", ""), False) for mount in step.instruction.mounts),
            ]
            names |= {
                name
                for name, numbers in sources
                if stage_named(name, stages[:number], numbers=numbers) is None
            }
    return names - {"", SCRATCH}


def line_of_image(image: str, stages: Sequence[PlannedStage]) -> int:
    """The line that names an image, which is given in full, such as docker.io/library/debian:bookworm; 0 where none does."""
    for stage in stages:
        if stage.parent is None and full_name(stage.base) == image:
            return stage.stage.line
        for step in stage.steps:
            sources = [
                step.instruction.flag("from"),
                *(mount.get("from", "") for mount in step.instruction.mounts),
            ]
            if any(source and full_name(source) == image for source in sources):
                return step.instruction.line
    return 0


def full_name(image: str) -> str:
    """An image's name with its registry and tag, as BuildKit writes it."""
    first, slash, _ = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        image = f"docker.io/{image}" if slash else f"docker.io/library/{image}"
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


def match(steps: Iterable[Step], stages: Sequence[PlannedStage]) -> dict[tuple[int, int], Step]:
    """(stage, number) of the plan -> the step of a build that it is.

    A step counts by its place; where several bear the same one (two stages of one name, an ADD and its download) by its text and by what it
    takes in. One that another build is at in the same moment bears the place that it has there: its text tells.
    """
    left = [step for step in steps if step.number and not text_of(step).startswith("FROM ")]
    found: dict[tuple[int, int], Step] = {}
    for by_place in (True, False):
        for planned in (step for stage in reversed(stages) for step in stage.steps):
            place = (planned.stage, planned.number)
            fitting = (
                [step for step in left if _fits(step, planned, stages, by_place=by_place)]
                if place not in found
                else []
            )
            if fitting:
                chosen = max(
                    (_same(step, planned), not _is_link(step), len(step.inputs), -at)
                    for at, step in enumerate(fitting)
                )
                found[place] = fitting[-chosen[-1]]
                gone = fitting if by_place else [found[place]]
                left = [step for step in left if not any(step is each for each in gone)]
    return found


def locate(step: Step, stages: Sequence[PlannedStage], steps: Sequence[Step]) -> int:
    """The line of the Dockerfile that a step of a build stands on, of a trigger that of its FROM; 0 where it cannot be told.

    Without asking for the base nobody knows how many triggers it has, so steps are counted among those that are none.
    """
    lines: dict[int, set[int]] = {}  # how sure it is -> lines
    for number, stage in enumerate(stages):
        if not _of_stage(step, number, stages):
            continue
        if "] ONBUILD " in step.name:
            lines.setdefault(3, set()).add(stage.stage.line)
            continue
        others = [
            each
            for each in steps
            if each.stage == step.stage and not text_of(each, bare=False).startswith(("FROM ", "ONBUILD "))
        ]
        places = sorted({each.number for each in others})
        counted = (
            stage.steps[places.index(step.number)]
            if len(places) == len(stage.steps) and step.number in places
            else None
        )
        for each in stage.steps:
            if each.instruction.keyword == _keyword(step):
                sure = 2 * _same(step, each) + (each is counted if counted else each.number == step.number)
                lines.setdefault(sure, set()).add(each.instruction.line)
    best = lines.get(max(lines)) if lines and max(lines) else None
    return best.pop() if best and len(best) == 1 else 0


def text_of(step: Step, *, bare: bool = True) -> str:
    """The instruction in a step's name, words between single spaces; bare: without what BuildKit writes before it."""
    text = " ".join(step.name.partition("] ")[2].split())
    for mark in _MARKS if bare else ():
        text = text.removeprefix(mark)
    return text


def join(folder: str, path: str) -> str:
    """A path from the top, `.` and `..` resolved; `..` ends at the top."""
    parts: list[str] = []
    for part in (PurePosixPath("/") / folder / path).parts[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/" + "/".join(parts)


def _stage(
    number: int,
    stage: Stage,
    before: Sequence[PlannedStage],
    outer: Scope,
    buildargs: Mapping[str, str],
    images: Mapping[str, Image],
) -> PlannedStage:
    base = outer.expand(stage.base)
    named = [
        place for place, each in enumerate(before) if each.stage.name and each.stage.name == base.lower()
    ]
    parent = named[-1] if named else None
    if parent is not None:
        scope, triggers, layers = before[parent].scope, before[parent].triggers, False
    else:
        image = images.get(base, Image())
        scope = Scope({"PATH": _PATH, **image.variables}, {}, join("/", image.folder), escape=outer.escape)
        triggers = tuple(each for text in image.triggers for each in parse(text).instructions)
        layers = base != SCRATCH and image.layers
    steps, place = [], int(layers)
    own = [(each, False) for each in stage.instructions]
    for each, trigger in [*((each, True) for each in triggers), *own]:
        seen, scope = scope, scope.after(each, outer.variables, buildargs)
        if each.keyword in STEPS and not (each.keyword == "WORKDIR" and scope.folder == "/"):
            place += 1
            steps.append(Planned(number, place, each, seen, trigger))
    return PlannedStage(
        stage,
        base,
        parent,
        tuple(steps),
        scope,
        tuple(each.trigger for each in stage.instructions if each.trigger),
    )


def _of_platform(platform: str) -> dict[str, str]:
    if not platform:
        return {}
    system, machine, variant = [*platform.split("/"), "", ""][:3]
    values = {"PLATFORM": platform, "OS": system, "ARCH": machine, "VARIANT": variant}
    return {f"{side}{name}": value for side in ("BUILD", "TARGET") for name, value in values.items()}


def _lexed(lexer: dockerfile_words.Lexer, text: str, variables: Mapping[str, str], escape: str) -> str:
    try:
        return lexer(text, variables, escape)
    except dockerfile_words.BadSubstitution:
        return text


def _keyword(step: Step) -> str:
    return (text_of(step).split() or [""])[0].upper()


def _same(step: Step, planned: Planned) -> bool:
    return text_of(step) in (planned.label, str(planned.instruction))


def _is_link(step: Step) -> bool:
    return "] LINK " in step.name


def _of_stage(step: Step, number: int, stages: Sequence[PlannedStage]) -> bool:
    """Whether a step's place names this stage: by its name, as `stage-1`, or by nothing where there is one only."""
    label = step.stage.lower()
    return label in (
        stages[number].stage.name or f"stage-{number}",
        "" if number == len(stages) - 1 else f"stage-{number}",
    )


def _fits(step: Step, planned: Planned, stages: Sequence[PlannedStage], *, by_place: bool) -> bool:
    if not by_place:
        return _same(step, planned)
    if (
        not _of_stage(step, planned.stage, stages)
        or step.number != planned.number
        or _keyword(step) != planned.instruction.keyword
    ):
        return False
    name = stages[planned.stage].stage.name
    return not name or sum(each.stage.name == name for each in stages) == 1 or _same(step, planned)
