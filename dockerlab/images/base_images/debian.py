"""Make a stand-in: a root file system of Debian packages (mmdebstrap), with the site's certificate and package index in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import docker

from dockerlab.core.errors import CourseError
from dockerlab.core.hashing import of_files
from dockerlab.core.settings import Site
from dockerlab.engine import object_labels, process_marks
from dockerlab.images.base_images import site_layer
from dockerlab.images.base_images.recipes import Base
from dockerlab.images.base_images.site_layer import (
    BUNDLE,
    KEYRING,
    SITE_LABEL,
    STANDIN_LABEL,
    SUITE,
    bridge_gateway,
    pip_conf,
    uv_toml,
)

STANDINS = Path(__file__).parent / "substitutes"
APT_SETTINGS = (
    "docker-clean",
    "docker-gzip-indexes",
)  # those of the official images that change what a layer weighs
DOCS = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
)
MAKE_SECONDS = 600
# How apt and mmdebstrap say that no mirror was reached, rather than that a package is wrong.
OFFLINE = (
    "Could not resolve",
    "Temporary failure",
    "Could not connect",
    "Cannot initiate the connection",
    "Unable to connect",
    "timed out",
)


class Offline(CourseError):
    """Nothing could be reached where this base would have come from."""


def make(base: Base, client: docker.DockerClient, site: Site) -> None:
    """Make the stand-in of `base` and import it under its public name. Asks the engine.

    Raises Offline where no Debian mirror answers, CourseError where mmdebstrap is missing or fails.
    """
    if not shutil.which("mmdebstrap"):
        raise CourseError("mmdebstrap is not installed (apt-get install mmdebstrap)")
    with process_marks.folder("base") as name:
        folder = Path(name)
        done = subprocess.run(
            _command(base, site, _write_hooks(base, client, site, folder), folder / "root.tar"),
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=MAKE_SECONDS,
        )  # fmt: skip
        if done.returncode:
            if any(sign in done.stderr for sign in OFFLINE):
                raise Offline("no Debian mirror answers")
            said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("I: ")]
            raise CourseError("mmdebstrap failed: " + " | ".join(said[-4:]))
        labels = object_labels.image_labels(base.name, kind="base") | {STANDIN_LABEL: base.differs}
        labels |= {SITE_LABEL: site_layer.wanted(client, site)} if site_layer.takes(base) else {}
        changes = [f'LABEL {key}="{value}"' for key, value in labels.items()] + list(base.changes)
        repository, _, tag = base.name.rpartition(":")
        client.api.import_image_from_file(
            str(folder / "root.tar"), repository=repository, tag=tag, changes=changes
        )


def recipe() -> str:
    """What stand-ins are made by: changes with any recipe and any line of this package."""
    folder = Path(__file__).parent
    return of_files(folder.rglob("*"), folder)[:16]


def _command(base: Base, site: Site, hooks: dict[str, Path], root: Path) -> list[str]:
    """The mmdebstrap call that writes the root file system as a tar."""
    installs = base.variant != "extract"
    packages = (*base.packages, "usr-is-merged") if installs else base.packages
    options = [
        "Acquire::Languages none",
        "Acquire::Retries 2",
        "Acquire::http::Timeout 20",
        "Acquire::https::Timeout 20",
        "APT::Install-Recommends false",
    ]
    options += [f"Acquire::https::CaInfo {site.ca_bundle}"] if site.ca_bundle and site.apt_mirror else []
    command = [
        "mmdebstrap",
        f"--variant={base.variant}",
        f"--include={','.join(packages)}",
        "--skip=check/empty,cleanup/run",
    ]
    command += [f"--aptopt={option}" for option in options]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in DOCS] + [
        "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    ]
    if installs:  # merged /usr from the start, so that the usrmerge package and its perl stay out
        command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
    command += [f'--{moment}-hook={script} "$1"' for moment, script in hooks.items()]
    return [*command, SUITE, str(root), *debian_sources(site)]


def _write_hooks(base: Base, client: docker.DockerClient, site: Site, folder: Path) -> dict[str, Path]:
    """The scripts that mmdebstrap runs on the root, by the moment when it runs them."""
    pip = folder / "pip.conf"
    if base.python:
        pip.write_text(pip_conf(site, bridge_gateway(client)), encoding="utf-8")
        pip.with_name("uv.toml").write_text(uv_toml(site, bridge_gateway(client)), encoding="utf-8")
    last = _kept(base) if base.variant == "extract" else []
    last += [*(_pip(pip) if base.python else []), *_certificate(base, site)]
    last += [
        line
        for name, place in base.files
        for line in (
            f"mkdir -p {Path(place).parent}",
            f'install -m {_mode(name)} "{STANDINS / name}" {place}',
        )
    ]
    if base.variant != "extract":  # before a recipe's own lines: postgres has a folder there
        last += [
            "rm -rf run/*",
            "mkdir -m 1777 run/lock",
            "sed -i -e /Install-Recommends/d -e /CaInfo/d etc/apt/apt.conf.d/99mmdebstrap",
        ]
        last += (
            [f"echo '{site_layer.apt_conf().strip()}' > etc/apt/apt.conf.d/99dockerlab-site"]
            if site.ca_bundle
            else []
        )
        last += [f'install -m 644 "{STANDINS / name}" etc/apt/apt.conf.d/{name}' for name in APT_SETTINGS]
    last += base.commands
    if base.variant != "extract":  # the official images carry no byte code of the standard library either
        last += [
            "find . -xdev -name __pycache__ -type d -prune -exec rm -rf {} +",
            "rm -rf var/lib/apt/lists/* var/cache/apt/* var/log/*.log var/log/apt",
        ]
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
    if site.ca_bundle:
        return ["mkdir -p etc/ssl/certs", f'cp "{site.ca_bundle}" {BUNDLE}']
    if base.variant == "extract":
        return ["mkdir -p etc/ssl/certs", f"cat usr/share/ca-certificates/mozilla/*.crt > {BUNDLE}"]
    return []


def debian_sources(site: Site) -> list[str]:
    """`deb` lines for SUITE, its updates and its security fixes, from the site's mirror, else from those that this machine itself uses.

    Empty where this machine is not Debian: mmdebstrap then takes its own default.
    """
    signed = f"[signed-by={KEYRING}] " if Path(KEYRING).exists() else ""
    suites = ((SUITE, f"{SUITE}-updates"), (f"{SUITE}-security",))
    return [
        f"deb {signed}{uri} {suite} main"
        for uri, each in zip(site_layer.mirrors(site), suites, strict=False)
        for suite in each
    ]
