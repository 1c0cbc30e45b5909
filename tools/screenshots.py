"""Look at lessons as a learner sees them: JupyterLab in a real browser, page by page, as PNG files.

    screenshots.py                     every lesson in notebooks/, as it is stored
    screenshots.py 00 05 --run         run all cells first, so that the widgets appear
    screenshots.py 00 --width 800 --dark

The pictures go to build/screenshots/NN/ (NN-dark, NN-800 … for variants); what is wider than its place or an error is
listed. Nothing is saved into the notebooks. Needs Chromium (Debian: `apt-get install chromium`) and, with --run, an engine.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "screenshots"
START_SECONDS = 60
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The part of JupyterLab that scrolls, in every windowing mode.
SCROLLER = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
RUN_ALL = """async () => {
  window.dockerlabDone = false;
  const panel = window.jupyterapp.shell.currentWidget;
  const late = new Promise((_, no) => setTimeout(() => no(new Error('the kernel did not start in 60 s')), 60000));
  await Promise.race([late, panel.sessionContext.ready.then(() => panel.sessionContext.session.kernel.info)]);
  window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.dockerlabDone = true; });
}"""
NOT_RUN = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter(cell => cell.type === 'code' && cell.sharedModel.source.trim() && !cell.executionCount).length"""
LAST_IS_SEEN = """scroller => {
  const count = window.jupyterapp.shell.currentWidget.content.widgets.length;
  const last = document.querySelector(`${scroller} .jp-Cell[data-windowed-list-index="${count - 1}"]`);
  return last && last.getBoundingClientRect().bottom <= document.querySelector(scroller).getBoundingClientRect().bottom;
}"""
# Everything that a reader can see only in part, or that failed: [what, text].
PROBLEMS = """() => {
  const found = [];
  for (const cell of document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell')) {
    const name = 'cell ' + cell.dataset.windowedListIndex;
    for (const area of cell.querySelectorAll('.jp-OutputArea-output, .jp-RenderedMarkdown'))
      if (area.scrollWidth > area.clientWidth + 2) found.push([name + ': wider than its place', `${area.scrollWidth} of ${area.clientWidth} px`]);
    for (const image of cell.querySelectorAll('img'))
      if (image.complete && !image.naturalWidth) found.push([name + ': a picture is missing', image.src.slice(0, 80)]);
    for (const error of cell.querySelectorAll('[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'))
      found.push([name + ': error', error.innerText.slice(0, 120)]);
    for (const code of cell.querySelectorAll('.jp-InputArea-editor .cm-scroller'))
      if (code.scrollWidth > code.clientWidth + 2) found.push([name + ': a line of code is cut', `${code.scrollWidth} of ${code.clientWidth} px`]);
    for (const label of cell.querySelectorAll('.widget-label, .widget-radio-box label, .widget-dropdown select'))
      if (label.scrollWidth > label.clientWidth + 2) found.push([name + ': a label is cut', label.innerText.slice(0, 80)]);
  }
  return found;
}"""


def free_port() -> int:
    """A port that the kernel says is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lessons(names: Sequence[str], root: Path = ROOT) -> list[Path]:
    """Notebooks whose name begins with one of `names`, or all. Exits with a message for a name that does not exist."""
    every = [*sorted((root / "notebooks").glob("*.ipynb")), *sorted((root / "labs").glob("[!.]*/*.ipynb"))]
    chosen = [
        path
        for path in every
        if not names
        or any(
            path.name.startswith(name) or f"{path.parent.name}/{path.name}".startswith(name) for name in names
        )
    ]
    if not chosen:
        sys.exit(f"No lesson begins with {', '.join(names)}.")
    return chosen if names else [path for path in chosen if path.parent.name == "notebooks"]


@contextmanager
def jupyterlab(dark: bool = False, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Serve `root` on a free port of this machine with its own settings; yields the address and the token."""
    token, port = secrets.token_hex(16), free_port()
    with tempfile.TemporaryDirectory(prefix="dockerlab-lab-") as folder:
        _settings(Path(folder) / "settings", dark)
        environment = os.environ | {
            "JUPYTERLAB_SETTINGS_DIR": f"{folder}/settings",
            "JUPYTERLAB_WORKSPACES_DIR": f"{folder}/workspaces",
        }
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={token}",
            f"--ServerApp.root_dir={root}",
            f"--LabApp.app_settings_dir={root / 'assets/jupyterlab'}",
            "--LabApp.expose_app_in_browser=True",
        ]
        command += ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        log = Path(folder) / "log"
        with log.open("wb") as file:
            server = subprocess.Popen(command, cwd=root, env=environment, stdout=file, stderr=file)
        try:
            _wait(f"http://127.0.0.1:{port}/api?token={token}", server, log)
            yield f"http://127.0.0.1:{port}", token
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _settings(folder: Path, dark: bool) -> None:
    """No saving behind the reader's back, and the theme."""
    chosen: dict[str, dict[str, Any]] = {
        "apputils-extension/themes": {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"},
        "docmanager-extension/plugin": {"autosave": False},
    }
    for name, values in chosen.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"JupyterLab did not start. Its last lines:\n{log.read_text(errors='replace')[-1500:]}")


