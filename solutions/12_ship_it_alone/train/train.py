"""Train the wall classifier with nothing but NumPy, and write it as ONNX.

    python train/train.py model/walls.onnx                 # about a minute on two cores
    python train/train.py other.onnx --pictures 200 --epochs 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from walls import LABELS, draw

SIDE = 64
CHANNELS = (3, 12, 24, 32, 48)
BATCH = 50
Arrays = list[np.ndarray]


def pictures(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` pictures from seed `first` on, as the server sees them (N x 3 x 64 x 64, 0 to 1), and their labels."""
    drawn = [draw(seed) for seed in range(first, first + count)]
    pixels = [np.asarray(image.resize((SIDE, SIDE), 2), np.float32).transpose(2, 0, 1) / 255 for image, _ in drawn]
    return np.stack(pixels), np.array([label for _, label in drawn])


def patches(x: np.ndarray) -> np.ndarray:
    """Every 3 x 3 neighbourhood at stride 2, with one pixel of padding: N x H x W x (C * 9)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1, 4, 5)).reshape(len(x), windows.shape[2], windows.shape[3], -1)


def spread(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The reverse of `patches`: add the gradient of each neighbourhood to its pixels."""
    count, channels, height, width = shape
    rows, columns = gradient.shape[1:3]
    parts = gradient.reshape(count, rows, columns, channels, 3, 3).transpose(0, 3, 1, 2, 4, 5)
    total = np.zeros((count, channels, height + 2, width + 2), np.float32)
    for y in range(3):
        for x in range(3):
            total[:, :, y : y + 2 * rows : 2, x : x + 2 * columns : 2] += parts[..., y, x]
    return total[:, :, 1:-1, 1:-1]


def forward(weights: Arrays, x: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, tuple[int, ...], np.ndarray]], np.ndarray]:
    """Logits, what the layers saw, and the pooled features (mean and maximum of each channel)."""
    seen = []
    for layer in range(len(CHANNELS) - 1):
        cut = patches(x)
        y = np.maximum(cut @ weights[2 * layer] + weights[2 * layer + 1], 0).transpose(0, 3, 1, 2)
        seen.append((cut, x.shape, y))
        x = y
    features = np.concatenate([x.mean((2, 3)), x.max((2, 3))], axis=1)
    return features @ weights[-2] + weights[-1], seen, features


def backward(weights: Arrays, x: np.ndarray, labels: np.ndarray) -> tuple[float, Arrays]:
    """The cross-entropy of a batch and its gradients, in the order of the weights."""
    logits, seen, features = forward(weights, x)
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    loss = -np.log(chances[np.arange(len(x)), labels] + 1e-9).mean()
    delta = chances
    delta[np.arange(len(x)), labels] -= 1
    delta /= len(x)
    gradients = [features.T @ delta, delta.sum(0)]
    pooled = delta @ weights[-2].T
    last = seen[-1][2]
    size = last.shape[2] * last.shape[3]
    mean, most = np.split(pooled, 2, axis=1)
    highest = last == last.max((2, 3), keepdims=True)
    back = mean[..., None, None] / size + most[..., None, None] * highest / highest.sum((2, 3), keepdims=True)
    for layer in reversed(range(len(seen))):
        cut, shape, y = seen[layer]
        inner = (back * (y > 0)).transpose(0, 2, 3, 1)
        gradients = [cut.reshape(-1, cut.shape[-1]).T @ inner.reshape(-1, inner.shape[-1]), inner.sum((0, 1, 2)), *gradients]
        if layer:
            back = spread(inner @ weights[2 * layer].T, shape)
    return float(loss), gradients


def train(count: int, epochs: int, seed: int = 7) -> Arrays:
    """Weights of the network, by Adam."""
    chance = np.random.default_rng(seed)
    weights: Arrays = []
    for before, after in zip(CHANNELS, CHANNELS[1:], strict=False):
        weights += [chance.normal(0, (2 / (9 * before)) ** 0.5, (9 * before, after)).astype(np.float32), np.zeros(after, np.float32)]
    weights += [chance.normal(0, 0.05, (2 * CHANNELS[-1], len(LABELS))).astype(np.float32), np.zeros(len(LABELS), np.float32)]
    x, labels = pictures(0, count)
    moments = [(np.zeros_like(each), np.zeros_like(each)) for each in weights]
    step, steps = 0, epochs * -(-count // BATCH)
    for epoch in range(epochs):
        losses = []
        for chosen in np.array_split(chance.permutation(count), -(-count // BATCH)):
            batch = x[chosen] if chance.random() < 0.5 else x[chosen][..., ::-1]
            loss, gradients = backward(weights, batch, labels[chosen])
            losses.append(loss)
            step += 1
            rate = 0.004 * (1 - step / (steps + 1))
            for number, gradient in enumerate(gradients):
                first, second = moments[number]
                first += 0.1 * (gradient - first)
                second += 0.001 * (gradient**2 - second)
                scaled = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
                weights[number] = (weights[number] - rate * scaled).astype(np.float32)
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}", flush=True)
    return weights


def as_onnx(weights: Arrays) -> onnx.ModelProto:
    """The same network as an ONNX graph: `picture` (N x 3 x 64 x 64, 0 to 1) in, `scores` (N x 4) out."""
    nodes, stored, name = [], [], "picture"
    for layer in range(len(CHANNELS) - 1):
        kernel = weights[2 * layer].reshape(CHANNELS[layer], 3, 3, CHANNELS[layer + 1]).transpose(3, 0, 1, 2)
        stored += [numpy_helper.from_array(np.ascontiguousarray(kernel), f"w{layer}"), numpy_helper.from_array(weights[2 * layer + 1], f"b{layer}")]
        # Half of the pictures' sides are even: one pixel of padding before, and as many as fit after.
        nodes.append(helper.make_node("Conv", [name, f"w{layer}", f"b{layer}"], [f"c{layer}"], strides=[2, 2], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        name = f"r{layer}"
    stored += [numpy_helper.from_array(weights[-2], "w"), numpy_helper.from_array(weights[-1], "b")]
    nodes += [
        helper.make_node("GlobalAveragePool", [name], ["mean"]),
        helper.make_node("GlobalMaxPool", [name], ["most"]),
        helper.make_node("Concat", ["mean", "most"], ["both"], axis=1),
        helper.make_node("Flatten", ["both"], ["features"]),
        helper.make_node("Gemm", ["features", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "walls", [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(LABELS)])], stored,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(model, {"labels": ",".join(LABELS)})
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Train, say how often the network is right on pictures that it has not seen, and save it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--pictures", type=int, default=2400)
    parser.add_argument("--epochs", type=int, default=16)
    options = parser.parse_args()
    weights = train(options.pictures, options.epochs)
    x, labels = pictures(500_000, 400)
    right = (forward(weights, x)[0].argmax(1) == labels).mean()
    print(f"right on {right:.1%} of {len(x)} new pictures")
    options.file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(as_onnx(weights), options.file)


if __name__ == "__main__":
    main()
