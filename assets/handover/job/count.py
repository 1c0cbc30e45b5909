"""Count the boxes of a day, label by label."""

import csv
import json
import sys
from collections import Counter
from pathlib import Path

BOXES = Path("/data/boxes.csv")
RELEASE = Path(__file__).with_name("release.txt").read_text(encoding="utf-8").strip()

try:
    with BOXES.open(newline="", encoding="utf-8") as file:
        labels = Counter(row["label"] for row in csv.DictReader(file))
except OSError as error:
    sys.exit(f"{BOXES}: {error.strerror}. The day's boxes have to lie there.")
print(json.dumps({"release": RELEASE, "boxes": labels.total(), **dict(sorted(labels.items()))}))
