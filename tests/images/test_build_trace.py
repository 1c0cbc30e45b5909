"""What a builder's stream becomes, and what a broken one says: recorded streams, no engine."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from matplotlib.figure import Figure

from dockerlab.core.errors import CourseError
from dockerlab.images import build_errors, build_trace
from dockerlab.images import buildkit_pb2 as pb
from dockerlab.images.build import build
from dockerlab.images.build_errors import BuildFailed, EngineStopped
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.build_trace import ClassicTrace, Trace
from dockerlab.notebook.charts.timeline import build_timeline

DATA = Path(__file__).parents[1] / "data"
CLASSIC = [
    {"stream": "Step 1/4 : FROM base AS left"},
    {"stream": "\n"},
    {"stream": " ---> a418f096fbcb\n"},
    {"stream": "Step 2/4 : RUN echo kept > /kept"},
    {"stream": "\n"},
    {"stream": " ---> Using cache\n"},
    {"stream": "Step 3/4 : RUN echo new"},
    {"stream": "\n"},
    {"stream": "new\n"},
    {"stream": "Step 4/4 : LABEL dockerlab.course=1"},
    {"stream": "\n"},
    {"aux": {"ID": "sha256:f5"}},
    {"stream": "Successfully built f5d44f18e824\n"},
]


class Answer:
    """A response that yields what it was given, then ends or breaks."""

    ok = True

    def __init__(self, chunks: list[bytes], error: Exception | None = None) -> None:
        self.chunks, self.error, self.closed = chunks, error, False

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def iter_content(self, _: object) -> Any:
        yield from self.chunks
        if self.error:
            raise self.error


@pytest.fixture(autouse=True)
def record_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKERLAB_STATE", str(tmp_path / "state"))


def replay(tmp_path: Path, answer: Answer, dockerfile: str = "FROM base\n", **options: Any) -> BuildReport:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    sent: dict[str, Any] = {}
    api = SimpleNamespace(
        base_url="http://engine", api_version="1.51", post=lambda url, **more: sent.update(more) or answer
    )
    client = SimpleNamespace(info=lambda: {"ID": "recorded"}, api=api)
    try:
        return build(tmp_path, client=client, **options)
    finally:
        replay.query = sent.get("params", {})


def test_recorded_build(tmp_path: Path) -> None:
    report = replay(tmp_path, Answer([(DATA / "buildkit_success.jsonl").read_bytes()]), tag="here")
    assert report.image_id.startswith("sha256:")
    assert report.cached == ["[stage-1 2/3] RUN echo > /kept"]
    assert report.ran == [
        "[left 2/2] RUN echo left side && sleep 1 && echo > /left",
        "[stage-1 3/3] COPY --from=left /left /",
    ]
    slow, copy = (step for step in report.instructions if not step.cached)
    assert slow.stage == "left" and slow.log == "left side\n" and 1.0 < slow.seconds < 1.5
    assert len(copy.inputs) == 2 and copy.started >= slow.started + slow.seconds - 0.01
    assert repr(report) == "BuildReport(here: 3 steps)"
    assert isinstance(build_timeline(report), Figure)


def test_cached_steps_stand_in_the_order_of_the_dockerfile() -> None:
    names = [
        "[5/5] RUN b",
        "[4/5] COPY a .",
        "[left 2/2] RUN x",
        "[2/5] WORKDIR /app",
        "[1/5] FROM base",
        "[3/5] RUN a",
    ]
    report = BuildReport("sha256:0", None, [Step(name, cached=True, done=True) for name in names])
    assert [step.number for step in report.instructions] == [2, 3, 2, 4, 5]
    assert report.cached[2] == "[left 2/2] RUN x"


@pytest.mark.parametrize(
    ("name", "stage", "number"),
    [
        ("[3/7] COPY app app", "", 3),
        ("[ 3/12] COPY app app", "", 3),
        ("[stage-1  3/12] RUN a", "stage-1", 3),
        ("[left 2/2] RUN x", "left", 2),
        ("[internal] load build context", "", 0),
        ("exporting to image", "", 0),
    ],
)
def test_the_place_of_a_step(name: str, stage: str, number: int) -> None:
    assert (Step(name).stage, Step(name).number) == (stage, number)


def test_recorded_failure_names_line_and_log(tmp_path: Path) -> None:
    text = "FROM python:3.11-slim-bookworm AS left\nRUN echo left\nFROM python:3.11-slim-bookworm\n# why\nRUN echo it breaks here && exit 7\n"
    with pytest.raises(
        BuildFailed, match=r"line 5 failed: RUN echo it breaks here && exit 7\n    it breaks here"
    ) as caught:
        replay(tmp_path, Answer([(DATA / "buildkit_failure.jsonl").read_bytes()]), text)
    assert "exit code: 7" in caught.value.why


def test_times_count_from_our_own_context_not_from_a_step_that_another_build_began() -> None:
    trace = Trace()
    for name, begun in (
        ("[internal] load remote build context", 100),
        ("[2/9] WORKDIR /app", 60),
        ("[3/3] RUN a", 101),
    ):
        status = pb.StatusResponse()
        vertex = status.vertexes.add(name=name, digest=name)
        vertex.started.FromSeconds(1_800_000_000 + begun)
        vertex.completed.FromSeconds(1_800_000_000 + begun + 1)
        trace.add({"id": "moby.buildkit.trace", "aux": base64.b64encode(status.SerializeToString()).decode()})
    assert {step.name: step.started for step in trace.steps()} == {
        "[2/9] WORKDIR /app": 0,
        "[internal] load remote build context": 0,
        "[3/3] RUN a": 1,
    }


def test_a_step_at_which_another_build_was_cancelled_begins_anew() -> None:
    """The engine hands the second build the end of the first one's step, then its own start: as engine 28.5.2 does."""
    trace = Trace()

    def told(begun: float, ended: float | None, error: str, log: str = "") -> Step:
        status = pb.StatusResponse()
        vertex = status.vertexes.add(name="[2/2] RUN a", digest="a", error=error)
        vertex.started.FromNanoseconds(int((1_800_000_000 + begun) * 1e9))
        if ended is not None:
            vertex.completed.FromNanoseconds(int((1_800_000_000 + ended) * 1e9))
        if log:
            status.logs.add(vertex="a", msg=log.encode())
        trace.add({"id": "moby.buildkit.trace", "aux": base64.b64encode(status.SerializeToString()).decode()})
        return trace._steps["a"]

    cancelled = 'process "/bin/sh -c a" did not complete successfully: context canceled'
    assert told(10, 15, cancelled, "old\n").done
    assert told(10, 15, cancelled).log == "old\n"
    running = told(16, None, cancelled, "new\n")
    assert (running.done, running.error, running.seconds, running.log) == (False, "", 0, "new\n")
    ended = told(16, 17, "")
    assert (ended.done, ended.error, round(ended.seconds, 3), ended.log) == (True, "", 1, "new\n")


