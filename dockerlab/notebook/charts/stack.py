"""A compose project as a picture: services as boxes, what they wait for as arrows, networks as bands with their members, volumes and ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dockerlab.containers.compose_graph import Graph
from dockerlab.notebook.charts.style import PALETTE

BOX, GAP, HIGH = 190, 70, 66
TOP, BAND = 46, 40
HATCHES = ("none", "7 4", "2 4")  # of the bands: networks differ also without colour
STATES = {
    "healthy": ("✓", PALETTE["best"]),
    "running": ("▶", PALETTE["run"]),
    "starting": ("…", PALETTE["good"]),
    "unhealthy": ("✗", PALETTE["bad"]),
    "exited": ("■", PALETTE["bad"]),
    "paused": ("‖", PALETTE["cached"]),
}


def columns(graph: Graph) -> dict[str, int]:
    """The column of every service: those that wait for others stand left of them. Pure; a circle counts as no order."""
    depth: dict[str, int] = {}

    def place(name: str, seen: frozenset[str]) -> int:
        if name not in depth:
            after = [
                place(other, seen | {name})
                for other in graph.depends.get(name, ())
                if other not in seen and other in graph.services
            ]
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
    parts = [
        _arrow(place[name], place[other])
        for name, others in graph.depends.items()
        for other in others
        if other in place
    ]
    parts += [_service(name, graph, place[name], (states or {}).get(name, "")) for name in place]
    parts += [
        _band(number, network, graph, place, floor + number * BAND, width)
        for number, network in enumerate(graph.networks)
    ]
    height = floor + len(graph.networks) * BAND + 22
    parts.append(_text(0, height - 6, _legend(graph), 11))
    said = f"{len(graph.services)} services: " + ", ".join(
        f"{name} {(states or {}).get(name, '')}".strip() for name in sorted(graph.services)
    )
    return (
        f'<svg viewBox="-2 0 {width + 4} {height}" width="{min(width + 4, 800)}" role="img" aria-label="{escape(said)}" '
        f'style="max-width:100%;color:var(--jp-ui-font-color1,{PALETTE["ink"]});font-family:sans-serif">{"".join(parts)}</svg>'
    )


def _legend(graph: Graph) -> str:
    said = ["→ waits for"] if graph.depends else []
    said += ["dashed box: starts only on demand (a profile)"] if graph.on_demand else []
    return "   ·   ".join([*said, *(["band: who shares a network"] if graph.networks else [])])


def _service(name: str, graph: Graph, at: tuple[int, int], state: str) -> str:
    x, y = at
    mark, colour = STATES.get(state, ("", PALETTE["run"]))
    image = graph.services[name]
    dash = ' stroke-dasharray="6 4"' if name in graph.on_demand else ""
    lines = [
        f'<rect x="{x}" y="{y}" width="{BOX}" height="{HIGH}" rx="6" fill="none" stroke="{colour}" '
        f'stroke-width="{3 if state else 1.6}"{dash}/>',
        _text(x + 10, y + 22, name, 14, bold=True),
        _text(x + 10, y + 40, _short(image, 28), 11),
        _text(x + 10, y + 57, f"{mark} {state}", 11) if state else "",
    ]
    ports, volumes = graph.ports.get(name, ()), graph.volumes.get(name, ())
    for number, port in enumerate(_some(ports, 1)):
        lines.append(_text(x + 10, y - 8 - 14 * number, f"⇅ port {port}", 11))
    for number, volume in enumerate(_some(volumes, 2)):
        lines.append(_text(x + 10, y + HIGH + 16 + 14 * number, f"⛁ {volume}", 11))
    whole = "".join(
        f"<title>{escape(each)}</title>"
        for each in ["; ".join([*(f"port {port}" for port in ports), *volumes])]
        if each
    )
    return f"<g>{whole}{''.join(lines)}</g>"


def _some(entries: Sequence[str], most: int) -> list[str]:
    """The first entries, and how many more there are."""
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return [
        _short(entry, 31 - len(more) * (number == most - 1)) + more * (number == most - 1)
        for number, entry in enumerate(entries[:most])
    ]


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = start, end
    if x1 == x2:  # a circle: side by side in one column
        return ""
    from_y, to_y = y1 + HIGH / 2, y2 + HIGH / 2
    curve = f"M{x1 + BOX},{from_y} C{x1 + BOX + GAP / 2},{from_y} {x2 - GAP / 2},{to_y} {x2 - 9},{to_y}"
    return (
        f'<path d="{curve}" fill="none" stroke="currentColor" stroke-width="1.4"><title>waits for</title></path>'
        f'<path d="M{x2 - 11},{to_y - 5} L{x2 - 2},{to_y} L{x2 - 11},{to_y + 5} z" fill="currentColor"/>'
    )


def _band(
    number: int, network: str, graph: Graph, place: Mapping[str, tuple[int, int]], y: int, width: int
) -> str:
    """A network from edge to edge; its members stand in it, each below its own column."""
    inside = " · no way out" if network in graph.internal else ""
    dash = HATCHES[number % len(HATCHES)]
    parts = [
        f'<rect x="0" y="{y}" width="{width - 4}" height="28" rx="14" fill="{PALETTE["good"]}" fill-opacity="0.14" '
        f'stroke="{PALETTE["good"]}" stroke-width="1.6" stroke-dasharray="{dash}"/>'
    ]
    members: dict[int, list[str]] = {}
    for name in graph.networks[network]:
        if name in place:
            members.setdefault(place[name][0], []).append(name)
    for x, names in members.items():
        parts.append(
            _text(
                x + 10,
                y + 19,
                "● " + "  ● ".join(sorted(names, key=lambda name: place[name][1])),
                12,
                bold=True,
            )
        )
    free = next((x for x in sorted({x for x, _ in place.values()}) if x not in members), None)
    label = f"network {network}{inside}"
    return "".join(
        [
            *parts,
            _text(free + 10 if free is not None else 10, y + (19 if free is not None else -4), label, 11),
        ]
    )


def _text(x: float, y: float, text: str, size: int, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}"{weight} fill="currentColor">{escape(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
