"""Make a stand-in: a root file system of Debian packages (mmdebstrap), with the site's certificate and package index in it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import docker
from docker.errors import APIError

from dockerlab import engine
from dockerlab.bases.recipes import Base
from dockerlab.digest import of_files
from dockerlab.errors import CourseError
from dockerlab.site import Site

SUITE = "bookworm"
STANDIN_LABEL = "dockerlab.standin"
STANDINS = Path(__file__).parent / "standins"
APT_SETTINGS = ("docker-clean", "docker-gzip-indexes")  # those of the official images that change what a layer weighs
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DOCS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
MAKE_SECONDS = 600
# How apt and mmdebstrap say that no mirror was reached, rather than that a package is wrong.
OFFLINE = ("Could not resolve", "Temporary failure", "Could not connect", "Cannot initiate the connection", "Unable to connect", "timed out")


class Offline(CourseError):
    """Nothing could be reached where this base would have come from."""


def make(base: Base, client: docker.DockerClient, site: Site) -> None:
    """Make the stand-in of `base` and import it under its public name. Asks the engine.

    Raises Offline where no Debian mirror answers, CourseError where mmdebstrap is missing or fails.
    """
    if not shutil.which("mmdebstrap"):
        raise CourseError("mmdebstrap is not installed (apt-get install mmdebstrap)")
    with tempfile.TemporaryDirectory(prefix="dockerlab-base-") as name:
        folder = Path(name)
        done = subprocess.run(
            _command(base, _write_hooks(base, client, site, folder), folder / "root.tar"),
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=MAKE_SECONDS,
        )  # fmt: skip
        if done.returncode:
            if any(sign in done.stderr for sign in OFFLINE):
                raise Offline("no Debian mirror answers")
            said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("I: ")]
            raise CourseError("mmdebstrap failed: " + " | ".join(said[-4:]))
        labels = engine.labels(kind="base") | {STANDIN_LABEL: base.differs}
        changes = [f'LABEL {key}="{value}"' for key, value in labels.items()] + list(base.changes)
        repository, _, tag = base.name.rpartition(":")
        client.api.import_image_from_file(str(folder / "root.tar"), repository=repository, tag=tag, changes=changes)


def recipe() -> str:
    """What stand-ins are made by: changes with any recipe and any line of this package."""
    folder = Path(__file__).parent
    return of_files(folder.rglob("*"), folder)[:16]


def _command(base: Base, hooks: dict[str, Path], root: Path) -> list[str]:
    """The mmdebstrap call that writes the root file system as a tar."""
    installs = base.variant != "extract"
    packages = (*base.packages, "usr-is-merged") if installs else base.packages
    options = ["Acquire::Languages none", "Acquire::Retries 2", "Acquire::http::Timeout 20", "Acquire::https::Timeout 20", "APT::Install-Recommends false"]
    command = ["mmdebstrap", f"--variant={base.variant}", f"--include={','.join(packages)}", "--skip=check/empty,cleanup/run"]
    command += [f"--aptopt={option}" for option in options]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in DOCS] + ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    if installs:  # merged /usr from the start, so that the usrmerge package and its perl stay out
        command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
    command += [f'--{moment}-hook={script} "$1"' for moment, script in hooks.items()]
    return [*command, SUITE, str(root), *debian_sources()]


def _write_hooks(base: Base, client: docker.DockerClient, site: Site, folder: Path) -> dict[str, Path]:
    """The scripts that mmdebstrap runs on the root, by the moment when it runs them."""
    pip = folder / "pip.conf"
    if base.python:
        pip.write_text(_pip_conf(client, site), encoding="utf-8")
        pip.with_name("uv.toml").write_text(_uv_toml(client, site), encoding="utf-8")
    last = _kept(base) if base.variant == "extract" else []
    last += [*(_pip(pip) if base.python else []), *_certificate(base, site)]
    last += [line for name, place in base.files for line in (f"mkdir -p {Path(place).parent}", f'install -m {_mode(name)} "{STANDINS / name}" {place}')]
    if base.variant != "extract":  # before a recipe's own lines: postgres has a folder there
        last += ["rm -rf run/*", "mkdir -m 1777 run/lock", "sed -i /Install-Recommends/d etc/apt/apt.conf.d/99mmdebstrap"]
        last += [f'install -m 644 "{STANDINS / name}" etc/apt/apt.conf.d/{name}' for name in APT_SETTINGS]
    last += base.commands
    if base.variant != "extract":  # the official images carry no byte code of the standard library either
        last += ["find . -xdev -name __pycache__ -type d -prune -exec rm -rf {} +", "rm -rf var/lib/apt/lists/* var/cache/apt/* var/log/*.log var/log/apt"]
    hooks = {"extract" if base.variant == "extract" else "customize": last}
    if base.prepare:
        hooks["essential"] = list(base.prepare)
    return {moment: _script(folder / f"{moment}.sh", lines) for moment, lines in hooks.items()}


def _script(file: Path, lines: list[str]) -> Path:
    file.write_text("\n".join(["#!/bin/sh", "set -e", 'cd "${1:?}"', *lines]) + "\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def _mode(name: str) -> str:
    return "755" if name.endswith(".sh") else "644"


def _kept(base: Base) -> list[str]:
    """Throw away all but what a recipe keeps.

    /tmp holds the settings of mmdebstrap's apt: without them its clean-up would empty the package lists of this machine instead.
    /dev, /proc and /sys are mounted while the hook runs.
    """
    if not base.keep:
        return []
    paths = " ".join((*base.keep, "etc/apt", "var/lib/apt", "var/cache/apt"))
    stays = " ".join(f"! -name {name}" for name in (".keep", "tmp", "dev", "proc", "sys"))
    return [
        "mkdir .keep", f'for path in {paths}; do [ ! -e "$path" ] || cp -a --parents "$path" .keep; done',
        f"find . -xdev -mindepth 1 -maxdepth 1 {stays} -exec rm -rf {{}} +", "mv .keep/* .", "rmdir .keep", "mkdir -p -m 1777 var/tmp",
    ]  # fmt: skip


def _pip(conf: Path) -> list[str]:
    """python, python3 and pip under /usr/local/bin as in the official images, from Debian's own wheels."""
    wheels = "/usr/share/python-wheels"
    return [
        "rm -f usr/lib/python3.11/EXTERNALLY-MANAGED",
        "for name in python python3 python3.11; do ln -sf /usr/bin/python3.11 usr/local/bin/$name; done",
        f'cp "{conf}" etc/pip.conf',
        f'mkdir -p etc/uv && cp "{conf.with_name("uv.toml")}" etc/uv/uv.toml',
        f"chroot . sh -c 'python3.11 $(ls {wheels}/pip-*.whl)/pip --disable-pip-version-check install -q --root-user-action ignore --no-index "
        f"--find-links {wheels} --prefix /usr/local pip setuptools'",
        # Debian's pip may add another local/ below the prefix.
        "[ ! -d usr/local/local ] || { cp -a usr/local/local/. usr/local/; rm -rf usr/local/local; }",
    ]


