"""The berth service: who has arrived? Rows in postgres, the last answer in redis.

POST /arrive?ship=NAME   a new row
GET  /ships              {"ships": [...]}; the header X-Cache says whether the answer came out of redis
GET  /health             200 while postgres answers
POST /crash              ends the process at once, as a bug would

DB_HOST, DB_NAME, REDIS_HOST; the password in DB_PASSWORD, or in the file that DB_PASSWORD_FILE names. Needs postgres when it starts.
"""

import json
import os
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PORT = 8000


def password() -> str:
    file = os.environ.get("DB_PASSWORD_FILE")
    return Path(file).read_text(encoding="utf-8").strip() if file else os.environ.get("DB_PASSWORD", "")


def database():
    import psycopg

    return psycopg.connect(host=os.environ.get("DB_HOST", "db"), dbname=os.environ.get("DB_NAME", "postgres"), user="postgres",
                           password=password(), connect_timeout=10, autocommit=True)


def cache():
    import redis

    return redis.Redis(host=os.environ.get("REDIS_HOST", "cache"), socket_connect_timeout=2, socket_timeout=2)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path not in ("/ships", "/health"):
            return self.answer(404, {"detail": "There is no such page."})
        try:
            if path == "/health":
                with database() as rows:
                    rows.execute("SELECT 1")
                return self.answer(200, {"status": "ok"})
            kept = cache().get("ships")
            ships = json.loads(kept) if kept else self.ships()
            return self.answer(200, {"ships": ships}, "hit" if kept else "miss")
        except Exception as error:
            return self.answer(503, {"detail": f"{type(error).__name__}: {error}"})

    def do_POST(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/crash":
            os._exit(1)
        ship = parse_qs(asked.query).get("ship", [""])[0]
        if asked.path != "/arrive" or not ship:
            return self.answer(404, {"detail": "POST /arrive?ship=NAME"})
        try:
            with database() as rows:
                rows.execute("INSERT INTO arrivals (ship) VALUES (%s)", [ship])
            cache().delete("ships")
            return self.answer(200, {"arrived": ship})
        except Exception as error:
            return self.answer(503, {"detail": f"{type(error).__name__}: {error}"})

    def ships(self) -> list[str]:
        with database() as rows:
            ships = [row[0] for row in rows.execute("SELECT ship FROM arrivals ORDER BY id")]
        cache().set("ships", json.dumps(ships), ex=600)
        return ships

    def answer(self, status: int, body: dict, cached: str = "") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if cached:
            self.send_header("X-Cache", cached)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        with database() as rows:
            rows.execute("CREATE TABLE IF NOT EXISTS arrivals (id bigserial PRIMARY KEY, ship text NOT NULL)")
    except Exception as error:
        sys.exit(f"No database, no service: {' '.join(str(error).split())}")
    print("serving", flush=True)
    ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == ["ask"]:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=3)
    else:
        main()
