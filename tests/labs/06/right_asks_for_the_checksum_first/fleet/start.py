"""Files are kept under their checksum. The server is asked for the checksum at every start; where it is silent, the last one counts."""

import hashlib
import os
import time
import urllib.request
from pathlib import Path

cache, server, name = Path("/cache"), os.environ["MODEL_SERVER"], os.environ["MODEL_NAME"]
known = cache / f"{name}.wanted"


def ask(path, tries):
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(f"{server}/{path}", timeout=5) as answer:
                return answer.read()
        except OSError as error:
            if not left:
                raise SystemExit(f"No answer from {server} for {path}: {error}") from None
            time.sleep(1)


try:
    wanted = ask(f"{name}.sha256", 3).split()[0].decode()
except SystemExit:
    if not known.exists():
        raise
    wanted = known.read_text()
model = cache / f"{wanted}.onnx"
if not model.exists():
    content = ask(name, 4)
    if hashlib.sha256(content).hexdigest() != wanted:
        raise SystemExit(f"{name} from {server} is not the file that {wanted} was made of.")
    temporary = model.with_suffix(".part")
    temporary.write_bytes(content)
    os.replace(temporary, model)
known.write_text(wanted)
os.execvpe("python", ["python", "-m", "uvicorn", "app.main:app", "--host", "0.0.0.0"], os.environ | {"MODEL_PATH": str(model)})
