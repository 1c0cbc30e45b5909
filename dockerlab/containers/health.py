"""The states that a container's health check goes through."""

from __future__ import annotations

from docker.models.containers import Container

from dockerlab.core.polling import wait_until


def health_states(container: Container, until: str, timeout: float = 30) -> list[str]:
    """The health states that a container goes through until it is `until`, each once. Asks the engine."""
    seen: list[str] = []

    def reached() -> bool:
        container.reload()
        state: str = container.attrs["State"].get("Health", {}).get("Status", "none")
        if not seen or seen[-1] != state:
            seen.append(state)
        return state == until

    wait_until(reached, timeout, interval=0.1)
    return seen
