"""A detector that needs no training: an ONNX file that answers the same boxes whatever it sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
NAMES = {0: "container", 1: "ship"}
# In pixels of the model's square; the second is below the usual threshold, the third reaches over the edge.
ROWS = ((16, 24, 32, 40, 0.9, 0), (8, 8, 20, 20, 0.1, 1), (40, 20, 80, 44, 0.5, 1))


def write(path: Path, shape: tuple[int, ...] = (1, 300, 6)) -> Path:
    """Write the file; `shape` other than (1, N, 6) makes one that the server has to refuse."""
    values = np.zeros(shape, np.float32)
    if shape[-1] == 6:
        values[0, : len(ROWS)] = ROWS
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["output0"], value=numpy_helper.from_array(values))],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(shape))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"names": str(NAMES)})
    onnx.save(model, path)
    return path


def write_sum(path: Path, weights: np.ndarray) -> Path:
    """Write a file that adds `weights` to what it is given."""
    shape = list(weights.shape)
    graph = helper.make_graph(
        [helper.make_node("Add", ["given", "weights"], ["sum"])],
        "sum",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
