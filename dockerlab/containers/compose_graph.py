"""The services of a compose file and what joins them, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Graph:
    """A project as a graph: what there is, and which service asks for what."""

    services: dict[str, str]
    networks: dict[str, tuple[str, ...]]
    volumes: dict[str, tuple[str, ...]]
    ports: dict[str, tuple[str, ...]]
    depends: dict[str, tuple[str, ...]]
    internal: frozenset[str] = frozenset()
    on_demand: frozenset[str] = frozenset()


def graph(config: Mapping[str, Any]) -> Graph:
    """Read a graph off the output of `docker compose config --format json`. Pure.

    `services` maps a name to its image, "built here" or "provider: TYPE"; `networks` a network to its services; `volumes` a service to
    `source → target` (`./NAME` for a folder of this machine, or `tmpfs`); `ports` a service to `host → container`, with the protocol where
    it is not TCP; `depends` a service to those that it waits for; `internal` names the networks without a way out, `on_demand` the services
    of a profile.
    """
    services = {name: service or {} for name, service in (config.get("services") or {}).items()}
    networks: dict[str, list[str]] = {}
    for name, service in services.items():
        for network in service.get("networks") or {}:
            networks.setdefault(network, []).append(name)
    return Graph(
        services={name: _image(service) for name, service in services.items()},
        networks={name: tuple(sorted(members)) for name, members in sorted(networks.items())},
        volumes={
            name: tuple(f"{_source(each)} → {each.get('target')}" for each in service["volumes"])
            for name, service in services.items()
            if service.get("volumes")
        },
        ports={
            name: tuple(_port(each) for each in service["ports"])
            for name, service in services.items()
            if service.get("ports")
        },
        depends={
            name: tuple(sorted(service["depends_on"]))
            for name, service in services.items()
            if service.get("depends_on")
        },
        internal=frozenset(
            name
            for name, network in (config.get("networks") or {}).items()
            if (network or {}).get("internal")
        ),
        on_demand=frozenset(name for name, service in services.items() if service.get("profiles")),
    )


def _image(service: Mapping[str, Any]) -> str:
    if provider := service.get("provider"):
        return f"provider: {provider.get('type')}"
    return service.get("image") or "built here"


def _source(mount: Mapping[str, Any]) -> str:
    """A volume's name, the last part of a folder's path, or the kind of a mount that has neither."""
    kind, source = mount.get("type"), mount.get("source")
    if kind == "bind" and source:
        return f"./{Path(source).name}" if Path(source).name else source
    return source or ("anonymous" if kind in (None, "volume") else kind)


def _port(port: Mapping[str, Any]) -> str:
    address = f"{port['host_ip']}:" if port.get("host_ip") else ""
    protocol = f"/{port['protocol']}" if port.get("protocol") not in (None, "", "tcp") else ""
    return f"{address}{port.get('published') or 'any'} → {port.get('target')}{protocol}"
