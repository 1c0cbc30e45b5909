"""How the counter is run. The check calls start() each time it needs a container."""

from __future__ import annotations

import docker


def start(client: docker.DockerClient, image: str, name: str, port: int, data: str) -> None:
    """Run `image` as a container called `name`; its port 8000 is to be `port` of this machine, `data` is the name of a volume."""
    client.containers.run(
        image,
        name=name,
        detach=True,
        ports={"8000/tcp": ("127.0.0.1", port)},
        volumes={data: {"bind": "/data", "mode": "rw"}},
        restart_policy={"Name": "unless-stopped"},
        mem_limit="128m",
        memswap_limit="128m",
        log_config={"type": "json-file", "config": {"max-size": "1m", "max-file": "3"}},
    )
