"""Names the classes of the model."""

import json
from pathlib import Path

labels = json.loads(Path("labels.json").read_text())
print("classes:", ", ".join(labels), flush=True)
