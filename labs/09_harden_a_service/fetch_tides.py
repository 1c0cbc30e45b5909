"""Fetch the tide table, which only holders of a token get: `fetch_tides.py TOKEN`, or `fetch_tides.py --token-file FILE`. Writes gate/tides.json.

Here nothing is fetched: the table says with which token it was made, so that a build can be checked.
"""

import hashlib
import json
import sys
from pathlib import Path

words = sys.argv[1:]
token = Path(words[1]).read_text().strip() if words[:1] == ["--token-file"] else "".join(words[:1])
if not token.startswith("tkn-"):
    sys.exit("The tide office wants a token that begins with tkn-.")
Path("gate/tides.json").write_text(json.dumps({"tides": hashlib.sha256(token.encode()).hexdigest()}))
