"""Where bases, packages and certificates come from on this site: one settings object.

A value is looked up in the environment (`DOCKERLAB_INDEX_URL` and so on), then in `course.local.toml` at the top
of the checkout, then in the machine's own configuration, then in the defaults: the public internet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Site:
    """Settings of one site; URLs carry no trailing slash."""

    index_url: str = "https://pypi.org/simple"
    torch_index_url: str = "https://download.pytorch.org/whl/cpu"
    find_links: tuple[str, ...] = field(default=())
    registry_mirror: str = ""
    ca_bundle: str = ""
    bases_source: str = "auto"
