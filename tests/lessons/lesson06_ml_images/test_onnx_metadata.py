"""Class names of an ONNX file are read and changed without touching anything else in it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from dockerlab.core.settings import ROOT
from dockerlab.lessons.lesson06_ml_images.onnx_metadata import NotAModel, class_names, renamed

sys.path.insert(0, str(ROOT / "assets/detection-api/tests"))
import tiny_model


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    return tiny_model.write(tmp_path / "tiny.onnx").read_bytes()


def test_names_are_those_that_the_runtime_reads(model: bytes) -> None:
    assert class_names(model) == tiny_model.NAMES


def test_other_names_and_nothing_else(model: bytes) -> None:
    changed = renamed(model, {"ship": "Schiff, groß"})
    assert class_names(changed) == {0: "container", 1: "Schiff, groß"}
    before, after = onnx.load_from_string(model), onnx.load_from_string(changed)
    del before.metadata_props[:], after.metadata_props[:]
    assert before == after


def test_the_runtime_takes_the_changed_file(model: bytes) -> None:
    session = onnxruntime.InferenceSession(
        renamed(model, {"ship": "bateau"}), providers=["CPUExecutionProvider"]
    )
    assert "bateau" in session.get_modelmeta().custom_metadata_map["names"]
    rows = (
        session.run(None, {})[0]
        if not session.get_inputs()
        else session.run(None, {"images": np.zeros((1, 3, 64, 64), np.float32)})[0]
    )
    assert rows.shape[-1] == 6


def test_what_is_no_model_is_refused(model: bytes) -> None:
    for broken in (
        b"",
        model[:-5],
        b"<html>not found</html>",
        onnx.ModelProto(ir_version=8).SerializeToString(),
    ):
        with pytest.raises(NotAModel):
            class_names(broken)
