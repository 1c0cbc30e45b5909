"""Where bases, packages and certificates come from on this site: one settings object.

Each value is looked up in the environment (`DOCKERLAB_INDEX_URL` and so on), then in `course.local.toml` at the top
of the checkout, then in what pip and TLS tools are told on this machine, then in the defaults: the public internet.
"""

from __future__ import annotations

import configparser
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from dockerlab.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
# What lessons stage and the ladder measures lies here; a checkout that cannot be written has it elsewhere.
BUILD = Path(os.environ.get("DOCKERLAB_BUILD") or ROOT / "build")
LOCAL_FILE = "course.local.toml"
BASES_SOURCES = ("auto", "pull", "mirror", "bundle", "debian")


@dataclass(frozen=True)
class Site:
    """Settings of one site; URLs carry no trailing slash.

    An empty string means "not set": an empty `index_url` leaves pip its own default, the public index.
    """

    index_url: str = ""
    torch_index_url: str = "https://download.pytorch.org/whl/cpu"
    find_links: str = ""
    registry_mirror: str = ""
    ca_bundle: str = ""
    bases_source: str = "auto"
    bases_bundle: str = ""

    def wheels(self) -> list[Path]:
        """Wheels of torch that lie on this machine, newest name last."""
        return sorted(Path(self.find_links).glob("torch-*.whl")) if self.find_links else []


def load_site(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Site:
    """The settings of this machine. Raises CourseError when `course.local.toml` cannot be read or is misspelt."""
    values: dict[str, str] = {key: value for key, value in _machine(environ).items() if value}
    names = {item.name for item in fields(Site)}
    local = root / LOCAL_FILE
    if local.exists():
        try:
            settings = tomllib.loads(local.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CourseError(f"{LOCAL_FILE} cannot be read.", f"{error}.", "Mend that line or remove the file.") from error
        unknown = sorted(set(settings) - names)
        if unknown:
            raise CourseError(f"{LOCAL_FILE} sets {', '.join(unknown)}, which means nothing.", fix=f"Known: {', '.join(sorted(names))}.")
        values |= {key: str(value) for key, value in settings.items()}
    values |= {name: environ[key] for name in names if (key := f"DOCKERLAB_{name.upper()}") in environ}
    site = Site(**{key: value.rstrip("/") for key, value in values.items()})
    if site.bases_source not in BASES_SOURCES:
        raise CourseError(f"bases_source is {site.bases_source!r}.", fix=f"Use one of: {', '.join(BASES_SOURCES)}.")
    return site


def _machine(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip and OpenSSL are told on this machine: package index, folder of wheels, certificate authorities."""
    pip = _pip_config(environ)
    links = environ.get("PIP_FIND_LINKS") or pip.get("find-links", "")
    folder = next((part for part in links.split() if Path(part).is_dir()), "")
    bundle = next((environ[key] for key in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT") if environ.get(key)), pip.get("cert", ""))
    return {
        "index_url": environ.get("PIP_INDEX_URL") or environ.get("UV_DEFAULT_INDEX") or pip.get("index-url", ""),
        "find_links": folder,
        "ca_bundle": bundle if bundle and Path(bundle).is_file() else "",
    }


def _pip_config(environ: Mapping[str, str]) -> dict[str, str]:
    """The [global] section of pip's configuration files, later files winning (pip's documented order)."""
    home = Path(environ.get("HOME", "~")).expanduser()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if environ.get("PIP_CONFIG_FILE"):
        files.append(Path(environ["PIP_CONFIG_FILE"]))
    parser = configparser.RawConfigParser()
    parser.read([file for file in files if file.is_file()], encoding="utf-8")
    return dict(parser["global"]) if parser.has_section("global") else {}
