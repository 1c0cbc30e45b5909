"""The stack's application keeps the limits of the detection API, and tells nobody why a neighbour is silent.

It runs in a process of its own, with neighbours that live in memory: the two client libraries are in its image only.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys, types
sys.path[:0] = {paths!r}
redis, psycopg = sys.modules["redis"], sys.modules["psycopg"] = types.ModuleType("redis"), types.ModuleType("psycopg")
redis.RedisError, psycopg.OperationalError, redis.Redis = OSError, ValueError, lambda **_: None
import tiny_model
from pathlib import Path
from app.detectors import load_detector
from app.settings import Settings
from fastapi.testclient import TestClient
from harbour.cache import Cache
from harbour.log import LogFailed
from harbour.main import create_app

class Memory(dict):
    key, put, host, answers, prepare = staticmethod(Cache.key), dict.__setitem__, "db", True, lambda self: None
    def add(self, *row): self[len(self)] = row
    def count(self):
        if not self.answers: raise LogFailed("10.0.0.7: password for mira")
    def ping(self):
        if not self.answers: raise redis.RedisError("10.0.0.8 refused")

cache, rows = Memory(), Memory()
model = tiny_model.write(Path({model!r}))
picture = ("image", ("a.jpg", Path({picture!r}).read_bytes(), "image/jpeg"))
with TestClient(create_app(Settings(model=str(model), max_pixels=400_000), load_detector, cache, rows)) as client:
    answers = [client.post("/detect", files=[picture]) for _ in range(2)]
    assert [(each.status_code, each.headers["x-cache"], each.headers["x-content-type-options"]) for each in answers] == [
        (200, "miss", "nosniff"), (200, "hit", "nosniff")]
    assert len(answers[0].json()["detections"]) == 2 and len(rows) == 2
    assert client.post("/detect", files=[picture, picture]).status_code == 422
    assert client.get("/docs").headers["content-security-policy"].startswith("default-src 'none'")
    assert client.get("/health").json() == {{"status": "ok", "model": "tiny.onnx"}}
    for neighbour, name in ((cache, "cache"), (rows, "database")):
        neighbour.answers = False
        silent = client.get("/health")
        assert (silent.status_code, silent.json()) == (503, {{"detail": f"The {{name}} does not answer."}}), silent.text
        neighbour.answers = True
cache.clear()
with TestClient(create_app(Settings(model=str(model), max_pixels=100_000), load_detector, cache, rows)) as client:
    assert client.post("/detect", files=[picture]).status_code == 413
"""


def test_it_answers_remembers_refuses_and_keeps_its_secrets(tmp_path: Path) -> None:
    paths = [str(ROOT / "assets" / name) for name in ("detection-api", "detection-api/tests", "stack")]
    script = SCRIPT.format(
        paths=paths, model=str(tmp_path / "tiny.onnx"), picture=str(ROOT / "assets/images/harbour-noon.jpg")
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
