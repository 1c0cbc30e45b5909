"""Which tests run in one process, one after the other, when several processes share them."""

from __future__ import annotations

import pytest

from tests.plugins import lanes


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("notebooks/05_ship_only_what_runs.ipynb::Cell 3", "notebooks/05_ship_only_what_runs.ipynb"),
        ("solutions/05_shrink_the_image/lab.ipynb::Cell 0", "solutions/05_shrink_the_image/lab.ipynb"),
        ("tests/images/test_image.py::test_it[a::b]", "tests/images/test_image.py"),
        ("tests/labs/test_labs.py::test_a_submission_is_judged_by_what_it_does[05-wrong_root]", "lab 05"),
        ("tests/labs/test_labs.py::test_the_solution_passes[05_shrink_the_image]", "lab 05"),
        ("notebooks/00_start_here.ipynb::Cell 1", "first lessons"),
        ("tests/repository/test_trust_notebooks.py::test_it", "first lessons"),
        ("notebooks/11_run_in_production.ipynb::Cell 1", "swarm and neighbours"),
        ("solutions/08_compose_three_lines/lab.ipynb::Cell 1", "swarm and neighbours"),
        ("tests/labs/test_labs.py::test_the_solution_passes[11_ship_a_release]", "swarm and neighbours"),
    ],
)
def test_what_belongs_together_stays_together(nodeid: str, group: str) -> None:
    assert lanes.group(nodeid) == group


def test_what_takes_longest_is_handed_out_first() -> None:
    names = [
        "tests/images/test_image.py",
        "lab 03",
        "notebooks/06_weigh_images_for_ml.ipynb",
        "swarm and neighbours",
        "notebooks/05_ship_only_what_runs.ipynb",
    ]
    assert sorted(names, key=lanes.rank) == [
        "swarm and neighbours",
        "notebooks/06_weigh_images_for_ml.ipynb",
        "lab 03",
        "tests/images/test_image.py",
        "notebooks/05_ship_only_what_runs.ipynb",
    ]
