"""Pages for a browser: whole in one file, and nothing from elsewhere is allowed in."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

DROP, DOCS = "page.html", "docs.html"


def add(app: FastAPI, path: str, name: str, summary: str = "") -> None:
    """Serve a page of this folder at `path`; without a summary it is not listed in openapi.json."""
    html = Path(__file__).with_name(name).read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": policy(html)}

    @app.get(path, response_class=HTMLResponse, summary=summary or None, include_in_schema=bool(summary), name=name)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)


def policy(html: str) -> str:
    """A Content-Security-Policy that lets run just the script and the style that stand in the page, known by their hashes (CSP level 3)."""
    hashes = {tag: " ".join(_hash(text) for text in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)) for tag in ("script", "style")}
    return (f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; img-src 'self' blob: data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
