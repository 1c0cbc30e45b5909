"""The instruments as a reader uses them: JupyterLab in a real browser, clicks and keys, and what they did on the engine.

Pictures of each are kept in build/screenshots/instruments/. Needs Chromium (`make browser`); where it is missing the tests skip,
under --require-docker they fail.
"""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import nbformat
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from dockerlab.containers.compose import running_stack
from dockerlab.containers.container import remove, running
from dockerlab.core.polling import wait_until
from dockerlab.core.settings import ROOT
from dockerlab.course.authoring.notebooks import METADATA
from dockerlab.detection import api_client, variants
from dockerlab.engine import object_labels

sys.path.insert(0, str(ROOT / "tools"))
import screenshots

pytestmark = [pytest.mark.engine, pytest.mark.browser]
LADDER = ROOT / "assets" / "figures" / "ladder.csv"
PICTURES = ROOT / "build" / "screenshots" / "instruments"
SECONDS = 1000  # Playwright counts milliseconds


@pytest.fixture(scope="module")
def chromium(request: pytest.FixtureRequest) -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        (pytest.fail if request.config.getoption("--require-docker") else pytest.skip)(
            "Chromium is not installed: run `make browser`"
        )
    return found


@pytest.fixture(scope="module")
def things(
    client: docker.DockerClient, tiny_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What the instruments look at: a container, an API, a stack and a build context."""
    folder = tmp_path_factory.mktemp("instruments")
    marker = uuid.uuid4().hex[:8]
    (folder / "Dockerfile").write_text(
        f"FROM {tiny_image} AS export\nRUN echo the model is exported; sleep 3\n"
        f"FROM {tiny_image} AS packages\nRUN echo two packages; sleep 2\n"
        f"FROM {tiny_image}\nCOPY --from=packages /bin/ls /packages\nCOPY --from=export /bin/ls /model\n"
    )
    (folder / "compose.yaml").write_text(
        f"services:\n  front:\n    image: {tiny_image}\n    command: [sh, -c, 'echo front is up; sleep 300']\n    init: true\n    depends_on: [back]\n"
        f"  back:\n    image: {tiny_image}\n    command: [sleep, '300']\n    init: true\n    volumes: ['rows:/rows']\nvolumes:\n  rows:\n"
    )
    cached = folder / "cached"
    cached.mkdir()
    (cached / "Dockerfile").write_text(
        f"FROM {tiny_image}\nCOPY requirements.txt /\nCOPY app.py /app.py\nRUN wc -c /app.py > /size\n"
    )
    for file in ("requirements.txt", "app.py"):
        (cached / file).write_text(marker)
    name = f"dockerlab-browser-{marker}"
    count = "n=0; while true; do n=$((n+1)); echo tick $n; sleep 1; done"
    container = client.containers.run(
        tiny_image,
        ["sh", "-c", count],
        name=name,
        detach=True,
        init=True,
        labels=object_labels.labels(kind="test"),
    )
    try:
        variants.ensure_rung("multistage", client)
        with (
            running("dockerlab-api:multistage", client=client, timeout=120) as service,
            running_stack(folder, timeout=240) as stack,
        ):
            yield {
                "container": name,
                "url": service.url,
                "folder": str(folder),
                "project": stack.project,
                "image": tiny_image,
                "marker": marker,
                "cached": str(cached),
            }
    finally:
        remove(container)


@pytest.fixture(scope="module")
def page(chromium: str, things: dict[str, str]) -> Iterator[Page]:
    """JupyterLab with every instrument on show."""
    cells = [
        "%matplotlib inline\nfrom pathlib import Path\nimport os, pandas as pd\n"
        "from dockerlab.detection import api_client, benchmark\nfrom dockerlab.containers.compose import Stack\n"
        "from dockerlab.notebook.widgets import *",
        f"ContainerConsole({things['container']!r})",
        f"timeline = BuildTimeline({things['folder']!r}, tag='dockerlab-browser:{things['marker']}', no_cache=True)\ntimeline",
        "LayerExplorer('dockerlab-api:multistage')",
        "LimitSliders('dockerlab-api:multistage')",
        f"StackGraph(Stack(Path({things['folder']!r}), {things['project']!r}, ('compose.yaml',), os.environ))",
        f"DetectionPlayground({things['url']!r}, api_client.samples())",
        f"LadderChart(pd.read_csv({str(LADDER)!r}))",
        f"CachePredictor({things['cached']!r}, 'dockerlab-browser:cached-{things['marker']}', {{\n"
        "    'another line in app.py': lambda folder: (folder / 'app.py').write_text('print(1)') and None,\n"
        "    'touch app.py': lambda folder: (folder / 'app.py').touch(),\n})",
    ]
    folder = ROOT / "build" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"instruments-{things['marker']}.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(each) for each in cells], metadata=METADATA
        ),
        path,
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    try:
        with (
            screenshots.jupyterlab() as (address, token),
            screenshots.browser_page(chromium, 1200, 1600) as opened,
        ):
            screenshots.open_notebook(opened, address, token, path)
            screenshots.run_all(opened, 120)
            yield opened
    finally:
        path.unlink(missing_ok=True)


def _output(page: Page, cell: int) -> Locator:
    """What a cell shows, scrolled into view."""
    page.evaluate("n => window.jupyterapp.shell.currentWidget.content.scrollToItem(n, 'start')", cell)
    found = page.locator(f'.jp-Cell[data-windowed-list-index="{cell}"] .jp-OutputArea')
    expect(found).to_be_visible(timeout=120 * SECONDS)
    return found


def _picture(output: Locator, name: str) -> None:
    output.page.wait_for_timeout(400)
    output.locator(".jp-OutputArea-output").first.screenshot(path=PICTURES / f"{name}.png")


def test_the_console_stops_and_starts_the_container(
    page: Page, client: docker.DockerClient, things: dict[str, str]
) -> None:
    shown = _output(page, 1)
    expect(shown.get_by_text("tick").first).to_be_visible(timeout=120 * SECONDS)
    shown.get_by_role("button", name="pause", exact=True).click()
    assert wait_until(lambda: client.containers.get(things["container"]).status == "paused", 120)
    expect(shown).to_contain_text(f"docker pause {things['container']}")
    shown.get_by_role("button", name="unpause").click()
    assert wait_until(lambda: client.containers.get(things["container"]).status == "running", 120)
    shown.get_by_role("button", name="kill").focus()  # by keyboard
    page.keyboard.press("Enter")
    assert wait_until(lambda: client.containers.get(things["container"]).status == "exited", 120)
    expect(shown).to_contain_text("exit code 137", timeout=120 * SECONDS)
    shown.get_by_role("button", name="start", exact=True).click()
    assert wait_until(lambda: client.containers.get(things["container"]).status == "running", 120)
    _picture(shown, "console")


def test_a_step_of_the_build_shows_its_log(
    page: Page, client: docker.DockerClient, things: dict[str, str]
) -> None:
    shown = _output(page, 2)
    expect(shown).to_contain_text("Done in", timeout=120 * SECONDS)
    shown.get_by_role("button", name="[export 2/2]").click()
    expect(shown.get_by_role("log")).to_have_text("the model is exported")
    _picture(shown, "timeline")
    tag = f"dockerlab-browser:{things['marker']}"
    assert client.images.get(tag)
    client.images.remove(tag)


def test_the_explorer_finds_a_file(page: Page) -> None:
    shown = _output(page, 3)
    expect(shown).to_contain_text("on disk", timeout=120 * SECONDS)
    _picture(shown, "layers")
    shown.get_by_label("Search").fill("HARBOUR-N.ONNX")
    shown.get_by_label("Search").press("Enter")
    expect(shown).to_contain_text(
        "No file.", timeout=120 * SECONDS
    )  # the largest layer, which is shown first, holds packages
    shown.get_by_role("listbox").select_option(index=0)
    expect(shown).to_contain_text("app/model/harbour-n.onnx", timeout=120 * SECONDS)
    shown.get_by_role("button", name="wasted").click()
    expect(shown).to_contain_text("Nothing is wasted", timeout=120 * SECONDS)


def test_a_limit_kills_the_container_and_is_said(page: Page) -> None:
    shown = _output(page, 4)
    slider = shown.get_by_role("slider").first
    slider.focus()
    page.keyboard.press("Home")
    expect(shown).to_contain_text("--memory 32m")
    shown.get_by_role("button", name="Try these limits").click()
    expect(shown).to_contain_text("killed by the kernel for memory, exit code 137", timeout=120 * SECONDS)
    slider.focus()
    page.keyboard.press("End")
    shown.get_by_role("button", name="Try these limits").click()
    expect(shown).to_contain_text("answers", timeout=90 * SECONDS)
    _picture(shown, "limits")


def test_the_stack_shows_a_service_and_its_logs(
    page: Page, client: docker.DockerClient, things: dict[str, str]
) -> None:
    shown = _output(page, 5)
    expect(shown.get_by_role("img", name="2 services: back running, front running")).to_be_visible(
        timeout=120 * SECONDS
    )
    shown.get_by_role("button", name="logs front").click()
    expect(shown.get_by_role("log")).to_contain_text("front is up", timeout=15 * SECONDS)
    _picture(shown, "stack")
    mine = {"label": [f"com.docker.compose.project={things['project']}", "com.docker.compose.service=back"]}
    client.containers.list(filters=mine)[0].kill()
    expect(shown).to_contain_text("■ exited", timeout=120 * SECONDS)


def test_a_picture_is_detected_and_the_time_split(page: Page, tmp_path: Path) -> None:
    shown = _output(page, 6)
    expect(shown.locator("img").first).to_be_hidden()  # no picture yet, and no broken one
    shown.get_by_role("button", name="Detect").click()
    expect(shown).to_contain_text("from send to answer", timeout=120 * SECONDS)
    expect(shown.locator("img").first).to_be_visible()
    _picture(shown, "playground")
    own = tmp_path / "mine.jpg"
    shutil.copy(api_client.samples()[1], own)
    with page.expect_file_chooser() as chooser:
        shown.get_by_role("button", name="Upload").click()
    chooser.value.set_files(own)
    expect(shown).to_contain_text("(1)", timeout=120 * SECONDS)
    shown.get_by_role("button", name="Detect").click()
    expect(shown).to_contain_text("from send to answer", timeout=120 * SECONDS)


def test_the_ladder_switches_and_shows_a_dockerfile(page: Page) -> None:
    shown = _output(page, 7)
    measured = pd.read_csv(LADDER).set_index("rung")
    expect(shown).to_contain_text(f"{measured.loc['naive', 'disk_bytes'] / 1e6:,.0f} MB")
    shown.get_by_role("button", name="rebuild", exact=True).click()
    expect(shown).to_contain_text(f"{measured.loc['naive', 'rebuild_seconds']:.2f} s", timeout=120 * SECONDS)
    shown.get_by_role("button", name="minimal").click()
    expect(shown.get_by_role("log")).to_contain_text("FROM gcr.io/distroless", timeout=120 * SECONDS)
    assert "FROM" in (shown.get_by_role("button", name="minimal").get_attribute("title") or "")
    _picture(shown, "ladder")


def test_ticks_are_marked_by_the_build(
    page: Page, client: docker.DockerClient, things: dict[str, str]
) -> None:
    shown, tag = _output(page, 8), f"dockerlab-browser:cached-{things['marker']}"
    expect(shown).to_contain_text("Choose an edit", timeout=120 * SECONDS)
    shown.get_by_role("checkbox", name="COPY app.py /app.py").check()
    shown.get_by_role("button", name="Make the edit and build").click()
    expect(shown).to_contain_text(
        "2 of 3 steps rightly foreseen", timeout=120 * SECONDS
    )  # the step below it ran as well
    expect(shown.get_by_role("row", name="COPY app.py /app.py runs")).to_contain_text(
        "app.py, which it copies, changed"
    )
    expect(shown.get_by_role("row", name="RUN wc")).to_contain_text("an earlier step ran")
    said = client.containers.run(
        tag, ["cat", "/app.py"], remove=True, labels=object_labels.labels(kind="test")
    )
    assert said == b"print(1)"
    _picture(shown, "cache")
    shown.get_by_role("combobox").select_option("touch app.py")
    shown.get_by_role("button", name="Make the edit and build").focus()  # by keyboard, nothing ticked
    page.keyboard.press("Enter")
    expect(shown).to_contain_text("touch app.py: 3 of 3 steps rightly foreseen", timeout=120 * SECONDS)
    expect(shown.get_by_role("row", name="RUN wc")).to_contain_text("nothing that it depends on changed")
    client.images.remove(tag, force=True)