def _certificate(base: Base, site: Site) -> list[str]:
    """The site's certificate authorities, or those that an unpacked ca-certificates has not put together."""
    bundle = "etc/ssl/certs/ca-certificates.crt"
    if site.ca_bundle:
        return ["mkdir -p etc/ssl/certs", f'cp "{site.ca_bundle}" {bundle}']
    if base.variant == "extract":
        return ["mkdir -p etc/ssl/certs", f"cat usr/share/ca-certificates/mozilla/*.crt > {bundle}"]
    return []


def _pip_conf(client: docker.DockerClient, site: Site) -> str:
    """pip's settings inside a stand-in: the site's index, its certificate, and trust in the class's own wheel index."""
    lines = ["[global]", "disable-pip-version-check = true", "root-user-action = ignore"]
    if site.index_url:
        lines.append(f"index-url = {site.index_url}")
    if site.ca_bundle:
        lines.append("cert = /etc/ssl/certs/ca-certificates.crt")
    gateway = bridge_gateway(client)
    return "\n".join([*lines, f"trusted-host = {gateway}" if gateway else ""]) + "\n"


def _uv_toml(client: docker.DockerClient, site: Site) -> str:
    """The same for uv, which does not read pip's settings and brings certificate authorities of its own."""
    gateway = bridge_gateway(client)
    lines = ["system-certs = true"] if site.ca_bundle else []
    lines += [f'allow-insecure-host = ["{gateway}"]'] if gateway else []
    return "\n".join([*lines, *(["[[index]]", f'url = "{site.index_url}"', "default = true"] if site.index_url else [])]) + "\n"


def bridge_gateway(client: docker.DockerClient) -> str:
    """The address of the host as containers on the default bridge see it, or "". Asks the engine."""
    try:
        settings = client.api.inspect_network("bridge")["IPAM"]["Config"]
    except (APIError, KeyError):
        return ""
    return next((entry["Gateway"] for entry in settings or [] if "Gateway" in entry), "")


def debian_sources() -> list[str]:
    """`deb` lines for SUITE, its updates and its security fixes, from the mirrors that this machine itself uses.

    Empty where this machine is not Debian: mmdebstrap then takes its own default.
    """
    uris = [uri.rstrip("/") for uri in _apt_uris()]
    mirror = next((uri for uri in uris if uri.endswith("/debian")), "")
    security = next((uri for uri in uris if uri.endswith("/debian-security")), "")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = [f"deb {signed}{mirror} {SUITE} main", f"deb {signed}{mirror} {SUITE}-updates main"] if mirror else []
    return lines + ([f"deb {signed}{security} {SUITE}-security main"] if mirror and security else [])


def _apt_uris() -> list[str]:
    """Every URI in this machine's apt sources, in both of apt's formats (sources.list(5))."""
    uris = []
    for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if file.is_file():
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                words = line.split()
                if words and words[0] in ("URIs:", "deb"):
                    uris += [word for word in words[1:] if word.startswith(("http://", "https://"))]
    return uris
