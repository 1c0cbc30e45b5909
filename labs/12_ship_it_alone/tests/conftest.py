"""The folder of the application is on the path, wherever pytest begins."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
