"""Two answers are the same when they say the same, in any order, and differ when they differ."""

from __future__ import annotations

import json

import pytest

from dockerlab.notebook.cli_and_python import BothWays, column, which


@pytest.mark.parametrize(
    ("cli", "python", "same"),
    [
        (["b", "a"], ["a", "b"], True),
        (["a "], ("a",), True),
        (["tick 1", "tick 2"], b"tick 1\ntick 2\n", True),
        (0, 0, True),
        ("64MiB", "64MiB", True),
        ([], [], True),
        (["a"], ["a", "a"], False),
        (True, False, False),
        (["x" * 70 + "1"], ["x" * 70 + "2"], False),  # they look alike in the table, which cuts long answers
    ],
)
def test_answers(cli, python, same) -> None:
    table = BothWays().add("docker ps", cli, python)
    assert table.all_same is same
    assert bool(table.frame()["same"].iloc[0]) is same


def test_nothing_asked_is_not_the_same() -> None:
    assert not BothWays().all_same


def test_one_difference_is_enough() -> None:
    table = BothWays().add("docker ps", ["a"], ["a"]).add("docker images", ["a"], [])
    assert not table.all_same
    assert table.commands == ["docker ps", "docker images"]
    assert table.frame().loc["docker images", "docker-py says"] == "nothing"
    assert "docker images" in table._repr_html_() and "docker images" in repr(table)


def test_columns_of_json_lines() -> None:
    lines = [json.dumps({"Repository": "a", "Tag": "1"}), json.dumps({"Repository": "b", "Tag": "2"})]
    assert column(lines, "Repository", "Tag") == ["a:1", "b:2"]
    assert column(lines, "Tag") == ["1", "2"]


def test_what_is_no_json_is_kept_for_the_reader_to_see() -> None:
    assert column(["Error response from daemon: no", "7", '{"Names": "a"}'], "Names") == [
        "Error response from daemon: no",
        "7",
        "a",
    ]


def test_which_of_two() -> None:
    assert which({"a": True, "b": False}) == "a"
    assert which({"a": True, "b": True}) == "both"
    assert which({"a": False, "b": False}) == "neither"


def test_pairs_read_as_words() -> None:
    assert (
        BothWays().add("df", {"networks": 0}.items(), {"networks": 0}.items()).frame().loc["df", "CLI says"]
        == "networks 0"
    )
