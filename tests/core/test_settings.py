"""Settings: environment over course.local.toml over the machine's own configuration over the public internet."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import load_site


def test_order_of_sources(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PIP_INDEX_URL": "https://pip.example/simple"}
    assert load_site(tmp_path, environ).index_url == "https://pip.example/simple"
    (tmp_path / "course.local.toml").write_text('index_url = "https://class.example/simple/"\n')
    assert load_site(tmp_path, environ).index_url == "https://class.example/simple"
    environ["DOCKERLAB_INDEX_URL"] = "https://mine.example/simple"
    assert load_site(tmp_path, environ).index_url == "https://mine.example/simple"


def test_wheels_are_found_in_the_folder_that_pip_is_told(tmp_path: Path) -> None:
    (tmp_path / "torch-1.0-py3-none-any.whl").touch()
    site = load_site(
        tmp_path / "none", {"HOME": str(tmp_path), "PIP_FIND_LINKS": f"https://somewhere.example {tmp_path}"}
    )
    assert [wheel.name for wheel in site.wheels()] == ["torch-1.0-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("index_ulr = 'x'", "index_ulr"), ("index_url = ", "cannot be read"), ("bases_source = 'moon'", "moon")],
)
def test_a_misspelt_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "course.local.toml").write_text(text + "\n")
    with pytest.raises(CourseError, match=expected):
        load_site(tmp_path, {"HOME": str(tmp_path)})
