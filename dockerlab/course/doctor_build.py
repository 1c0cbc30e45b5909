"""`dockerlab doctor --build`: small real builds that prove the settings of this site, for both ways in which the course builds.

A base is brought, a RUN step updates apt's lists, another installs one small package by pip; by the Engine API and by a plain
`docker build`. Without a cache, and without an image at the end. A step that fails names the setting that it depends on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import DockerException

from dockerlab.core.errors import CourseError
from dockerlab.core.settings import Site
from dockerlab.course.precondition import Check
from dockerlab.engine import endpoint, object_labels, process_marks
from dockerlab.engine.command import NoDockerCommand
from dockerlab.engine.command import docker as docker_command
from dockerlab.images import base_images

SECONDS = 240
# Errors count (apt only warns of a mirror that it does not reach), and no waiting for what does not come.
STEPS = {
    "apt": "apt-get -o APT::Update::Error-Mode=any -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 update",
    "pip": "pip install --retries 1 --timeout 15 --no-cache-dir --no-deps --target /tmp/dockerlab-proof six",
}
_CERTIFICATE = r"certificate verif|CERTIFICATE_VERIFY_FAILED|certificate is NOT trusted|unable to get local issuer|SSLError|self.signed certificate"
_PROXY = r"ProxyError|Cannot connect to proxy|proxy replied|from proxy|[Pp]roxy.{0,40}(?:refused|resolve|failed)|407 "


def checks(site: Site, client: docker.DockerClient) -> list[Check]:
    """One check for the base and one for each pair of step and way of building. Asks the engine; takes up to a few minutes."""
    try:
        state = base_images.ensure(base_images.SLIM, client, site)
    except CourseError as error:
        return [Check("build: base", "failed", f"{error.what} {error.why}".strip(), _base_fix(site))]
    ways: dict[str, Callable[[str], str]] = {"API": partial(_by_api, client), "docker build": _by_command}
    with ThreadPoolExecutor(2) as pool:  # the two ways side by side, the steps of each one after the other
        found = pool.map(lambda way: [(name, way, ways[way](line)) for name, line in STEPS.items()], ways)
        results = [
            judged(name, way, log, site, endpoint.proxies(endpoint.address_of(client)))
            for each in found
            for name, way, log in each
        ]
    return [Check("build: base", "ok", f"{base_images.SLIM}: {state.source}"), *results]


def judged(step: str, way: str, log: str, site: Site, proxies: dict[str, str]) -> Check:
    """The verdict on one step, from what it wrote where it failed, "" where it did not; names the setting to look at. Pure."""
    name = f"build: {step}, {way}"
    source = (
        site.apt_mirror if step == "apt" else site.index_url
    ) or f"the public {'Debian mirror' if step == 'apt' else 'index'}"
    if not log:
        return Check(name, "ok", f"works with {source}")
    setting, example = (
        ("apt_mirror", "of a Debian mirror") if step == "apt" else ("index_url", "of a package index")
    )
    last = _telling(log)
    proxy = next(
        (proxies[each] for each in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") if each in proxies), ""
    )
    if proxy and (re.search(_PROXY, log) or (urlsplit(proxy).hostname or "\n") in last):
        return Check(
            name,
            "failed",
            last,
            f"The proxy {proxy} does not serve builds: correct HTTP_PROXY and HTTPS_PROXY, or proxies in ~/.docker/config.json; "
            "an address of this machine's loopback is another place inside a build.",
        )
    if re.search(_CERTIFICATE, log):
        return Check(
            name,
            "failed",
            last,
            f"The certificate of {source} is not trusted: set ca_bundle to a file with your site's certificate authority"
            f"{f' ({site.ca_bundle} has not got it)' if site.ca_bundle else ''}.",
        )
    if not getattr(site, setting):
        return Check(
            name,
            "failed",
            last,
            f"Builds do not reach {source}: set {setting} to the address {example} that this network has, or a proxy.",
        )
    return Check(
        name,
        "failed",
        last,
        f"Builds do not reach {setting}, {source}: correct it, or start what listens there.",
    )


def _telling(log: str) -> str:
    """The line of a log that says what is wrong: the first error of apt or pip, else its last line. Pure."""
    lines = [re.sub(r"^#\d+ [\d.]+ ", "", line.strip()) for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"E: |ERROR: |W: Failed|WARNING: Retrying|Could not", line)]
    return (errors or lines or ["it says nothing"])[0][:200].rstrip(".")


def _base_fix(site: Site) -> str:
    named = {"registry_mirror": site.registry_mirror, "bases_bundle": site.bases_bundle}
    set_here = " and ".join(f"{name} ({value})" for name, value in named.items() if value)
    return (
        f"Correct {set_here}."
        if set_here
        else "Set registry_mirror to a registry of this network that has the bases, or bases_bundle to a file of them."
    )


def _dockerfile(folder: str, line: str) -> None:
    (Path(folder) / "Dockerfile").write_text(f"FROM {base_images.SLIM}\nRUN {line}\n", encoding="utf-8")


def _by_api(client: docker.DockerClient, line: str) -> str:
    """What a failed step wrote, "" where it worked; the image is removed. Asks the engine."""
    from dockerlab.images.build import build

    log: list[str] = []
    with process_marks.folder("doctor") as folder:
        _dockerfile(folder, line)
        try:
            report = build(
                folder,
                no_cache=True,
                labels=object_labels.labels(kind="doctor"),
                client=client,
                on_step=lambda step: log.append(step.log),
            )
            client.images.remove(report.image_id)
        except CourseError as error:
            return "\n".join([*log, str(error)])
        except (DockerException, requests.RequestException) as error:
            return str(error)
    return ""


def _by_command(line: str) -> str:
    """The same by `docker build`, whose image goes nowhere (`--output type=cacheonly`). Asks the engine."""
    with process_marks.folder("doctor") as folder:
        _dockerfile(folder, line)
        options = ("--no-cache", "--progress", "plain", "--output", "type=cacheonly")
        try:
            done = docker_command("build", *options, str(folder), timeout=SECONDS)
        except NoDockerCommand as error:
            return str(error)
    return done.stdout + done.stderr if done.returncode else ""
