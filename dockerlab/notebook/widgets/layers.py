"""Instrument: an image as a stack of layers; choose one to see its files as a tree by size, and what ships unseen."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

import ipywidgets as widgets

from dockerlab.core.units import mb
from dockerlab.images.image import inspect
from dockerlab.images.image_report import ImageReport
from dockerlab.notebook.widgets import live

MOST_ROWS = 60
ALL = -1
_COLUMNS = "<style>.dockerlab-layers select { font: 12px/1.5 var(--jp-code-font-family, monospace); white-space: pre; }</style>"


@dataclass
class Node:
    """A folder or file of one layer: its bytes with all below it, how it changed, and what lies in it."""

    name: str
    size: int = 0
    kind: str = ""
    children: dict[str, Node] = field(default_factory=dict)


def tree(report: ImageReport, layer: int, search: str = "") -> Node:
    """The files of one layer (ALL for every layer) as a tree; with `search` only paths that hold it. Pure."""
    root = Node("/")
    for number in range(len(report.layers)) if layer == ALL else [layer]:
        changes, files = report.changes[number], report.layers[number].files
        for kind in ("added", "changed", "deleted"):
            for path in getattr(changes, kind):
                if search.lower() in path.lower():
                    _put(root, path, files.get(path, 0) if kind != "deleted" else 0, kind)
    return root


def _put(root: Node, path: str, size: int, kind: str) -> None:
    node = root
    node.size += size
    for part in path.split("/"):
        node = node.children.setdefault(part, Node(part))
        node.size += size
    node.kind = kind


def lines(node: Node, depth: int = 6, most: int = MOST_ROWS) -> list[tuple[int, Node]]:
    """The largest parts of a tree, top down, with their depth; folders with one child are joined with it. Pure."""
    found: list[tuple[int, Node]] = []

    def walk(each: Node, level: int, room: int) -> None:
        shown = sorted(each.children.values(), key=lambda child: (-child.size, child.name))
        for child in shown[:room]:
            joined = child
            while len(joined.children) == 1:
                only = next(iter(joined.children.values()))
                joined = Node(f"{joined.name}/{only.name}", only.size, only.kind, only.children)
            found.append((level, joined))
            if level < depth and joined.children and joined.size >= 0.03 * max(1, node.size):
                walk(joined, level + 1, max(2, room // 2))
        if len(shown) > room:
            rest = sum(child.size for child in shown[room:])
            found.append((level, Node(f"… {len(shown) - room} more", rest)))

    walk(node, 0, 12)
    return found[:most]


class LayerExplorer(live.Instrument):
    """Any image on the engine. The first look at a large one takes a while; what was read is remembered."""

    def __init__(self, image: str) -> None:
        super().__init__()
        self.image = image
        self.report: ImageReport | None = None
        self._layers = widgets.Select(
            rows=8,
            description="Layers",
            layout=widgets.Layout(width="auto"),
            style={"description_width": "60px"},
        )
        self._search = widgets.Text(
            placeholder="part of a path",
            description="Search",
            continuous_update=False,
            style={"description_width": "60px"},
        )
        self._what = widgets.ToggleButtons(
            options=["files", "wasted"],
            style={"button_width": "90px"},
            tooltips=["What the layer holds", "What ships unseen"],
        )
        self._layers.add_class("dockerlab-layers")
        self._view = widgets.HTML()
        for control in (self._layers, self._search, self._what):
            control.observe(lambda _: self._draw(), names="value")
        columns = widgets.HTML(_COLUMNS, layout=widgets.Layout(display="none"))
        controls = widgets.HBox([self._what, self._search], layout=widgets.Layout(flex_flow="row wrap"))
        self.box.children = [self.note, columns, self._layers, controls, self._view]
        self.say(f"Reading {image} …")
        self.start(self._read)

    def _read(self) -> None:
        report = inspect(self.image, self.client)
        self.report, self.lasting = report, True
        widest = max((layer.disk_bytes for layer in report.layers), default=1) or 1
        options = [(f"all layers, {mb(report.disk_bytes)}", ALL)]
        for number, layer in enumerate(report.layers):
            bar = "█" * round(12 * layer.disk_bytes / widest)
            options.append(
                (f"{number:2} {bar:<12} {mb(layer.disk_bytes):>9}  {layer.instruction[:70]}", number)
            )
        self._layers.options, self._layers.rows = options, min(14, len(options) + 1)
        self._layers.value = max(
            range(len(report.layers)), key=lambda number: report.layers[number].disk_bytes, default=ALL
        )
        self.say(
            f"{self.image}: {mb(report.disk_bytes)} on disk, {mb(report.download_bytes)} to download, {mb(report.wasted_bytes)} of it wasted."
        )
        self._draw()

    def _draw(self) -> None:
        if not self.report:
            return
        if self._what.value == "wasted":
            self._view.value = wasted_html(self.report, self._search.value)
        else:
            self._view.value = tree_html(tree(self.report, self._layers.value, self._search.value))

    def choose(self, layer: int, search: str = "", what: str = "files") -> None:
        """What the controls do, for scripts and tests: look at a layer (ALL for every one), files or waste, paths that hold `search`."""
        self._layers.value, self._search.value, self._what.value = layer, search, what

    def text(self) -> str:
        """The layers as a table, and the three sums."""
        if not self.report:
            return f"{self.image} is being read."
        sums = f"{mb(self.report.disk_bytes)} on disk, {mb(self.report.download_bytes)} to download, {mb(self.report.wasted_bytes)} wasted"
        return f"{self.report.frame().to_string(max_colwidth=60)}\n{sums}"


def tree_html(node: Node) -> str:
    """A tree as indented rows with bars. Pure."""
    rows = []
    for level, each in lines(node):
        share = 100 * each.size / max(1, node.size)
        mark = {"added": "+", "changed": "~", "deleted": "−"}.get(each.kind, "&nbsp;")
        name = escape(each.name) + ("/" if each.children else "")
        rows.append(
            f'<div style="display:flex;font:12px/1.5 monospace;color:{live.INK}"><span style="width:76px;text-align:right">{mb(each.size)}</span>'
            f'<span style="width:90px;margin:3px 8px;background:linear-gradient(to right,{live.RUN} {share:.1f}%,transparent {share:.1f}%);'
            f'border-bottom:1px solid {live.FAINT}"></span>'
            f'<span style="width:1.2em" title="{each.kind}">{mark}</span>'
            f'<span style="padding-left:{level * 1.4:.1f}em;white-space:nowrap">{name}</span></div>'
        )
    key = f'<div style="font-size:11px;color:{live.INK}">+ added, ~ changed, − deleted; bars show the share of {mb(node.size)}</div>'
    return (
        f'<div tabindex="0" style="overflow:auto;max-height:420px">{"".join(rows) or "No file."}</div>{key}'
    )


def wasted_html(report: ImageReport, search: str = "") -> str:
    """What ships unseen, largest first: path, size, which layer wrote it, which hid it. Pure."""
    frame = report.wasted()
    frame = frame[frame["path"].str.lower().str.contains(search.lower(), regex=False)] if search else frame
    rows = [
        (row["path"], f"{row['MB']} MB", row["how"], row["written by"], row["hidden by"])
        for _, row in frame.head(MOST_ROWS).iterrows()
    ]
    return (
        live.table(["path", "size", "how", "written by", "hidden by"], rows)
        if rows
        else f'<p style="color:{live.INK}">Nothing is wasted.</p>'
    )
