"""The client of the detection API: send a picture, look at the answer, compare two answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import requests

from dockerlab.core.errors import CourseError
from dockerlab.core.fetch import TooLarge, fetch
from dockerlab.core.settings import ASSETS, ROOT

REFERENCE = ROOT / "assets" / "model" / "reference.json"
COLUMNS = ["label", "score", "x1", "y1", "x2", "y2"]


class DetectionFailed(CourseError):
    """The picture was not sent, or the server did not answer with detections."""


@dataclass(frozen=True)
class Detection:
    """One object; corners in pixels of the picture, upright, origin at the top left."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float

    def iou(self, other: Detection) -> float:
        """Shared area over joint area of the two boxes, 0 to 1."""
        wide = min(self.x2, other.x2) - max(self.x1, other.x1)
        high = min(self.y2, other.y2) - max(self.y1, other.y1)
        if wide <= 0 or high <= 0:
            return 0.0
        areas = sum((box.x2 - box.x1) * (box.y2 - box.y1) for box in (self, other))
        return wide * high / (areas - wide * high)


@dataclass(frozen=True)
class Answer:
    """What the server found. Times in milliseconds, as the server measured them: decode, inference, total."""

    model: str
    backend: str
    width: int
    height: int
    detections: tuple[Detection, ...]
    milliseconds: dict[str, float] = field(default_factory=dict, compare=False)

    def frame(self) -> pd.DataFrame:
        """One row an object, best first: label, score with 2 digits, corners in whole pixels."""
        rows = [
            (
                each.label,
                round(each.score, 2),
                *(round(side) for side in (each.x1, each.y1, each.x2, each.y2)),
            )
            for each in self.detections
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def summary(self) -> str:
        """For example "9 containers, 2 cranes, 1 ship", most frequent first; "nothing found" without detections."""
        counts: dict[str, int] = {}
        for each in self.detections:
            counts[each.label] = counts.get(each.label, 0) + 1
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return (
            ", ".join(f"{count} {label}{'s' if count > 1 else ''}" for label, count in ordered)
            or "nothing found"
        )


def detect(url: str, image_path: str | Path, confidence: float = 0.25, timeout: float = 30) -> Answer:
    """Send one picture to the API at `url` (with or without /detect) and return what it found.

    `timeout` is in seconds. Raises DetectionFailed: unreadable file, no answer, refusal, another answer.
    """
    path = Path(image_path)
    try:
        data = path.read_bytes()
    except OSError as error:
        why = f"{error.strerror or error}."
        raise DetectionFailed(f"{path} cannot be read.", why, "Check the path of the picture.") from error
    address = url.rstrip("/").removesuffix("/detect") + "/detect"
    kind = {".png": "image/png", ".webp": "image/webp", ".bmp": "image/bmp"}.get(
        path.suffix.lower(), "image/jpeg"
    )
    try:
        # The name travels in a header; a plain one avoids trouble with letters outside ASCII.
        files = {"image": (f"picture{path.suffix.lower() if path.suffix.isascii() else ''}", data, kind)}
        reply = fetch(address, timeout, method="POST", files=files, params={"confidence": confidence})
    except requests.Timeout as error:
        raise DetectionFailed(
            f"{address} did not answer within {timeout:g} seconds.",
            "The container is still loading its model, or it has too little CPU.",
            "Look at the container's log and try again.",
        ) from error
    except requests.ConnectionError as error:
        raise DetectionFailed(
            f"Nothing answers at {address}.",
            "The container is not running, or its port is not published.",
            "Start it, and check the port with `docker ps`.",
        ) from error
    except TooLarge as error:
        raise DetectionFailed(
            error.what, "Another program listens on this port.", "Check the address."
        ) from error
    except requests.RequestException as error:
        raise DetectionFailed(
            f"{url!r} is not an address.", f"{error}.", "Write it like http://localhost:8000."
        ) from error
    if reply.status_code != 200:
        raise _refusal(reply, address)
    try:
        return parse(reply.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DetectionFailed(
            f"{address} answered something that is not a detection.",
            "Another program listens on this port.",
            "Check the address.",
        ) from error


def parse(body: dict[str, Any]) -> Answer:
    """The JSON of `POST /detect` as an Answer. Raises KeyError, TypeError or ValueError when it has another shape."""
    detections = tuple(
        Detection(
            str(each["label"]),
            float(each["score"]),
            *(float(each["box"][side]) for side in ("x1", "y1", "x2", "y2")),
        )
        for each in body["detections"]
    )
    width, height = (int(body["image"][side]) for side in ("width", "height"))
    return Answer(
        str(body["model"]),
        str(body["backend"]),
        width,
        height,
        detections,
        dict(body.get("milliseconds", {})),
    )


def recorded(path: Path = REFERENCE) -> dict[str, Answer]:
    """Answers kept in a file, by the picture's file name; by default what PyTorch finds on the sample pictures of the course."""
    return {name: parse(body) for name, body in json.loads(path.read_text(encoding="utf-8")).items()}


def agreement(a: Answer, b: Answer, iou: float = 0.9, score: float = 0.02) -> float:
    """Share of all boxes of both answers that have a partner in the other: 1.0 = the same objects, also when both found none.

    Partners carry the same label, overlap by at least `iou` and differ by at most `score`; each box has one partner
    at most, and the pairs that overlap best are made first.
    """
    total = len(a.detections) + len(b.detections)
    if not total:
        return 1.0
    pairs = sorted(
        (
            (-overlap, i, j)
            for i, one in enumerate(a.detections)
            for j, other in enumerate(b.detections)
            if one.label == other.label
            and abs(one.score - other.score) <= score + 1e-9
            and (overlap := one.iou(other)) >= iou
        ),
    )
    left: set[int] = set()
    right: set[int] = set()
    for _, i, j in pairs:
        if i not in left and j not in right:
            left.add(i)
            right.add(j)
    return 2 * len(left) / total


def _refusal(reply: requests.Response, address: str) -> DetectionFailed:
    try:
        detail = str(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = reply.reason or "no reason given"
    fix = {
        400: "Send a JPEG, PNG, WebP or BMP picture.",
        404: "Check the address: the API answers at /detect.",
        413: "Send a smaller picture.",
        415: "Send a JPEG, PNG, WebP or BMP picture.",
        422: "Check the arguments: confidence lies between 0 and 1.",
        503: "Wait until /health answers 200.",
    }.get(reply.status_code, "Look at the container's log.")
    return DetectionFailed(
        f"{address} refused the picture ({reply.status_code}).", f"It says: {detail.rstrip('.')}.", fix
    )


def samples() -> list[Path]:
    """The sample pictures of the course."""
    return sorted((ASSETS / "images").glob("*.jpg"))
