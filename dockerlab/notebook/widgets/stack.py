"""Instrument: a compose project, live: services with state and health, networks, volumes, ports; a service's button shows its logs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import ipywidgets as widgets

from dockerlab.containers.compose import Service, Stack
from dockerlab.containers.compose_graph import Graph, graph
from dockerlab.notebook.charts.stack import stack_svg
from dockerlab.notebook.widgets import live

LOOK_SECONDS = 1.0


def states(services: Iterable[Service]) -> dict[str, str]:
    """The state of every service, health where there is a check; of several containers, the one that is worst. Pure."""
    order = [
        "exited",
        "dead",
        "unhealthy",
        "restarting",
        "starting",
        "paused",
        "created",
        "running",
        "healthy",
    ]
    found: dict[str, str] = {}
    for each in services:
        state = each.health or each.state if each.state == "running" else each.state
        both = [state, found.get(each.service, state)]
        found[each.service] = min(both, key=lambda name: order.index(name) if name in order else 0)
    return found


class StackGraph(live.Instrument):
    """Draws `stack` and keeps its states up to date until the stack is down."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack
        self.graph: Graph | None = None
        self.states: dict[str, str] = {}
        self._picture, self._buttons, self._log = (
            widgets.HTML(),
            widgets.HBox(layout=widgets.Layout(flex_flow="row wrap")),
            widgets.HTML(),
        )
        self.box.children = [self._picture, self._buttons, self._log, self.note]
        self.every(LOOK_SECONDS, self._look)

    def _look(self) -> bool:
        if self.graph is None:
            self.graph = graph(self.stack.config())
            self._buttons.children = [
                live.button(f"logs {name}", partial(self.show, name), f"docker compose logs --tail 20 {name}")
                for name in sorted(self.graph.services)
            ]
        seen = bool(self.states)
        self.states = states(self.stack.services())
        drawn = stack_svg(self.graph, self.states)
        if self._picture.value != drawn:
            self._picture.value = drawn
        if seen and not self.states:
            self.say("The stack is down.")
        return bool(self.states) or not seen

    def show(self, service: str) -> None:
        """Show the last lines of a service."""
        self.start(
            lambda: setattr(self._log, "value", live.log(self.stack.logs(service, 20), f"Logs of {service}"))
        )

    def text(self) -> str:
        """One line a service."""
        if self.graph is None:
            return f"{self.stack.project} is being read."
        return "\n".join(
            f"{name:<12} {self.states.get(name, 'not there'):<10} {image}"
            for name, image in sorted(self.graph.services.items())
        )
