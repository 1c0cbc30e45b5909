"""The compose lesson's project: staged afresh, labelled whole, and asked about pictures that nobody has seen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
from PIL import Image

from dockerlab.core.settings import ROOT
from dockerlab.engine import object_labels
from dockerlab.lessons.lesson08_compose import project
from dockerlab.lessons.lesson08_compose.lab import SERVICES, _differences


def test_a_service_is_shown_up_to_the_next_empty_line() -> None:
    shown = project.excerpt(ROOT / "assets/stack/compose.yaml", "db").splitlines()
    assert shown[0] == "  db:" and all(shown) and any("pg_isready" in line for line in shown)


def test_no_two_pictures_are_the_same_and_all_can_be_read(tmp_path: Path) -> None:
    seen = set()
    for name, data in project.pictures(7):
        (tmp_path / name).write_bytes(data)
        assert Image.open(tmp_path / name).convert("RGB").size == (640, 480)
        seen.add(hashlib.sha256(data).hexdigest())
    assert len(seen) == 7


def test_staging_replaces_what_was_there_and_labels_every_service(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "old").touch()
    stack = project.stage(tmp_path / "stack")
    labels = json.loads((stack.folder / project.LABELS).read_text())
    assert not (stack.folder / "old").exists()
    assert set(labels["services"]) == {"api", "board", "cache", "db", "report"}
    assert (
        labels["networks"]["back"]["labels"][object_labels.COURSE_LABEL]
        == labels["volumes"]["rows"]["labels"][object_labels.COURSE_LABEL]
        == "1"
    )
    password = (stack.folder / "db_password.txt").read_text()
    assert (
        project.stage(tmp_path / "stack").folder == stack.folder
        and (stack.folder / "db_password.txt").read_text() != password
    )


def test_what_is_wrong_with_a_matrix_is_said_by_name() -> None:
    good = pd.DataFrame(
        {
            "api": [True] * 3,
            "cache": [True, True, False],
            "db": [True, False, True],
            "outside": [True, False, False],
        },
        index=list(SERVICES),
    )
    assert _differences(good) == []
    good.loc["cache", ["db", "outside"]] = True
    good.loc["api", "db"] = False
    assert _differences(good) == ["api does not reach db", "cache reaches db", "cache has a way out"]
