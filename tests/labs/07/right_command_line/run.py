"""How the counter is run, as one command line."""

import subprocess


def start(client: object, image: str, name: str, port: int, data: str) -> None:
    """Run it."""
    options = (f"--name {name} -p 127.0.0.1:{port}:8000 -v {data}:/data --restart always --memory 100m --memory-swap 100m "
               "--log-driver local --log-opt max-size=1m --log-opt max-file=3")
    subprocess.run(["docker", "run", "-d", *options.split(), image], check=True, capture_output=True)
