import hashlib
import os
import sys
import urllib.request
from pathlib import Path

server, name = os.environ["MODEL_SERVER"], os.environ["MODEL_NAME"]
target = Path("/models") / name
if not target.exists():
    content = urllib.request.urlopen(f"{server}/{name}").read()
    wanted = urllib.request.urlopen(f"{server}/{name}.sha256").read().split()[0].decode()
    if hashlib.sha256(content).hexdigest() != wanted:
        sys.exit("damaged")
    target.write_bytes(content)
os.environ["MODEL_PATH"] = str(target)
os.execvp("uvicorn", ["uvicorn", "app.main:app", "--host", "0.0.0.0"])
