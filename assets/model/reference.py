"""Write down what PyTorch finds on the course's pictures: every smaller image has to find the same.

    python reference.py http://127.0.0.1:8000 > reference.json

The server has to run `harbour-n.pt` with Ultralytics (Dockerfile.cpu). The API's tests in the image compare the file with the weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests

IMAGES = Path(__file__).resolve().parent.parent / "images"


def main(url: str) -> None:
    answers = {}
    for picture in sorted(IMAGES.glob("*.jpg")):
        reply = requests.post(f"{url}/detect", files={"image": (picture.name, picture.read_bytes(), "image/jpeg")}, timeout=60)
        reply.raise_for_status()
        answers[picture.name] = {key: value for key, value in reply.json().items() if key != "milliseconds"}
        if answers[picture.name]["backend"] != "ultralytics":
            sys.exit("This server does not run PyTorch.")
    print(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
