"""Dockerfiles that other programs read wrongly, by their numbers in the list of public cases: each is read, explained and blamed as BuildKit does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import docker
import pytest

from dockerlab.images import build_plan, build_trace, cache_model
from dockerlab.images.build import build
from dockerlab.images.build_errors import BuildFailed
from dockerlab.images.build_plan import Image
from dockerlab.images.build_report import BuildReport, Step
from dockerlab.images.build_trace import Trace
from dockerlab.images.cache_model import (
    BuildDiary,
    Inputs,
    Recorded,
    context_files,
    explain,
    keys,
    read_inputs,
)
from dockerlab.images.dockerfile import Dockerfile, expand, pairs, parse, read
from dockerlab.images.image_report import ImageReport, Layer
from dockerlab.lessons.lesson05_multi_stage import stages

FOLDER = Path(__file__).parents[1] / "data" / "cases" / "dockerfiles"
FILES = (
    "app/",
    "app/main.py",
    "app/notes.txt",
    "app/data/",
    "app/data/big.bin",
    "docs/",
    "docs/a.md",
    "docs/b.txt",
    "README.md",
    "plain.txt",
    "a.txt",
    "b.txt",
    "src/",
    "src/x/",
    "src/x/pyproject.toml",
    "src/x/y/",
    "src/x/y/pyproject.toml",
)


def dockerfile(name: str) -> Dockerfile:
    return parse(read(FOLDER / name))


def taken(name: str, *more: str) -> set[str]:
    """The files that the last step of a case depends on."""
    inputs = Inputs(read(FOLDER / name), {path: path for path in (*FILES, *more)})
    return {
        part.name for part in keys(inputs)[-1].parts if part.kind == "file" and not part.name.endswith("/")
    }


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        pytest.param("D01_tabs", "FROM ENV RUN COPY", id="D01"),
        pytest.param("D02_escape", "FROM COPY RUN WORKDIR", id="D02"),
        pytest.param("D04_byte_order_mark", "FROM RUN", id="D04"),
        pytest.param("D05_here_string", "FROM SHELL RUN RUN COPY", id="D05"),
        pytest.param("D05b_debconf", "FROM SHELL RUN RUN", id="D05b"),
        pytest.param("D06_shift_in_arithmetic", "FROM RUN RUN", id="D06-arithmetic"),
        pytest.param("D06_shift_in_quotes", "FROM RUN RUN", id="D06-quotes"),
        pytest.param("D09_onbuild_heredoc", "FROM ONBUILD RUN", id="D09"),
        pytest.param("D10_two_heredocs", "FROM COPY RUN", id="D10"),
        pytest.param("D11_remark_at_the_end", "FROM RUN", id="D11-end"),
        pytest.param("D11_remarks_in_continued_run", "FROM RUN RUN", id="D11"),
        pytest.param("D12_crlf", "FROM RUN COPY RUN", id="D12"),
        pytest.param("D13_lower_case", "FROM RUN FROM COPY", id="D13"),
        pytest.param("D14_from_alone", "FROM RUN", id="D14"),
        pytest.param("D14_platform_alone", "FROM", id="D14-platform"),
        pytest.param("D18_spaces_behind_backslash", "FROM RUN RUN", id="D18"),
        pytest.param("D25_tab_behind_delimiter", "FROM RUN RUN", id="D25"),
        pytest.param("D26_healthcheck", "FROM HEALTHCHECK HEALTHCHECK SHELL STOPSIGNAL VOLUME", id="D26"),
        pytest.param("D27_split_keyword", "FROM RUN", id="D27"),
        pytest.param("D28_latin1", "FROM RUN", id="D28"),
        pytest.param("D29_indented", "FROM RUN COPY", id="D29"),
    ],
)
def test_the_instructions(name: str, keywords: str) -> None:
    assert [each.keyword for each in dockerfile(name).instructions] == keywords.split()


def test_what_stands_in_them() -> None:
    assert dockerfile("D01_tabs").stages[0].base == "debian:bookworm-slim"
    assert dockerfile("D02_escape").stages[0].instructions[0].words == ["tools\\", "C:\\tools\\"]
    assert (
        dockerfile("D09_onbuild_heredoc").stages[0].instructions[0].heredocs[0].content
        == "FROM here on it is text\n"
    )
    assert [each.text for each in dockerfile("D10_two_heredocs").stages[0].instructions[0].heredocs] == [
        "one $HOME\n",
        "two $HOME\n",
    ]
    assert [each.expand for each in dockerfile("D10_two_heredocs").stages[0].instructions[0].heredocs] == [
        True,
        False,
    ]
    assert dockerfile("D12_crlf").stages[0].instructions[1].heredocs[0].content == "body\r\n"
    assert (dockerfile("D14_from_alone").stages[0].base, dockerfile("D14_platform_alone").stages[0].base) == (
        "",
        "",
    )
    copy, run = dockerfile("D16_quotes_in_flags").stages[1].instructions
    assert copy.flag("from") == "builder"
    assert (run.mounts, run.text) == (
        [{"type": "secret", "id": "my key", "target": "/run/key"}],
        "cat /run/key",
    )
    assert dockerfile("D17_copy_json_comma").stages[0].instructions[0].words == ["one, two.txt", "/dst/"]
    assert expand(dockerfile("D17_copy_json_quote").stages[0].instructions[0].words[0], {}) == 'a"b.txt'
    add = dockerfile("D19_flags").stages[1].instructions
    assert (
        add[0].is_set("link")
        and add[0].flag("chmod") == "0755"
        and add[2].flags == (("keep-git-dir", "true"),)
    )
    assert pairs(dockerfile("D24_quoted_key").stages[0].instructions[0].text, "LABEL") == [
        ("com.example.some label", "x y")
    ]
    assert (
        "\ta"
        not in (body := dockerfile("D25_tab_behind_delimiter").stages[0].instructions[0].heredocs[0]).text
        and body.text == "echo a\nEOF\t\necho b\n"
    )
    assert dockerfile("D27_split_keyword").stages[0].line == 1


@pytest.mark.parametrize(
    ("name", "images"),
    [
        pytest.param("D04_byte_order_mark", {"debian:bookworm-slim"}, id="D04"),
        pytest.param("D14_from_alone", set(), id="D14"),
        pytest.param("D16_quotes_in_flags", {"debian:bookworm-slim"}, id="D16"),
        pytest.param("D20_digest", {"python:3.11@sha256:" + "0" * 64}, id="D20"),
        pytest.param("D22_pattern_expansion", {"python:3.11.9"}, id="D22"),
        pytest.param("D22c_quoted_default", {"a.example/cli:latest"}, id="D22c"),
        pytest.param("D28_latin1", {"python:3.11"}, id="D28"),
        pytest.param("C01_stage_named_as_base", {"node"}, id="C01"),
        pytest.param("C02_copy_from_image", {"python:3.11", "ghcr.io/astral-sh/uv:latest"}, id="C02"),
        pytest.param("D13_lower_case", {"debian:bookworm-slim"}, id="D13"),
    ],
)
def test_the_images_that_the_engine_is_asked_for(name: str, images: set[str]) -> None:
    assert build_plan.images_of(build_plan.plan(dockerfile(name))) == images


def test_variables_are_replaced_as_buildkit_does() -> None:
    step = build_plan.plan(dockerfile("D23_quotes_and_escapes"))[0].steps
    assert [each.scope.expand(each.instruction.words[0]) for each in step] == ["$HOME/x", "$5"]


APP = {"app/main.py", "app/notes.txt", "app/data/big.bin"}
DOCS = {"docs/a.md", "docs/b.txt"}


@pytest.mark.parametrize(
    ("name", "files"),
    [
        pytest.param(
            "C03_exclude_1",
            {*APP, "docs/a.md", "docs/b.txt", "src/x/pyproject.toml", "src/x/y/pyproject.toml"},
            id="C03-1",
        ),
        pytest.param("C03_exclude_3", {"app/main.py", "app/notes.txt"}, id="C03-3"),
        pytest.param("C05_dotdot_1", DOCS, id="C05-1"),
        pytest.param("C05_dotdot_2", DOCS, id="C05-2"),
        pytest.param("C06_class_negated", {"b.txt"}, id="C06"),
        pytest.param("C09_mount_source", APP, id="C09-source"),
        pytest.param("C11_default", APP, id="C11"),
        pytest.param("C11_git", set(), id="C11-git"),
    ],
)
def test_the_files_that_a_step_depends_on(name: str, files: set[str]) -> None:
    assert taken(name) == files


def test_files_with_odd_names_and_whole_contexts() -> None:
    assert taken("C03_exclude_2") == {path for path in FILES if not path.endswith("/")} - {"README.md"}
    assert taken("C09_mount_whole") == {path for path in FILES if not path.endswith("/")}
    assert taken("D17_copy_json_comma", "one, two.txt") == {"one, two.txt"}
    assert taken("D17_copy_json_quote", 'a"b.txt') == {'a"b.txt'}


@pytest.mark.parametrize("name", ["C08_from_number", "C08_from_other_case"])
def test_a_stage_by_number_and_in_another_case(name: str) -> None:
    assert any(str(part) == "stage b" for part in keys(Inputs(read(FOLDER / name)))[-1].parts)


def ran_twice(
    text: str, first: dict[str, Any], second: dict[str, Any], ran: str
) -> list[cache_model.Verdict]:
    """Two builds of one text with other inputs; `ran` holds one letter a step of the second: r(an) or c(ached)."""
    before, after = Inputs(text, **first), Inputs(text, **second)
    steps = [
        Step(
            f"[{'' if len(after.planned()) == 1 else f'stage-{key.stage} '}{key.number}/9] {key.instruction}",
            cached=letter == "c",
            done=True,
        )
        for key, letter in zip(keys(after), ran, strict=True)
    ]
    return explain(
        Recorded(before, BuildReport("sha256:0", None, steps)),
        Recorded(after, BuildReport("sha256:0", None, steps)),
    )


def test_c01_c02_a_new_image_explains_the_step() -> None:
    for name, image in (
        ("C01_stage_named_as_base", "node"),
        ("C02_copy_from_image", "ghcr.io/astral-sh/uv:latest"),
    ):
        text = read(FOLDER / name).replace(" AS node", "")
        verdicts = ran_twice(
            text,
            {"bases": {image: "1", "python:3.11": "p"}},
            {"bases": {image: "2", "python:3.11": "p"}},
            "r" * len(keys(Inputs(text))),
        )
        assert (
            verdicts[0].agrees
            and ("the base image changed" if image == "node" else f"image {image} changed") in verdicts[0].why
        )


def test_d21_the_argument_that_changed_is_named() -> None:
    text = read(FOLDER / "D21_two_names")
    assert pairs("TARGETOS TARGETARCH", "ARG") == [("TARGETOS", None), ("TARGETARCH", None)]
    (verdict,) = ran_twice(
        text, {"buildargs": {"TARGETARCH": "amd64"}}, {"buildargs": {"TARGETARCH": "arm64"}}, "r"
    )
    assert verdict.agrees and verdict.why == "build argument TARGETARCH changed"


@pytest.mark.parametrize(
    ("text", "bases", "why"),
    [
        ("FROM a\nADD https://example.org/x /x\n", {"a": "1"}, "what https://example.org/x holds"),
        (
            "FROM a\nADD git@example.org:team/repo.git#v1 /x\n",
            {"a": "1"},
            "what git@example.org:team/repo.git#v1 holds",
        ),
        ("FROM a\nRUN x\n", {"a": ""}, "the image a, which the engine did not have"),
        ("FROM a\nCOPY --from=b /x /x\n", {"a": "1", "b": ""}, "the image b, which the engine did not have"),
        (
            "FROM a\nRUN --mount=from=b,target=/x y\n",
            {"a": "1", "b": ""},
            "the image b, which the engine did not have",
        ),
        ("# syntax=example.org/other\nFROM a\nRUN x\n", {"a": "1"}, "how example.org/other reads"),
    ],
)
def test_what_the_model_cannot_see_it_says(text: str, bases: dict[str, str], why: str) -> None:
    text += "RUN later\n"
    first, later = ran_twice(text, {"bases": bases}, {"bases": bases}, "rr")
    assert (
        not first.known
        and first.cause == "unknown"
        and first.why.startswith("the model does not know")
        and why in first.why
    )
    assert later.agrees and (later.why.startswith("an earlier step ran") or not later.known)
    assert [each.agrees for each in ran_twice(text, {"bases": bases}, {"bases": bases}, "cc")] == [True, True]


def test_pinned_sources_are_known() -> None:
    for source in (
        f"--checksum=sha256:{'0' * 64} https://example.org/x",
        f"https://example.org/x.git#{'0' * 40}",
    ):
        (verdict,) = ran_twice(f"FROM scratch\nADD {source} /x\n", {}, {}, "r")
        assert verdict.known and "had left the cache" in verdict.why


def test_links_parents_and_mounts_are_followed() -> None:
    def files(text: str, **links: str) -> set[str]:
        return {
            part.name
            for part in keys(Inputs(text, dict.fromkeys((*FILES, *links), "1"), links=links))[-1].parts
            if part.kind == "file"
        }

    assert files("FROM a\nCOPY link /x\n", link="a.txt") == {"a.txt"}
    assert files("FROM a\nCOPY link/a.md /x\n", link="../docs") == {"docs/a.md"}
    assert files("FROM a\nCOPY l* /x\n", link="a.txt") == {"a.txt"}
    assert files("FROM a\nCOPY round /x\n", round="round") == {"round"}
    assert files("FROM a\nCOPY --parents **/pyproject.toml /x\n") == {
        "src/x/pyproject.toml",
        "src/x/y/pyproject.toml",
        "src/",
        "src/x/",
        "src/x/y/",
    }
    assert files("FROM a\nCOPY --parents src/./x/*.toml /x\n") == {"src/x/pyproject.toml", "src/x/"}
    assert files("FROM a\nCOPY [z /x\n") == set()


def test_the_triggers_of_a_base_are_steps() -> None:
    images = {"a": Image({"SRC": "docs"}, "/srv", ("COPY a.txt .", "RUN x"))}
    inputs = Inputs("FROM a\nCOPY $SRC d\nRUN y\n", dict.fromkeys(FILES, "1"), images=images)
    steps = inputs.planned()[0].steps
    assert [(step.number, str(step)) for step in steps] == [
        (2, "ONBUILD COPY a.txt ."),
        (3, "ONBUILD RUN x"),
        (4, "COPY $SRC d"),
        (5, "RUN y"),
    ]
    assert {part.name for part in keys(inputs)[2].parts if part.kind == "file"} == {"docs/", *DOCS}


def test_numbers_are_those_that_buildkit_gives() -> None:
    text = "FROM a\nWORKDIR /\nRUN x\nFROM scratch\nCOPY a.txt /\nFROM empty\nCOPY a.txt /\n"
    planned = build_plan.plan(parse(text), images={"empty": Image(layers=False)})
    assert [[step.number for step in stage.steps] for stage in planned] == [[2], [1], [1]]


def line_of(text: str, *names: str, failed: int = -1) -> int:
    """The line that is blamed where the step `names[failed]` failed."""
    steps = [Step(name, digest=str(number)) for number, name in enumerate(names)]
    return build_plan.locate(steps[failed], build_plan.plan(parse(text)), steps)


@pytest.mark.parametrize(
    ("text", "names", "line"),
    [
        pytest.param(
            read(FOLDER / "B01_prefix"), ["[2/3] RUN pip install a", "[3/3] RUN pip install a b"], 3, id="B01"
        ),
        pytest.param(read(FOLDER / "B03_same_text"), ["[b 2/2] RUN make"], 4, id="B03"),
        pytest.param("FROM x\nrun false\n", ["[2/2] RUN false"], 2, id="B04-lower"),
        pytest.param("FROM x\nrun\tfalse\n", ["[2/2] RUN\tFALSE"], 2, id="B04-tab"),
        pytest.param("FROM x\nENV V=a\nCOPY ${V} /x\n", ["[2/2] COPY a /x"], 3, id="B04-variable"),
        pytest.param("FROM x\nCOPY $HOME /x\n", ["[2/2] COPY /root /x"], 2, id="variable of the base"),
        pytest.param(
            "FROM x\nRUN a\nRUN a\n",
            ["[2/4] ONBUILD RUN t", "[3/4] RUN a", "[4/4] RUN a"],
            3,
            id="behind a trigger",
        ),
        pytest.param("FROM x\nRUN a\n", ["[3/3] RUN a", "[2/3] ONBUILD RUN a"], 1, id="a trigger"),
        pytest.param(
            "FROM x\nWORKDIR /\nRUN a\nRUN a\n", ["[2/4] RUN a", "[3/4] RUN a"], 4, id="behind WORKDIR /"
        ),
        pytest.param(
            "FROM x AS s\nRUN a\nFROM s\nRUN a\nFROM y AS s\nRUN b\n",
            ["[s 2/2] RUN a", "[s 2/2] RUN b"],
            6,
            id="stages of one name",
        ),
        pytest.param(
            "FROM x AS s\nRUN a\nFROM y AS s\nRUN a\n", ["[s 2/2] RUN a"], 0, id="stages of one name and text"
        ),
        pytest.param(
            "FROM x\nRUN <<EOF\na\nb\nEOF\nRUN c\n",
            ["[3/3] RUN c", "[2/3] RUN <<EOF (a...)"],
            2,
            id="heredoc",
        ),
        pytest.param("FROM x\nRUN a \\\n  b\n", ["[2/2] RUN a   b"], 2, id="continued"),
        pytest.param(
            "FROM x\nCOPY --from=y a b\nRUN c\n",
            ["[stage-0 2/3] COPY --from=y a b", "[stage-0 3/3] RUN c"],
            3,
            id="with a further image",
        ),
    ],
)
def test_the_line_of_a_failed_step(text: str, names: list[str], line: int) -> None:
    assert line_of(text, *names) == line


def blamed(tmp_path: Path, text: str, name: str, error: str, log: str = "") -> BuildFailed:
    """What is said where this step failed with this error."""
    (tmp_path / "Dockerfile").write_text(text)
    trace = Trace()
    trace._steps = {"a": Step(name, digest="a", error=error, log=log)} if name else {}
    trace.error = error
    return build_trace.failure(trace, tmp_path / "Dockerfile", {})


NOT_YET = "is not valid yet (invalid for another 3h 5min 2s). Updates for this repository will not be applied."  # as apt says it


def ended(code: int, command: str = "x") -> str:
    return f'process "/bin/sh -c {command}" did not complete successfully: exit code: {code}'


@pytest.mark.parametrize(
    ("text", "name", "error", "log", "line", "why"),
    [
        pytest.param(
            read(FOLDER / "B05_not_found"),
            "[2/2] RUN gcc -o a a.c",
            ended(127),
            "/bin/sh: 1: gcc: not found\n",
            2,
            "The program gcc is not in the image",
            id="B05",
        ),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(127),
            "/bin/bash: line 1: y: command not found\n",
            2,
            "The program y is not",
        ),
        ("FROM x\nRUN y\n", "[2/2] RUN y", ended(127), "", 2, "A program that the step calls is not"),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(126),
            "/bin/sh: 1: y: Permission denied\n",
            2,
            "cannot be executed",
        ),
        ("FROM x\nRUN y\n", "[2/2] RUN y", ended(137), "Killed\n", 2, "the memory ran out"),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(1),
            "COPY failed: x: not found\nno such package: No matching distribution\npermission denied\n",
            2,
            "",
        ),
        ("FROM x\nRUN y\n", "[2/2] RUN y", ended(1, "echo no space left on device"), "a: not found\n", 2, ""),
        (
            "FROM x\nRUN pip install a\n",
            "[2/2] RUN pip install a",
            ended(1),
            "ERROR: No matching distribution found for a\n",
            2,
            "pip found no such package",
        ),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(100),
            "E: Unable to locate package a\n",
            2,
            "apt does not know",
        ),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(1),
            "ERROR: Could not install: [SSL: CERTIFICATE_VERIFY_FAILED]\n",
            2,
            "does not trust the certificate",
        ),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(6),
            "curl: (6) Could not resolve host: a\n",
            2,
            "no network",
        ),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(100),
            f"E: Release file for http://a/InRelease {NOT_YET}\n",
            2,
            "the clock of the machine",
        ),
        (
            "FROM x\nRUN y\n",
            "[2/2] RUN y",
            ended(60),
            "curl: (60) SSL certificate problem: certificate is not yet valid\n",
            2,
            "the clock of the machine",
        ),
        ("FROM x\nRUN y\n", "[2/2] RUN y", ended(1), f"echo: the Release file {NOT_YET}\n", 2, ""),
        (
            "FROM a/y:1\n",
            "[internal] load metadata for docker.io/a/y:1",
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: "
            "current time 2020-01-01T00:00:00Z is before 2026-01-01T00:00:00Z",
            "",
            1,
            "the clock of the machine",
        ),
        (
            "FROM x\nCOPY y /z\n",
            "[2/2] COPY y /z",
            'failed to calculate checksum of ref a::b: "/y": not found',
            "",
            2,
            "not in the context",
        ),
        (
            "FROM x AS s\nFROM x\nCOPY --from=s /y /z\n",
            "[stage-1 2/2] COPY --from=s /y /z",
            "lstat /y: no such file or directory",
            "",
            3,
            "not in the stage or image",
        ),
        (
            "FROM x\nRUN --mount=source=y,target=/z a\n",
            "[stage-0 2/2] RUN --mount=source=y,target=/z a",
            'failed to calculate checksum of ref a::b: "/y": not found',
            "",
            2,
            "A --mount names a file",
        ),
        (
            "# a\n\nFROM y\nRUN a\n",
            "[internal] load metadata for docker.io/library/y:latest",
            'failed to do request: Head "https://r": dial tcp: lookup r: no such host',
            "",
            3,
            "no registry answers",
        ),
        (
            "FROM a/y:1\n",
            "[internal] load metadata for docker.io/a/y:1",
            "toomanyrequests: You have reached your pull rate limit",
            "",
            1,
            "allows no more pulls",
        ),
        (
            "FROM a/y:1\n",
            "[internal] load metadata for docker.io/a/y:1",
            "no match for platform in manifest: not found",
            "",
            1,
            "not for the platform",
        ),
        (
            "FROM scratch\nCOPY --from=y /a /b\n",
            "[internal] load metadata for docker.io/library/y:latest",
            "pull access denied, repository does not exist",
            "",
            2,
            "no such image",
        ),
        (
            "# syntax=docker/dockerfile:1\nFROM y\n",
            "resolve image config for docker-image://docker.io/docker/dockerfile:1",
            "failed to do request",
            "",
            1,
            "The `# syntax=` line asks",
        ),
        ("FROM x\nRUN <<EOF\n", "", "unterminated heredoc", "", 0, "A heredoc has no end"),
        (
            "FROM x\nRUNN y\n",
            "",
            "dockerfile parse error on line 2: unknown instruction: RUNN",
            "",
            2,
            "syntax error",
        ),
    ],
)
def test_the_cause_comes_from_the_step(
    tmp_path: Path, text: str, name: str, error: str, log: str, line: int, why: str
) -> None:
    said = blamed(tmp_path, text, name, error, log)
    assert said.what.startswith(f"Dockerfile line {line} failed" if line else "Dockerfile failed")
    assert why in said.why if why else "A COPY" not in said.why and said.fix.startswith("Read the last lines")


@pytest.mark.parametrize("name", ["X01_chown", "X01_chmod"])
def test_x01_what_ships_with_flags(name: str) -> None:
    flag = "--chown=app:app" if name.endswith("chown") else "--chmod=0755"
    assert stages.shipped(read(FOLDER / name), ImageReport("x", [Layer(f"COPY {flag} /x /y", 1000)], {})) == {
        "b": 1000
    }


def test_C10_a_link_whose_target_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /x/\n")
    (tmp_path / "link").symlink_to(os.fsdecode(b"t\xe4rget"))
    first = context_files(tmp_path)["link"]
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(os.fsdecode(b"t\xf6rget"))
    assert context_files(tmp_path)["link"] != first


@pytest.mark.engine
def test_images_are_asked_of_the_engine_and_explain_steps(
    tmp_path: Path, client: docker.DockerClient
) -> None:
    """C01, C02 and D28 on the engine; no base is needed."""
    mark, tags = os.urandom(6).hex(), ("dockerlab-test-case:tool", "dockerlab-test-case:out")
    tool, place = tmp_path / "tool", tmp_path / "place"
    copy = (
        b"# gr\xfcn\nFROM dockerlab-test-case:tool AS tool\nCOPY --from=dockerlab-test-case:tool /tool/a /b\n"
    )
    for folder, text in ((tool, b"FROM scratch\nCOPY a /tool/a\n"), (place, copy)):
        folder.mkdir()
        (folder / "Dockerfile").write_bytes(text)
    try:
        diary = BuildDiary(place, tags[1], client)
        for content in ("one", "two"):
            (tool / "a").write_text(mark + content)
            build(tool, tag=tags[0], client=client)
            diary.build()
        assert read_inputs(place, client=client).bases.keys() == {tags[0]}
        (verdict,) = diary.explain()
        assert (
            verdict.ran
            and verdict.agrees
            and "the base image changed" in verdict.why
            and f"image {tags[0]} changed" in verdict.why
        )
    finally:
        for tag in tags:
            client.images.remove(tag, force=True)
