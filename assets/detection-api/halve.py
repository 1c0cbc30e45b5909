"""Keep a model's weights in half precision: `python halve.py model/harbour-n.onnx`.

Each large float32 tensor is stored as float16 and cast back where the graph begins, so the server computes with float32 as before; the
runtime folds the casts away when it loads the file. Exit code 1 with one sentence when a weight does not fit into float16.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

LEAST_VALUES = 1000  # smaller tensors (biases) would save less than their cast costs


def halve(path: Path) -> tuple[int, int]:
    """Write the file anew; returns its bytes before and after. Raises ValueError when float16 cannot hold a weight."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model, before = onnx.load(path), path.stat().st_size
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_VALUES:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"{tensor.name} holds weights that are too large for half precision; leave {path} as it is.")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return before, path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the .onnx file, which is written anew")
    path = parser.parse_args().model
    try:
        before, after = halve(path)
    except ValueError as error:
        sys.exit(str(error))
    print(f"{path}: {before / 1e6:.1f} MB -> {after / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
