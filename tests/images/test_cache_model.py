"""The model of the cache says what BuildKit did, for every edit that was recorded; some are tried on the engine again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import docker
import pytest

from dockerlab.images import cache_model
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.cache_model import Inputs, Recorded, Verdict, context_files, explain, keys
from dockerlab.images.dockerfile import expand, pairs, parse
from tests.support.cache_edits import EDITS, RECORD, TAG, load, verdicts_of

RECORDS: dict[str, list[dict[str, Any]]] = json.loads(RECORD.read_text())
LIVE = [
    "touch",
    "comment",
    "content of a file",
    "mounted file",
    "file ignored",
    "other stage, same result",
    "argument",
    "proxy",
    "variable",
    "base",
]


def recorded(name: str) -> list[Verdict]:
    return explain(*(load(data) for data in RECORDS[name]))


def why(name: str, step: str) -> str:
    return next(each.why for each in recorded(name) if each.instruction.startswith(step))


@pytest.mark.parametrize("name", EDITS)
def test_the_model_agrees_with_the_record_step_by_step(name: str) -> None:
    verdicts = recorded(name)
    assert len(verdicts) == len(RECORDS[name][1]["steps"])
    assert [each.instruction for each in verdicts if not each.agrees] == []
    assert sum(each.ran for each in verdicts) == EDITS[name][1]


@pytest.mark.engine
@pytest.mark.parametrize("name", LIVE)
def test_the_model_agrees_with_the_engine(name: str, tmp_path: Path, client: docker.DockerClient) -> None:
    _, verdicts = verdicts_of(EDITS[name][0], tmp_path / "project", client)
    client.images.remove(TAG, force=True)
    assert [each for each in verdicts if not each.agrees] == []
    assert sum(each.ran for each in verdicts) == EDITS[name][1]


@pytest.mark.parametrize(
    ("edit", "step", "reason"),
    [
        ("touch", "COPY app", "nothing that it depends on changed"),
        ("content of a file", "COPY app", "app/main.py, which it copies, changed"),
        ("content of a file", "RUN ls > list", "an earlier step ran: COPY app ."),
        ("new file", "COPY app", "app/new.py, which it copies, is new"),
        ("file ignored", "COPY app", "app/sub/x.txt, which it copies, is gone"),
        ("mounted file", "RUN --mount", "app/data.txt, which it mounts, changed"),
        ("argument", "RUN ls > list", "build argument RELEASE changed"),
        ("variable", "RUN --mount", "ENV GREETING changed"),
        ("space within", "RUN ls", "its own text changed"),
        ("new step", "RUN true", "its own text changed"),
        ("user", "RUN ls > list", "USER is new"),
        ("base", "WORKDIR /opt", "the base image changed"),
        (
            "other stage, same result",
            "COPY --from=left",
            "what it takes from another stage came out the same",
        ),
    ],
)
def test_the_reason_is_named(edit: str, step: str, reason: str) -> None:
    assert reason in why(edit, step)


def test_many_files_are_named_as_one_and_a_count() -> None:
    assert why("all of the context", "COPY . .").endswith("and 4 more, which it copies, are new")


def build(dockerfile: str, ran: str, files: dict[str, str] | None = None, **inputs: Any) -> Recorded:
    """A build of one stage; `ran` holds one letter a step: r(an) or c(ached)."""
    read = Inputs(dockerfile, files or {}, **inputs)
    steps = [
        Step(f"[{key.number}/9] {key.instruction}", cached=letter == "c", done=True)
        for key, letter in zip(keys(read), ran, strict=True)
    ]
    return Recorded(read, BuildReport("sha256:0", None, steps))


def test_an_edit_taken_back_is_remembered() -> None:
    text = "FROM base\nCOPY a .\n"
    first, second, third = (
        build(text, "r", {"a": "1"}),
        build(text, "r", {"a": "2"}),
        build(text, "c", {"a": "1"}),
    )
    verdict = explain(second, third, [first])[0]
    assert (verdict.ran, verdict.expected, verdict.why) == (
        False,
        False,
        "an earlier build had the same inputs",
    )


def test_what_the_model_cannot_know_is_said() -> None:
    text = "FROM base\nRUN a\n"
    lost = explain(build(text, "c"), build(text, "r"))[0]
    assert not lost.agrees and "had left the cache" in lost.why
    found = explain(build(text, "c"), build("FROM base\nRUN b\n", "c"))[0]
    assert not found.agrees and found.why == "the engine knew it from another build"


def test_a_step_that_another_build_shares_is_found_by_its_text() -> None:
    steps = [Step("[stage-1  7/12] WORKDIR /app", cached=True, done=True), Step("[3/3] RUN a", done=True)]
    text = "FROM base\nWORKDIR /app\nRUN {}\n"
    before, after = (
        Recorded(Inputs(text.format(word)), BuildReport("sha256:0", None, steps)) for word in "ba"
    )
    assert [(each.instruction, each.ran, each.agrees) for each in explain(before, after)] == [
        ("WORKDIR /app", False, True),
        ("RUN a", True, True),
    ]


def test_causes_in_a_word() -> None:
    causes = {
        name: next(each.cause for each in recorded(name) if each.ran)
        for name in ("content of a file", "argument", "space within", "base", "user")
    }
    assert causes == {
        "content of a file": "file",
        "argument": "argument",
        "space within": "text",
        "base": "base",
        "user": "other",
    }
    assert recorded("touch")[0].cause == "" and recorded("argument")[-2].cause == "earlier"


def test_a_base_counts_by_what_it_holds() -> None:
    text = "FROM base\nRUN a\n"
    one, other = (keys(Inputs(text, bases={"base": digest}))[0] for digest in ("1", "2"))
    assert one.digest != other.digest


def test_context_files_ignore_time_and_what_is_ignored(tmp_path: Path) -> None:
    for name, content in {
        "Dockerfile": "FROM base",
        "a.py": "1",
        "debug.log": "x",
        ".dockerignore": "*.log\n",
        "sub/b": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "link").symlink_to("a.py")
    before = context_files(tmp_path)
    assert set(before) == {"Dockerfile", "a.py", ".dockerignore", "sub/", "sub/b", "link"}
    (tmp_path / "debug.log").write_text("y")
    (tmp_path / "a.py").touch()
    assert context_files(tmp_path) == before
    (tmp_path / "a.py").chmod(0o700)
    assert {name for name, digest in context_files(tmp_path).items() if digest != before[name]} == {"a.py"}


def test_a_dockerfile_as_data() -> None:
    text = "# syntax\nARG V=1\nFROM base:$V AS One\nRUN a \\\n# comment\n  && b\n"
    read = parse(text + "COPY --from=x --chown=1 a b /c/\nRUN <<EOF\n# kept\nls\nEOF\nFROM one\nRUN c\n")
    assert [(stage.name, stage.base, len(stage.instructions)) for stage in read.stages] == [
        ("one", "base:$V", 3),
        ("", "one", 1),
    ]
    run, copy, heredoc = read.stages[0].instructions
    assert (str(run), run.text, run.line) == ("RUN a && b", "a   && b", 4)
    assert (copy.flag("from"), copy.words) == ("x", ["a", "b", "/c/"])
    assert heredoc.heredocs[0].content == "# kept\nls\n" and read.arguments[0].text == "V=1"


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ("$A/${B}/${C:-d}/${C-e}/${A:+f}", "1/2/d/e/f"),
        (r"\$A", "$A"),
        ("${C}$C", ""),
        ("${E:-x}${E-y}", "x"),
    ],
)
def test_variables_are_expanded_as_the_builder_does(given: str, expanded: str) -> None:
    assert expand(given, {"A": "1", "B": "2", "E": ""}) == expanded


def test_pairs_of_both_forms() -> None:
    assert pairs('A=1 B="two words" C', "ARG") == [("A", "1"), ("B", "two words"), ("C", None)]
    assert pairs("A one two") == [("A", "one two")]


def test_frame_has_a_row_a_step() -> None:
    table = cache_model.frame(recorded("content of a file"))
    assert list(table["outcome"]).count("ran") == 5 and len(table) == 12


def test_where_the_store_merges_layers_a_linked_copy_does_not_depend_on_the_step_before() -> None:
    """As engine 28.5.2 reports it with the containerd store; with overlay2 there is no such merge, and the copy runs."""
    text = "FROM base\nRUN {}\nCOPY --link a /a\nRUN b\n"
    for link, ran in (([Step("[3/4] LINK COPY --link a /a", done=True)], "rcr"), ([], "rrr")):
        names = [
            f"[{number}/4] {name}" for number, name in ((2, "RUN {}"), (3, "COPY --link a /a"), (4, "RUN b"))
        ]
        before, after = (
            Recorded(Inputs(text.format(word), {"a": "1"}), BuildReport("sha256:0", None, [
                *link, *(Step(name.format(word), cached=letter == "c", done=True, digest=name) for name, letter in zip(names, ran, strict=True))]))
            for word in "xy"
        )  # fmt: skip
        verdicts = explain(before, after)
        assert [each.ran for each in verdicts] == [letter == "r" for letter in ran] and all(
            each.agrees for each in verdicts
        )
        assert len(after.report.instructions) == 3
    assert verdicts[1].cause == "earlier"


def test_an_argument_hides_a_variable_and_reaches_the_stages_built_on_its_own() -> None:
    """Tried on engine 28.5.2: the last of ENV and ARG wins, stages inherit ARGs, and a declared proxy is a build argument like any other."""
    texts = (
        "FROM a\nENV X=1\nARG X\nRUN x\n",
        "FROM a AS p\nARG X\nFROM p\nRUN x\n",
        "FROM a\nARG HTTP_PROXY\nRUN x\n",
    )
    for text, name in zip(texts, ("X", "X", "HTTP_PROXY"), strict=True):
        one, other = (keys(Inputs(text, buildargs={name: value}))[-1] for value in "12")
        assert [str(part) for part in one.parts if one.parts[part] != other.parts[part]] == [
            f"build argument {name}"
        ]
    assert (
        keys(Inputs("FROM a\nRUN x\n", buildargs={"HTTP_PROXY": "1"}))[0].digest
        == keys(Inputs("FROM a\nRUN x\n"))[0].digest
    )


def test_what_means_the_same_has_the_same_key() -> None:
    same = [("RUN [\"a\", \"b\"]", "RUN [\"a\",\"b\"]"), ("COPY --from=s /a /b", "COPY --from=0 /a /b"), ("RUN <<A\nx\nA", "RUN <<B\nx\nB"),
            ("COPY --chown=1 --chmod=644 a /b", "COPY --chmod=644 --chown=1 a /b"), ("SHELL [\"a\"]\nRUN [\"b\"]", "RUN [\"b\"]"),
            ("RUN --mount=src=a,dst=/b c", "RUN --mount=target=/b,source=a c")]  # fmt: skip
    for one, other in same:
        first, second = (
            keys(Inputs(f"FROM x AS s\nRUN y\nFROM x\n{text}\n", {"a": "1"}))[-1] for text in (one, other)
        )
        assert first.digest == second.digest, one
    differ = [("COPY <<A /a\n$X\nA", "COPY <<'A' /a\n$X\nA"), ("RUN <<A b\nx\nA", "RUN <<A b\ny\nA"), ("RUN <<A\n#!/b\nA", "RUN <<B\n#!/b\nB"),
              ("COPY a /b", "ADD a /b")]  # fmt: skip
    for one, other in differ:
        first, second = (keys(Inputs(f"FROM x\nENV X=1\n{text}\n", {"a": "1"}))[-1] for text in (one, other))
        assert first.digest != second.digest, one