def test_every_step_is_announced_when_it_starts_and_when_it_ends() -> None:
    seen: list[tuple[str, bool]] = []
    trace = Trace(lambda step: seen.append((step.name, step.done)))
    for entry in build_trace.entries([(DATA / "buildkit_success.jsonl").read_bytes()]):
        trace.add(entry)
    slow = [done for name, done in seen if "sleep 1" in name]
    assert slow[0] is False and slow[-1] is True


@pytest.mark.parametrize(
    "answer",
    [
        Answer([(DATA / "buildkit_success.jsonl").read_bytes()[:3000]]),
        Answer(
            [(DATA / "buildkit_success.jsonl").read_bytes()[:3000]],
            requests.exceptions.ChunkedEncodingError("cut"),
        ),
        Answer([], requests.ConnectionError("reset")),
        Answer(
            [
                b'{"errorDetail":{"message":"rpc error: code = Canceled desc = context canceled"},"error":"context canceled"}\n'
            ]
        ),
    ],
    ids=["ends early", "cut off", "reset", "told"],
)
def test_an_engine_that_goes_away_is_named(tmp_path: Path, answer: Answer) -> None:
    with pytest.raises(EngineStopped, match="make engine"):
        replay(tmp_path, answer)
    assert answer.closed


def test_an_interrupt_closes_the_connection(tmp_path: Path) -> None:
    def interrupt(step: Step) -> None:
        raise KeyboardInterrupt

    answer = Answer([(DATA / "buildkit_success.jsonl").read_bytes()])
    with pytest.raises(KeyboardInterrupt):
        replay(tmp_path, answer, on_step=interrupt)
    assert answer.closed


def test_options_reach_the_engine(tmp_path: Path) -> None:
    answer = Answer([(DATA / "buildkit_success.jsonl").read_bytes()])
    replay(
        tmp_path,
        answer,
        network="none",
        target="left",
        no_cache=True,
        buildargs={"A": 1},
        labels={"mine": "yes"},
    )
    query = replay.query
    assert (query["version"], query["networkmode"], query["target"], query["nocache"]) == (
        "2",
        "none",
        "left",
        "1",
    )
    assert json.loads(query["buildargs"]) == {"A": "1"}
    assert (
        json.loads(query["labels"])["mine"] == "yes"
        and json.loads(query["labels"])["dockerlab.course"] == "1"
    )


def test_an_unknown_back_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="buildkit, classic"):
        replay(tmp_path, Answer([]), backend="kaniko")


def test_classic_stream_becomes_the_same_report(tmp_path: Path) -> None:
    answer = Answer([json.dumps(entry).encode() + b"\r\n" for entry in CLASSIC])
    report = replay(tmp_path, answer, backend="classic")
    assert replay.query["version"] == "1"
    assert report.image_id == "sha256:f5"
    assert report.cached == ["[left 2/3] RUN echo kept > /kept"] and report.ran == ["[left 3/3] RUN echo new"]
    assert report.instructions[1].log.strip() == "new"


def test_classic_failure_belongs_to_the_last_step() -> None:
    trace = ClassicTrace()
    for entry in [
        *CLASSIC[:8],
        {
            "errorDetail": {"code": 3, "message": "returned a non-zero code: 3"},
            "error": "returned a non-zero code: 3",
        },
    ]:
        trace.add(entry)
    assert trace.failed() and trace.failed().name == "[left 3/3] RUN echo new"


def test_a_folder_of_small_files_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(10):
        (tmp_path / "frames" / f"{number}.jpg").write_bytes(bytes(300_000))
    (tmp_path / "weights.bin").write_bytes(bytes(1_000_000))
    with pytest.raises(
        build_errors.ContextTooLarge, match=r"frames/ \(3 MB\), weights\.bin \(1 MB\).*\.dockerignore"
    ):
        replay(tmp_path, Answer([]), max_context_bytes=2_000_000)
