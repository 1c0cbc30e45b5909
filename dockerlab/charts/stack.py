"""A compose project as a picture: services as boxes, what they wait for as arrows, networks as bands, volumes and ports at their services."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from dockerlab.charts.style import PALETTE
from dockerlab.stack import Graph

BOX, GAP, HIGH = 190, 70, 66
TOP, BAND = 46, 30
STATES = {"healthy": ("✓", PALETTE["best"]), "running": ("▶", PALETTE["run"]), "starting": ("…", PALETTE["good"]), "unhealthy": ("✗", PALETTE["bad"]),
          "exited": ("■", PALETTE["bad"]), "paused": ("‖", PALETTE["cached"])}


def columns(graph: Graph) -> dict[str, int]:
    """The column of every service: those that wait for others stand left of them. Pure; a circle counts as no order."""
    depth: dict[str, int] = {}

    def place(name: str, seen: frozenset[str]) -> int:
        if name not in depth:
            after = [place(other, seen | {name}) for other in graph.depends.get(name, ()) if other not in seen and other in graph.services]
            depth[name] = max(after, default=-1) + 1
        return depth[name]

    deepest = max((place(name, frozenset()) for name in graph.services), default=0)
    return {name: deepest - level for name, level in depth.items()}


def stack_svg(graph: Graph, states: Mapping[str, str] | None = None) -> str:
    """The project as SVG that takes its text colour from the page; `states` marks services as healthy, running, exited and so on. Pure."""
    column = columns(graph)
    place: dict[str, tuple[int, int]] = {}
    for index in range(max(column.values(), default=0) + 1):
        for row, name in enumerate(sorted(name for name in column if column[name] == index)):
            place[name] = (index * (BOX + GAP), TOP + row * (HIGH + 58))
    width = max((x for x, _ in place.values()), default=0) + BOX + 4
    floor = max((y for _, y in place.values()), default=0) + HIGH + 40
    parts = [_arrow(place[name], place[other]) for name, others in graph.depends.items() for other in others if other in place]
    parts += [_service(name, graph, place[name], (states or {}).get(name, "")) for name in place]
    for number, (network, members) in enumerate(graph.networks.items()):
        parts.append(_band(f"network {network}: {', '.join(members)}", [place[name] for name in members if name in place], floor + number * BAND, width))
    height = floor + len(graph.networks) * BAND + 8
    said = f"{len(graph.services)} services: " + ", ".join(f"{name} {(states or {}).get(name, '')}".strip() for name in sorted(graph.services))
    marker = ('<defs><marker id="dockerlab-arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" markerHeight="9" orient="auto">'
              '<path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker></defs>')
    return (f'<svg viewBox="-2 0 {width + 4} {height}" width="{min(width + 4, 800)}" role="img" aria-label="{escape(said)}" '
            f'style="max-width:100%;color:var(--jp-ui-font-color1,{PALETTE["ink"]});font-family:sans-serif">{marker}{"".join(parts)}</svg>')


def _service(name: str, graph: Graph, at: tuple[int, int], state: str) -> str:
    x, y = at
    mark, colour = STATES.get(state, ("", PALETTE["run"]))
    image = graph.services[name]
    lines = [f'<rect x="{x}" y="{y}" width="{BOX}" height="{HIGH}" rx="6" fill="none" stroke="{colour}" stroke-width="{3 if state else 1.6}"/>',
             _text(x + 10, y + 22, name, 14, bold=True), _text(x + 10, y + 40, _short(image, 28), 11),
             _text(x + 10, y + 57, f"{mark} {state}", 11) if state else ""]
    for number, port in enumerate(graph.ports.get(name, ())[:1]):
        lines.append(_text(x + 10, y - 8 - 14 * number, f"⇅ port {port}", 11))
    for number, volume in enumerate(graph.volumes.get(name, ())[:2]):
        lines.append(_text(x + 10, y + HIGH + 16 + 14 * number, f"⛁ {_short(volume, 32)}", 11))
    return "".join(lines)


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = start, end
    if x1 == x2:  # a circle: side by side in one column
        return ""
    return (f'<path d="M{x1 + BOX},{y1 + HIGH / 2} C{x1 + BOX + GAP / 2},{y1 + HIGH / 2} {x2 - GAP / 2},{y2 + HIGH / 2} {x2 - 2},{y2 + HIGH / 2}" '
            'fill="none" stroke="currentColor" stroke-width="1.4" marker-end="url(#dockerlab-arrow)"><title>waits for</title></path>')


def _band(said: str, members: list[tuple[int, int]], y: int, width: int) -> str:
    left, right = min((x for x, _ in members), default=0), max((x + BOX for x, _ in members), default=width)
    ticks = "".join(f'<circle cx="{x + BOX / 2}" cy="{y + 6}" r="4" fill="currentColor"/>' for x in sorted({x for x, _ in members}))
    return (f'<line x1="{left}" y1="{y + 6}" x2="{right}" y2="{y + 6}" stroke="{PALETTE["good"]}" stroke-width="5" stroke-linecap="round"/>'
            f'{ticks}{_text(left, y + 24, said, 11)}')


def _text(x: float, y: float, text: str, size: int, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}"{weight} fill="currentColor">{escape(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
