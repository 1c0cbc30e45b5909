"""Where bases, packages and certificates come from on this site: one settings object.

Each value is looked up in the environment (`DOCKERLAB_INDEX_URL` and so on), then in `course.local.toml` at the top
of the checkout, then in what pip and TLS tools are told on this machine, then in the defaults: the public internet.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_state_path

from dockerlab.core.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]
# What lessons stage and the ladder measures lies here; a checkout that cannot be written has it elsewhere.
BUILD = Path(os.environ.get("DOCKERLAB_BUILD") or ROOT / "build")
LOCAL_FILE = "course.local.toml"
BASES_SOURCES = ("auto", "pull", "mirror", "bundle", "debian")


def state_folder() -> Path:
    """Where progress and the record of what the course built are kept: DOCKERLAB_STATE, by default the user's folder for such things."""
    return Path(os.environ.get("DOCKERLAB_STATE") or user_state_path("dockerlab"))


@dataclass(frozen=True)
class Site:
    """Settings of one site; URLs carry no trailing slash.

    An empty string means "not set": an empty `index_url` leaves pip its own default, the public index. `apt_mirror` is the address of
    Debian's archive on the site's mirror and, after a space, where it has one, that of its security archive
    (`https://mirror.example/debian https://mirror.example/debian-security`).
    """

    index_url: str = ""
    torch_index_url: str = "https://download.pytorch.org/whl/cpu"
    find_links: str = ""
    registry_mirror: str = ""
    apt_mirror: str = ""
    ca_bundle: str = ""
    bases_source: str = "auto"
    bases_bundle: str = ""
    bases_bundle_sha256: str = ""

    def wheels(self) -> list[Path]:
        """Wheels of torch that lie on this machine, newest name last."""
        return sorted(Path(self.find_links).glob("torch-*.whl")) if self.find_links else []


FILES = ("find_links", "ca_bundle", "bases_bundle")


def load_site(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Site:
    """The settings of this machine. Raises CourseError when `course.local.toml` cannot be read, is misspelt, or a value cannot be right."""
    values: dict[str, str] = {key: value for key, value in _machine(environ).items() if value}
    local, own = root / LOCAL_FILE, _own_settings(root)
    values |= {
        key: str(root / Path(value).expanduser()) if key in FILES and value else value
        for key, value in own.items()
    }
    values |= {
        item.name: environ[key]
        for item in fields(Site)
        if (key := f"DOCKERLAB_{item.name.upper()}") in environ
    }
    site = Site(**{key: value.strip().rstrip("/") for key, value in values.items()})
    for name in own.keys() | {
        item.name for item in fields(Site) if f"DOCKERLAB_{item.name.upper()}" in environ
    }:
        if problem := _problem(name, getattr(site, name)):
            where = (
                f"DOCKERLAB_{name.upper()}"
                if f"DOCKERLAB_{name.upper()}" in environ
                else f"{name} in {local.name}"
            )
            raise CourseError(f"{where} is {getattr(site, name)!r}.", fix=problem)
    return site


def _own_settings(root: Path) -> dict[str, str]:
    """What course.local.toml sets; {} where there is none."""
    local, names = root / LOCAL_FILE, {item.name for item in fields(Site)}
    if not local.exists():
        return {}
    try:
        settings = tomllib.loads(local.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise CourseError(
            f"{LOCAL_FILE} cannot be read.", f"{error}.", "Correct that line or remove the file."
        ) from error
    if unknown := sorted(set(settings) - names):
        raise CourseError(
            f"{LOCAL_FILE} sets {', '.join(unknown)}, which means nothing.",
            fix=f"Known: {', '.join(sorted(names))}.",
        )
    if wrong := sorted(key for key, value in settings.items() if not isinstance(value, str)):
        raise CourseError(
            f"{LOCAL_FILE} sets {', '.join(wrong)} to something other than a text.",
            fix='Write each value in quotes: name = "value".',
        )
    return settings


def _problem(name: str, value: str) -> str:
    """What a value must be, "" where it is that or not set. Pure."""
    if not value and name != "bases_source":
        return ""
    if name == "bases_source" and value not in BASES_SOURCES:
        return f"Use one of: {', '.join(BASES_SOURCES)}."
    if name in ("index_url", "torch_index_url") and not _is_web(value):
        return "Write the address of a package index that containers reach too: https://host/simple."
    if name == "apt_mirror" and not (1 <= len(value.split()) <= 2 and all(map(_is_web, value.split()))):
        return "Write the address of a Debian archive and, where there is one, that of its security archive: https://host/debian https://host/debian-security."
    if name == "registry_mirror" and not re.fullmatch(
        r"(https?://)?[\w.-]+(:\d+)?(/[\w./-]+)?|(https?://)?\[[0-9a-f:]+\](:\d+)?", value, re.I
    ):
        return "Write host:port of a registry; a login belongs to `docker login`."
    if name == "bases_bundle_sha256" and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        return "Write the 64 hexadecimal digits that `sha256sum` prints for the file of saved bases."
    return ""


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"[\s\"'\\]", address)
        )
    except ValueError:
        return False


def _machine(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip and OpenSSL are told on this machine: package index, folder of wheels, certificate authorities.

    An index in a folder of this machine is left out: builds could not read it.
    """
    pip = _pip_config(environ)
    links = environ.get("PIP_FIND_LINKS") or pip.get("find-links", "")
    folder = next((part for part in links.split() if Path(part).is_dir()), "")
    bundle = next(
        (environ[key] for key in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT") if environ.get(key)),
        pip.get("cert", ""),
    )
    named = next(
        (environ[key] for key in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL") if environ.get(key)),
        pip.get("index-url", ""),
    )
    return {
        "index_url": named if _is_web(named) else "",
        "find_links": folder,
        "ca_bundle": bundle if bundle and Path(bundle).is_file() else "",
    }


def _pip_config(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of pip's configuration files for `pip install`, later files winning (pip's documentation, "Configuration").

    The order is global, user, then PIP_CONFIG_FILE, whose value os.devnull means that no file is read; in a file, [install] wins over [global].
    Raises CourseError for a file that pip could not read either.
    """
    home = Path(environ.get("HOME", "~")).expanduser()
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return {}
    shared = [
        Path(folder) / "pip/pip.conf"
        for folder in reversed((environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep))
        if folder
    ]
    mac = home / "Library/Application Support/pip"
    user = (
        mac
        if sys.platform == "darwin" and mac.is_dir()
        else Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    )
    files = [
        *shared,
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        user / "pip.conf",
        *([Path(named)] if named else []),
    ]
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            if file.is_file():
                parser.read_string(file.read_text(encoding="utf-8-sig"), str(file))
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise CourseError(
                f"pip's settings in {file} cannot be read.",
                f"{reason}.",
                "Correct that file, as pip needs it too, or move it away.",
            ) from error
        for section, kept in found.items():
            if parser.has_section(section):
                kept |= {
                    name.replace("_", "-").removeprefix("--"): value
                    for name, value in parser[section].items()
                }
    return found["global"] | found["install"]


ASSETS = ROOT / "assets"
