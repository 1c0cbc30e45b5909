"""How the counter is run."""

import docker


def start(client: docker.DockerClient, image: str, name: str, port: int, data: str) -> None:
    """Run it."""
    client.containers.run(
        image, name=name, detach=True,
        ports={"8000/tcp": ("127.0.0.1", port)},
        volumes={data: {"bind": "/data", "mode": "rw"}},
        restart_policy={"Name": "unless-stopped"},
        mem_limit="128m", memswap_limit="128m",
        log_config={"type": "json-file", "config": {"max-size": "1m", "max-file": "3"}},
        init=True,
    )
