"""A package index for builds where a site hands out torch wheels as files instead of through an index.

A container serves the site's folder of wheels as a simple repository API (PEP 503) and sends every other project
on to the site's own index. It listens on the engine's bridge gateway only, where builds can reach it. One serves every learner of an engine.
"""

from __future__ import annotations

from pathlib import Path

import docker
import requests
from docker.errors import APIError, NotFound

from dockerlab.core import polling
from dockerlab.core.errors import CourseError
from dockerlab.core.settings import Site, load_site
from dockerlab.engine import connection, object_labels
from dockerlab.images import base_images

NAME = "dockerlab-wheels"
PORT = 8901
_SERVER = Path(__file__).with_name("wheel_index_script.py")


def torch_index(client: docker.DockerClient | None = None, site: Site | None = None) -> str:
    """The address that a build passes to `pip install --index-url` for CPU builds of torch. Asks the engine.

    It is the site's torch index, unless torch wheels lie in the site's `find_links` folder: then the container
    that serves them is started if need be. Raises CourseError when that container does not answer in 20 s.
    """
    site = site or load_site()
    if not site.wheels():
        return site.torch_index_url
    client = client or connection.connect()
    gateway = base_images.bridge_gateway(client)
    url = f"http://{gateway}:{PORT}"
    try:
        served = client.containers.get(NAME)
        if served.status == "running":
            return url
        served.remove(force=True)
    except NotFound:
        pass
    base_images.ensure(base_images.SLIM, client, site)
    try:
        client.containers.run(
            base_images.SLIM,
            ["python", "-u", "-c", _SERVER.read_text(encoding="utf-8")],
            name=NAME,
            detach=True,
            labels=object_labels.labels(kind="index"),
            environment={"NEXT_INDEX": site.index_url},
            ports={f"{PORT}/tcp": (gateway, PORT)},
            volumes={site.find_links: {"bind": "/wheels", "mode": "ro"}},
            restart_policy={"Name": "unless-stopped"},
        )
    except APIError as error:
        if error.status_code != 409:  # another learner starts it at this moment
            raise
    if polling.wait_until(lambda: _answers(f"{url}/torch/"), 20, interval=0.2):
        return url
    raise CourseError(
        "The container that serves the site's torch wheels does not answer.", fix=f"Run `docker logs {NAME}`."
    )


def _answers(url: str) -> bool:
    """Whether a GET is answered with success; the machine's own server needs no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=2).ok
        except requests.RequestException:
            return False
