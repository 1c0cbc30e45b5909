"""The stack shows each layer and each container, with the sizes that were measured."""

from __future__ import annotations

from dockerlab.images.image_report import ImageReport, Layer
from dockerlab.lessons.lesson02_images_and_containers.charts_layers import Writable, stack_with_containers

REPORT = ImageReport(
    "api:1",
    [
        Layer("(base image)", 120_000_000, 0, {"usr/bin/python3": 120_000_000}),
        Layer("COPY … $HOME", 400, 0, {"app/a.txt": 100, "app/b.txt": 300}),
        Layer("WORKDIR /app"),
    ],
    {},
)
CONTAINERS = [Writable("loose", 2_300_000, ("A /app/note.txt",)), Writable("strict", 40)]


def _texts(fig) -> list[str]:
    return [text.get_text() for text in fig.axes[0].texts]


def test_layers_and_containers_are_named_with_their_sizes() -> None:
    texts = _texts(stack_with_containers(REPORT, CONTAINERS))
    assert {"1 file, 120 MB", "2 files, 0.4 kB", "no file"} <= set(texts)
    assert {"loose", "2.3 MB", "A /app/note.txt", "strict", "0.0 kB", "nothing of its own"} <= set(texts)
    assert r"COPY … \$HOME" in texts  # a dollar would start a formula


def test_the_title_is_the_finding() -> None:
    fig = stack_with_containers(REPORT, CONTAINERS)
    assert fig.axes[0].get_title(loc="left") == "2 containers share 120 MB and add 2.3 MB of their own"
    assert stack_with_containers(REPORT, []).axes[0].get_title(loc="left") == "3 read-only layers make 120 MB"


def test_nothing_is_cut_off() -> None:
    fig = stack_with_containers(REPORT, CONTAINERS)
    fig.canvas.draw()
    assert fig.bbox.width == 800
    for text in fig.axes[0].texts:
        box = text.get_window_extent()
        assert fig.bbox.x0 <= box.x0 and box.x1 <= fig.bbox.x1
