"""How the counter is run."""

import docker

SECOND = 1_000_000_000
PROBE = "python -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=1)\" || exit 1"


def start(client: docker.DockerClient, image: str, name: str, port: int, data: str) -> None:
    """Make it, then start it."""
    box = client.containers.create(
        image, name=name, user="10001", init=True, ports={"8000/tcp": ("127.0.0.1", port)},
        mounts=[docker.types.Mount("/data", data)], restart_policy={"Name": "on-failure"}, mem_limit="96m", memswap_limit="96m",
        log_config={"config": {"max-size": "2m", "max-file": "2"}},
        healthcheck={"test": ["CMD-SHELL", PROBE], "interval": SECOND, "timeout": 5 * SECOND, "retries": 2, "start_period": 15 * SECOND},
    )
    box.start()
