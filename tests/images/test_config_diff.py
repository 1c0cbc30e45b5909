"""What an instruction changed is read from two documents of `docker image inspect`."""

from __future__ import annotations

from typing import Any

import pytest

from dockerlab.images.config_diff import LAYERS, changes, effects

BASE: dict[str, Any] = {
    "Config": {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["python3"], "Labels": {"dockerlab.course": "1"}},
    "RootFS": {"Layers": ["a"]},
}


def _after(layers: int = 1, **config: Any) -> dict[str, Any]:
    return {"Config": BASE["Config"] | config, "RootFS": {"Layers": ["a", "b", "c"][:layers]}}


def _rows(after: dict[str, Any]) -> list[tuple[str, str, str]]:
    return list(changes(BASE, after).itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("after", "row"),
    [
        (_after(WorkingDir="/srv"), ("WorkingDir", "", "/srv")),
        (_after(Env=["PATH=/bin", "LANG=C", "A=1=2"]), ("Env A", "", "1=2")),
        (_after(Env=["PATH=/opt/bin", "LANG=C"]), ("Env PATH", "/bin", "/opt/bin")),
        (_after(Cmd=None), ("Cmd", '["python3"]', "")),
        (_after(ExposedPorts={"9000/tcp": {}, "8000/tcp": {}}), ("ExposedPorts", "", "8000/tcp 9000/tcp")),
        (_after(Volumes={"/data": {}}), ("Volumes", "", "/data")),
        (_after(Labels={"dockerlab.course": "2", "team": "x"}), ("Labels team", "", "x")),
        (_after(StopSignal="SIGINT"), ("StopSignal", "", "SIGINT")),
        (
            _after(Healthcheck={"Test": ["CMD", "true"], "Interval": 1_500_000_000}),
            ("Healthcheck", "", 'Interval=1.5s ["CMD", "true"]'),
        ),
        (_after(layers=3), (LAYERS, "", "+2")),
    ],
)
def test_one_change_is_one_row(after: dict[str, Any], row: tuple[str, str, str]) -> None:
    assert _rows(after) == [row]


def test_the_same_image_has_no_changes() -> None:
    assert _rows(_after()) == []
    assert _rows(_after(ArgsEscaped=True, Volumes=None, User="")) == []


def test_effects_tell_layers_from_settings() -> None:
    frames = {
        "WORKDIR": changes(BASE, _after(layers=2, WorkingDir="/srv")),
        "ENV": changes(BASE, _after(Env=["PATH=/bin", "LANG=C", "A=1", "B=2"])),
        "ARG": changes(BASE, _after()),
    }
    assert effects(frames).to_dict("records") == [
        {"instruction": "WORKDIR", "adds a layer": True, "config keys": "WorkingDir"},
        {"instruction": "ENV", "adds a layer": False, "config keys": "Env"},
        {"instruction": "ARG", "adds a layer": False, "config keys": ""},
    ]
