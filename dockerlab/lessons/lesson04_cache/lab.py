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
from dockerlab.course.grading import criteria, folders
from dockerlab.course.grading.judging import LARGEST_TEXT, Lab, Outcome, Submission
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
    criteria=criteria.read(
        "04",
        {
            "untouched": _untouched,
            "answers": _answers,
            "user": _user,
            "edit": _edit,
            "date": _date,
            "stray": _stray,
            "system": _system,
            "kept": _kept,
            "size": _size,
        },
        UID=UID,
        BUDGET_SECONDS=BUDGET_SECONDS,
        NEW_AFTER_EDIT_MB=NEW_AFTER_EDIT / 1e6,
        NEW_AFTER_DATE_MB=NEW_AFTER_DATE / 1e6,
        KEPT_DOWNLOADS=units.mb(KEPT_DOWNLOADS),
        ABOVE_BASE=units.mb(ABOVE_BASE),
        WASTE=units.mb(WASTE),
    ),
)