@contextmanager
def browser_page(executable: str, width: int, height: int) -> Iterator[Page]:
    """A page in a fresh browser profile."""
    with tempfile.TemporaryDirectory(prefix="dockerlab-browser-") as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=executable,
            args=QUIET,
            headless=True,
            viewport={"width": width, "height": height},
        )
        try:
            yield context.pages[0]
        finally:
            context.close()


def open_notebook(page: Page, address: str, token: str, path: Path, root: Path = ROOT) -> None:
    """Open one notebook in JupyterLab and wait until its kernel is ready."""
    page.goto(f"{address}/lab/tree/{path.relative_to(root).as_posix()}?token={token}&reset")
    page.wait_for_selector(f"{SCROLLER} .jp-Cell", timeout=60_000)
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=120_000,
    )
    page.wait_for_timeout(1500)


def run_all(page: Page, timeout: float) -> None:
    """Run every cell, as the menu Run > Run All Cells does; the kernel is fresh. `timeout` in seconds."""
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.dockerlabDone", timeout=timeout * 1000)
    page.wait_for_timeout(1500)
    if left := page.evaluate(NOT_RUN):
        print(f"  {left} cells did not run")


def photograph(page: Page, folder: Path) -> list[tuple[str, str]]:
    """Scroll from top to bottom, one PNG a screen; returns what a reader sees only in part, or that failed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    problems: dict[tuple[str, str], None] = {}
    page.evaluate("s => document.querySelector(s).scrollTo(0, 0)", SCROLLER)
    for number in range(1, 100):
        page.wait_for_timeout(500)
        problems.update(dict.fromkeys(tuple(item) for item in page.evaluate(PROBLEMS)))
        page.screenshot(path=folder / f"{number:02}.png")
        if page.evaluate(LAST_IS_SEEN, SCROLLER):
            break
        page.evaluate(
            "s => { const e = document.querySelector(s); e.scrollBy(0, e.clientHeight - 60); }", SCROLLER
        )
    return list(problems)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 where a cell shows an error."""
    parser = argparse.ArgumentParser(prog="screenshots.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="lessons and labs whose name begins so; default: all lessons"
    )
    parser.add_argument("--run", action="store_true", help="run all cells first, so that widgets appear")
    parser.add_argument(
        "--timeout", type=float, default=900, metavar="S", help="seconds a lesson may run (default 900)"
    )
    parser.add_argument(
        "--width", type=int, default=1280, metavar="PX", help="width of the window (default 1280)"
    )
    parser.add_argument(
        "--height", type=int, default=1000, metavar="PX", help="height of the window (default 1000)"
    )
    parser.add_argument("--dark", action="store_true", help="JupyterLab's dark theme")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures")
    parser.add_argument(
        "--browser",
        default=shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium",
        help="path of Chromium",
    )
    options = parser.parse_args(arguments)
    variant = ("-dark" if options.dark else "") + (f"-{options.width}" if options.width != 1280 else "")
    failed = False
    with (
        jupyterlab(options.dark) as (address, token),
        browser_page(options.browser, options.width, options.height) as page,
    ):
        for path in lessons(options.names):
            open_notebook(page, address, token, path)
            if options.run:
                run_all(page, options.timeout)
            name = path.stem[:2] if path.parent.name == "notebooks" else f"lab-{path.parent.name[:2]}"
            folder = options.out / f"{name}{variant}"
            problems = photograph(page, folder)
            failed |= any(what.endswith("error") for what, _ in problems)
            print(f"{path.stem}: {len(list(folder.glob('*.png')))} pictures in {folder}")
            for what, text in problems:
                print(f"  {what}: {text}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
