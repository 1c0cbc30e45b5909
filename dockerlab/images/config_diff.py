"""What an instruction of a Dockerfile leaves in an image: the difference of two `docker image inspect` documents. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dockerlab.engine.object_labels import COURSE_LABEL

COLUMNS = ["what", "before", "after"]
LAYERS = "layers"
_PLAIN = ("User", "WorkingDir", "Entrypoint", "Cmd", "Shell", "StopSignal", "OnBuild")
_OURS = COURSE_LABEL.split(".")[0] + "."


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each thing that `after` has otherwise than `before`: a key of the config, or the number of layers.

    Both are documents of `docker image inspect`. Labels that the course itself puts on every image are left out.
    """
    old, new = _settings(before.get("Config") or {}), _settings(after.get("Config") or {})
    rows = [
        (key, old.get(key, ""), new.get(key, ""))
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    more = _layers(after) - _layers(before)
    rows += [(LAYERS, "", f"{more:+d}")] if more else []
    return pd.DataFrame(rows, columns=COLUMNS)


def effects(changed: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Instruction -> its `changes`, as one table: whether it adds a layer, and which keys of the config it sets."""
    rows = [
        (
            name,
            bool((frame["what"] == LAYERS).any()),
            ", ".join(dict.fromkeys(what.split()[0] for what in frame["what"] if what != LAYERS)),
        )
        for name, frame in changed.items()
    ]
    return pd.DataFrame(rows, columns=["instruction", "adds a layer", "config keys"])


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    """The config as flat text: `Env NAME`, `Labels NAME` and so on, each written as in a Dockerfile."""
    flat = {
        f"Env {name}": value for name, _, value in (item.partition("=") for item in config.get("Env") or [])
    }
    flat |= {
        f"Labels {name}": value
        for name, value in (config.get("Labels") or {}).items()
        if not name.startswith(_OURS)
    }
    for key in ("ExposedPorts", "Volumes"):
        flat |= {key: " ".join(sorted(config[key]))} if config.get(key) else {}
    flat |= {
        key: config[key] if isinstance(config[key], str) else json.dumps(config[key])
        for key in _PLAIN
        if config.get(key)
    }
    if check := config.get("Healthcheck"):
        flat["Healthcheck"] = " ".join(
            [
                *(f"{key}={check[key] / 1e9:g}s" for key in ("Interval", "Timeout") if check.get(key)),
                json.dumps(check.get("Test")),
            ]
        )
    return flat


def _layers(document: Mapping[str, Any]) -> int:
    return len((document.get("RootFS") or {}).get("Layers") or [])
