"""Lab 04: a project that installs everything again for each changed line. The learner brings the rebuild under a budget without touching the app."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from dockerlab.containers import container, inspection
from dockerlab.core import units
from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import fetch
from dockerlab.course.grading import folders
from dockerlab.course.grading.judging import LARGEST_TEXT, Criterion, Lab, Outcome, Submission
from dockerlab.detection import api_client
from dockerlab.images import base_images, context_contents, image, image_report
from dockerlab.images.build_report import BuildReport
from dockerlab.lessons.lesson04_cache import download_meter

BUDGET_SECONDS, TRIES = 5, 3  # of a rebuild after an edit; on a busy machine the best of some tries counts
NEW_AFTER_EDIT, NEW_AFTER_DATE = 100_000, 100_000  # bytes of layers that the image did not have before
KEPT_DOWNLOADS = 11_000_000  # a first installation takes 12 MB and more, one that uses its cache 10 at most, where the index forbids to keep wheels
ABOVE_BASE, WASTE = 140_000_000, 3_000_000
UID = 10001
GIVEN = ("app/", "requirements.txt", "model/")
CHANGING = ("logs/access.log", "lab.ipynb")  # files that change by themselves
ROUND = re.compile(
    r"\b(no|https?|all|ftp)_proxy\b|--no-?proxy\b|--proxy\b|['\"]_?proxy['\"]|\btrust_env\b|\benv +(-[iu]\b|- |--(ignore-env|unset))"
    r"|\benviron\.(pop|clear)\b|\bdel +os\.environ\b|\bunsetenv\(|(^|[;&|]|\bRUN)\s*unset\b", re.IGNORECASE)  # fmt: skip
DATE = "2026-11-01"
TINI = "usr/bin/tini"


@dataclass(frozen=True)
class Rebuild:
    """What a build after an edit did: its report, the layers that the first image lacks (instruction, bytes, files), bytes downloaded."""

    report: BuildReport
    new: tuple[image_report.Layer, ...]
    received: int

    @property
    def new_bytes(self) -> int:
        """Bytes of the new layers."""
        return sum(layer.disk_bytes for layer in self.new)

    def __str__(self) -> str:
        ran, steps = len(self.report.ran), len(self.report.instructions)
        return f"{ran} of {steps} steps ran in {self.report.seconds:.1f} s, {self.new_bytes / 1e6:.1f} MB new, {self.received / 1e6:.1f} MB downloaded"


def _build(submission: Submission, folder: Path, what: str, date: str = DATE) -> tuple[BuildReport, int]:
    """Build a folder behind the counting proxy: the report and the bytes downloaded."""
    client = submission.client
    base_images.ensure(base_images.SLIM, client)
    meter = submission.cached(
        "meter", lambda: submission.enter(download_meter.metered(client, name=submission.name("meter")))
    )
    return meter.build(
        folder,
        builder=lambda context, **options: submission.build(what, context, **options),
        buildargs={"BUILD_DATE": date},
    )


def _copy(submission: Submission) -> Path:
    return submission.copy(also=CHANGING)


def _first(submission: Submission) -> BuildReport:
    return submission.cached("first", lambda: _build(submission, _copy(submission), "first")[0])


def _rebuild(submission: Submission, what: str, edits: dict[str, str], date: str = DATE) -> Rebuild:
    """Append lines to files of a copy, build it, and compare the layers with those of the first image. Done once for each `what`."""

    def make() -> Rebuild:
        before, folder = _first(submission), _copy(submission)
        if found := goes_round(folder):
            raise CourseError(
                f"{found}, which changes how downloads find their way.",
                "A proxy counts them.",
                "Take that out.",
            )
        for name, line in edits.items():
            with (folder / name).open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")
        report, received = _build(submission, folder, what, date)
        return Rebuild(
            report, tuple(image.new_layers(before.image_id, report.image_id, submission.client)), received
        )

    return submission.cached(("rebuild", what), make)


def goes_round(folder: Path) -> str:
    """The first line of the Dockerfile, or of a file of the learner's own that is sent, by which a program could get past the proxy, else "". Reads the folder.

    It knows the words by which that is done: a program that hides them, or that opens connections of its own, is not noticed.
    """
    sent, handed = context_contents.contents(folder), folders.given("04", *GIVEN)
    names = [
        "Dockerfile",
        *(
            name
            for name in sent[sent["sent"] & (sent["bytes"] <= LARGEST_TEXT)]["path"]
            if name not in handed and name != "Dockerfile"
        ),
    ]
    for name in names:
        for line in (folder / name).read_text(encoding="utf-8", errors="replace").splitlines():
            if ROUND.search(line) and (line.startswith("#!") or not line.lstrip().startswith("#")):
                return f"{name} holds the line `{line.strip()[:80]}`"
    return ""


def _service(submission: Submission) -> container.Running:
    def start() -> container.Running:
        return submission.enter(submission.running("service", _first(submission).tag or ""))

    return submission.cached("service", start)


def _mark() -> str:
    return f"# {uuid.uuid4().hex}"  # content that no earlier build has seen


def _untouched(submission: Submission) -> Outcome:
    other = folders.changed(submission.folder, "04", *GIVEN)
    return Outcome(
        not other,
        f"changed: {', '.join(other)}" if other else f"{len(folders.given('04', *GIVEN))} files as they were",
    )


def _answers(submission: Submission) -> Outcome:
    service = _service(submission)
    picture, weights = api_client.samples()[0].read_bytes(), submission.folder / "model/harbour-n.pt"
    wrong = []
    if (built := fetch(f"{service.url}/version", 10).json().get("built")) != DATE:
        wrong.append(f"/version says {built}, the build was given {DATE}")
    if not fetch(f"{service.url}/berths/east-4", 10, method="PUT", data=picture).ok or fetch(
        f"{service.url}/berths", 10
    ).json() != ["east-4"]:
        wrong.append("a berth is not kept")
    if fetch(f"{service.url}/model", 10).content != weights.read_bytes():
        wrong.append("/model does not hand out the weights")
    if (first := _first_process(submission).name) != "tini":
        wrong.append(f"process 1 is {first}")
    return Outcome(
        not wrong,
        "; ".join(wrong) or f"all four answers right, {service.start_seconds:.1f} s after the start",
    )


def _user(submission: Submission) -> Outcome:
    users = _first_process(submission).users
    return Outcome(set(users) == {UID}, f"uid {users[0]}")


def _first_process(submission: Submission) -> inspection.Process:
    def look() -> inspection.Seen:
        return inspection.look(submission.client, _service(submission).container, labels=submission.labels())

    return submission.cached("processes", look).first


def _edit(submission: Submission) -> Outcome:
    for attempt in range(TRIES):
        done = _rebuild(submission, f"edit-{attempt}", {"app/main.py": _mark()})
        lean = done.new_bytes <= NEW_AFTER_EDIT and not done.received
        if not lean or done.report.seconds <= BUDGET_SECONDS:
            break
    return Outcome(lean and done.report.seconds <= BUDGET_SECONDS, str(done))


def _date(submission: Submission) -> Outcome:
    done = _rebuild(submission, "date", {}, date=uuid.uuid4().hex)
    return Outcome(done.new_bytes <= NEW_AFTER_DATE and not done.received, str(done))


def _stray(submission: Submission) -> Outcome:
    files = [name for name in CHANGING if (submission.folder / name).is_file()]
    done = _rebuild(submission, "stray", {name: _mark() for name in files})
    return Outcome(not done.report.ran, f"{', '.join(done.report.ran[:2]) or 'nothing'} ran")


def _one_more(submission: Submission) -> Rebuild:
    return _rebuild(submission, "one-more", {"requirements.txt": f"itsdangerous==2.2.0\n{_mark()}"})


def _system(submission: Submission) -> Outcome:
    done = _one_more(submission)
    again = next((layer for layer in done.new if TINI in layer.files), None)
    return Outcome(
        again is None,
        f"installed again by `{again.instruction[:70]}`" if again else "they stayed in the cache",
    )


def _kept(submission: Submission) -> Outcome:
    done = _one_more(submission)
    if done.received > KEPT_DOWNLOADS:  # the mount may have been empty: the next one counts
        done = _rebuild(
            submission, "two-more", {"requirements.txt": f"itsdangerous==2.2.0\nblinker==1.9.0\n{_mark()}"}
        )
    return Outcome(done.received <= KEPT_DOWNLOADS, f"{done.received / 1e6:.1f} MB downloaded")


def _size(submission: Submission) -> Outcome:
    found = image.inspect(_first(submission).tag or "", submission.client)
    base = image.inspect(base_images.SLIM, submission.client)
    above = found.disk_bytes - base.disk_bytes
    worst = found.wasted().head(1)
    told = f", most of it by `{worst['hidden by'].iloc[0]}`" if found.wasted_bytes > WASTE else ""
    return Outcome(
        above <= ABOVE_BASE and found.wasted_bytes <= WASTE,
        f"{units.mb(above)} above the base, {units.mb(found.wasted_bytes)} wasted{told}",
    )


LAB = Lab(
    number="04",
    name="speed up a rebuild",
    files=("Dockerfile",),
    criteria=(
        Criterion(
            key="untouched",
            promise="The app, its requirements and the weights are as you got them",
            why="A build is made faster by its Dockerfile, not by another program.",
            hint="`dockerlab reset 04` gives the files back; your version is kept in labs/.saved, so your Dockerfile is not lost.",
            second_hint="You hand in Dockerfile and .dockerignore. All else stays.",
            wanted="app/, model/ and requirements.txt unchanged",
            measure=_untouched,
        ),
        Criterion(
            key="answers",
            promise="The service answers as before, and says the date it was built with",
            why="A quick build of something else is no gain.",
            hint="Start it with `docker run --rm -p 127.0.0.1:8000:8000 IMAGE` and read the last line. May it write to /app/data? Does tini start it?",
            second_hint='The service needs model/ beside app/, a folder data/ that its user owns, ENTRYPOINT ["tini", "--"], '
            "and BUILD_DATE in its environment: an ARG alone is gone at run time.",
            wanted="four answers, process 1 is tini",
            measure=_answers,
            needs=("untouched",),
        ),
        Criterion(
            key="user",
            promise=f"It runs as user {UID}",
            why="A service that is broken into should own nothing.",
            hint="Which USER does the image name? Without one it is root.",
            second_hint="useradd --uid 10001, and USER above CMD.",
            wanted=f"uid {UID}",
            measure=_user,
            needs=("answers",),
        ),
        Criterion(
            key="edit",
            promise="An edit of app/main.py is built within the budget: nothing is installed, next to nothing is new",
            why="This is the rebuild that you wait for fifty times a day.",
            hint="Look at the order: which step copies app/main.py, and which steps stand below it?",
            second_hint="requirements.txt alone above the installation; model/ in a COPY of its own; app/ last. COPY . . above an installation reruns it.",
            wanted=f"at most {BUDGET_SECONDS} s, {NEW_AFTER_EDIT / 1e6:.1f} MB of new layers, no download",
            measure=_edit,
            needs=("answers",),
        ),
        Criterion(
            key="date",
            promise="After a new BUILD_DATE, nothing is installed and no layer is new",
            why="CI passes another date with each build.",
            hint="Every RUN below an ARG sees it. How many stand below ARG BUILD_DATE?",
            second_hint="ARG BUILD_DATE and its ENV go below the last RUN and COPY.",
            wanted=f"at most {NEW_AFTER_DATE / 1e6:.1f} MB of new layers, no download",
            measure=_date,
            needs=("edit",),
        ),
        Criterion(
            key="stray",
            promise="After another line in logs/access.log, or a saved notebook, nothing runs",
            why="Files that change by themselves must not decide when you rebuild.",
            hint="Which COPY takes in logs/ or lab.ipynb? Copy what you name, or list the rest in .dockerignore.",
            second_hint="In .dockerignore: logs, *.ipynb, .ipynb_checkpoints, __pycache__, .git.",
            wanted="0 steps",
            measure=_stray,
            needs=("edit",),
        ),
        Criterion(
            key="system",
            promise="After one more requirement, the system packages are not installed again",
            why="Debian's packages change with other things than Python's do.",
            hint="Do apt-get and pip stand in two steps, and which of them comes first?",
            second_hint="One RUN for apt-get, above anything that copies or mounts requirements.txt; another RUN for pip.",
            wanted="the layer with tini stays",
            measure=_system,
            needs=("edit",),
        ),
        Criterion(
            key="kept",
            promise="After one more requirement, what was fetched or built before is used again",
            why="The step has to run. It need not begin from nothing.",
            hint="Lend the installation a cache mount at the folder where pip or uv keeps its cache, and let it use that: is --no-cache-dir set?",
            second_hint="RUN --mount=type=cache,target=/root/.cache/pip pip install …, without --no-cache-dir and PIP_NO_CACHE_DIR; for uv /root/.cache/uv.",
            wanted=f"at most {units.mb(KEPT_DOWNLOADS)} downloaded",
            measure=_kept,
            needs=("edit",),
        ),
        Criterion(
            key="size",
            promise="The image holds what the service needs, and nothing twice",
            why="What is not installed need not be installed again, and size is paid at every pull.",
            hint="`image.inspect(TAG).wasted()` names each file that ships unseen, who wrote it and who hid it. A `chown -R` writes every file again. "
            "And who imports requirements-dev.txt, or calls a compiler, in this service?",
            second_hint="COPY --chown for what the user must own, which is data/ only; apt's lists and packages in cache mounts or removed in the same RUN; "
            "of system packages tini alone, without recommended ones, and of Python's those of requirements.txt.",
            wanted=f"at most {units.mb(ABOVE_BASE)} above the base, {units.mb(WASTE)} wasted",
            measure=_size,
            needs=("answers",),
        ),
    ),
)
