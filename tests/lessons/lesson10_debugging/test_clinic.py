"""The clinic: set-ups that say how they are run, programs for two processors, a terminal to type at, and the map."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from dockerlab.core import elf
from dockerlab.core.errors import CourseError
from dockerlab.course import workspace
from dockerlab.lessons.lesson10_debugging import clinic, docker_run_options, measures
from dockerlab.lessons.lesson10_debugging.charts import decision_map, finding
from dockerlab.lessons.lesson10_debugging.terminal import typed

LOGS, INSPECT, PS = "docker logs", "docker inspect", "docker ps -a"
TABLE = pd.DataFrame(
    {
        "state": ["Exited (1)", "Created", "Up", "Exited (137)"],
        PS: [False] * 4,
        INSPECT: [False, True, False, False],
        LOGS: [True, False, True, False],
    },
    index=["exits", "port", "name", "nobody knows"],
)


def test_every_case_has_a_set_up_and_every_set_up_a_case() -> None:
    assert {path.name for path in clinic.SETUPS.iterdir()} == {*clinic.CASES, "models"}
    assert all((clinic.SETUPS / key / "Dockerfile").is_file() for key in clinic.CASES)


def test_the_fewest_commands_come_with_the_most_telling_first() -> None:
    assert clinic.fewest(TABLE) == [LOGS, INSPECT]


def test_the_map_states_what_it_shows_and_nothing_is_cut_off() -> None:
    assert finding(TABLE, [LOGS, INSPECT]) == "docker logs names 2 of 4 causes, with docker inspect 3"
    fig = decision_map(TABLE, [LOGS, INSPECT])
    fig.draw_without_rendering()
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert texts == ["●", "●", "●"] and fig.bbox.width == 800
    labels = fig.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels][0] == "Created · port"
    assert all(label.get_window_extent().x0 >= fig.bbox.x0 for label in labels)


def test_options_are_words_with_comments_and_places(tmp_path: Path) -> None:
    assert docker_run_options.read_options(tmp_path, {}) == []
    (tmp_path / "options.txt").write_text(
        '# why\n--memory 64m\n-v {volume}:/results  # kept\n-e "NOTE=two words"\n'
    )
    assert docker_run_options.read_options(tmp_path, {"volume": "v1"}) == [
        "--memory",
        "64m",
        "-v",
        "v1:/results",
        "-e",
        "NOTE=two words",
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("--name x", "--name"),
        ("--rm", "--rm"),
        ("-v {disk}:/a", "{disk}"),
        ('-e "A', "quote"),
        ("--label=a=b", "--label"),
    ],
)
def test_options_that_are_not_the_learners_to_set_are_named(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "options.txt").write_text(text)
    with pytest.raises(docker_run_options.BadOptions, match=word):
        docker_run_options.read_options(tmp_path, {"volume": "v1"})


def test_the_reason_is_the_engines_last_line() -> None:
    said = "docker: Error response from daemon: port is already allocated\n\nRun 'docker run --help' for more information\n"
    assert docker_run_options.reason(said) == "port is already allocated"
    assert docker_run_options.reason("") == ""


@pytest.mark.parametrize("architecture", elf.ARCHITECTURES)
def test_a_program_says_for_which_processor_it_was_made(architecture: str) -> None:
    assert elf.built_for(elf.program(architecture, "hello\n")) == architecture
    assert elf.other(elf.other(architecture)) == architecture != elf.other(architecture)


def test_other_files_were_made_for_none() -> None:
    assert elf.built_for(b"#!/bin/sh\n") == "no ELF file"


@pytest.mark.skipif(platform.system() != "Linux", reason="the programs are Linux programs")
def test_the_program_for_this_processor_runs(tmp_path: Path) -> None:
    here = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    (tmp_path / "hello").write_bytes(elf.program(here, "hello\n"))
    (tmp_path / "hello").chmod(0o755)
    assert (
        subprocess.run([tmp_path / "hello"], check=True, capture_output=True, timeout=10).stdout == b"hello\n"
    )


def test_typing_at_a_shell_shows_the_screen() -> None:
    screen = typed("sh", ["test -t 0 && echo a terminal", "exit"])
    assert "a terminal" in screen.splitlines()


def test_a_program_that_ends_by_itself_is_not_typed_at() -> None:
    assert typed("sh -c 'echo no shell here'", ["exit", "again"]) == "no shell here"


def test_a_program_that_never_ends_is_ended() -> None:
    with pytest.raises(CourseError, match="did not end"):
        typed("cat", [], timeout=0.5)


def test_the_script_of_lab_10_is_broken_by_its_line_ends_and_mended_without_them() -> None:
    solved, starter = workspace.derived_files(workspace.find("10"))
    script = Path("02_windows/count.sh")
    assert starter[script].startswith(b"#!/bin/sh\r\n") and b"\r" not in solved[script]


def test_every_set_up_of_lab_10_is_a_folder_with_a_dockerfile() -> None:
    solved, _ = workspace.derived_files(workspace.find("10"))
    assert {path.parts[0] for path in solved if path.name == "Dockerfile"} == set(measures.KEYS)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("size=1m", 2**20),
        ("rw,size=64M,mode=1777", 2**26),
        ("size=3000", 3000),
        ("rw", 0),
        ("", 0),
        ("size=50%", 0),
    ],
)
def test_the_size_of_a_tmpfs_is_read_from_its_options(options: str, size: int) -> None:
    assert measures._size(options) == size
