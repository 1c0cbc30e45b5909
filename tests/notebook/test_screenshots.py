"""Which notebooks are looked at, and that a problem is named; the browser itself is started by hand (tools/screenshots.py)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from dockerlab.core.settings import ROOT

pytest.importorskip("playwright")
_spec = importlib.util.spec_from_file_location("screenshots", ROOT / "tools/screenshots.py")
assert _spec and _spec.loader
screenshots = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(screenshots)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    for name in (
        "notebooks/00_start.ipynb",
        "notebooks/05_ship.ipynb",
        "labs/05_shrink/lab.ipynb",
        "labs/.saved/05-1/lab.ipynb",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], ["00_start", "05_ship"]),
        (["05"], ["05_ship", "lab"]),
        (["05_shrink"], ["lab"]),
        (["00"], ["00_start"]),
    ],
)
def test_names_choose_lessons_and_labs(course: Path, names: list[str], found: list[str]) -> None:
    assert [path.stem for path in screenshots.lessons(names, course)] == found


def test_an_unknown_name_is_refused(course: Path) -> None:
    with pytest.raises(SystemExit, match="77"):
        screenshots.lessons(["77"], course)


def test_the_settings_never_save_and_choose_the_theme(tmp_path: Path) -> None:
    screenshots._settings(tmp_path, dark=True)
    read = {path.name: json.loads(path.read_text()) for path in tmp_path.rglob("*.jupyterlab-settings")}
    assert read["plugin.jupyterlab-settings"] == {"autosave": False}
    assert read["themes.jupyterlab-settings"]["theme"] == "JupyterLab Dark"
