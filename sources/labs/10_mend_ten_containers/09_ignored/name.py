"""Names the classes of the model."""

import json
from pathlib import Path

print("classes:", ", ".join(json.loads(Path("labels.json").read_text())))
