"""What an image is made of, as data: its layers, what they hide, its two sizes. Nothing here asks an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd


@dataclass
class Layer:
    """One layer: the instruction that made it, its files, and what it deletes. Sizes in bytes.

    `links` maps the second and later names of a file to its first; the size stands beside the first.
    """

    instruction: str = ""
    disk_bytes: int = 0
    download_bytes: int = 0
    files: dict[str, int] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hidden:
    """A file that ships but cannot be seen: its size in bytes, and the numbers of the layers that wrote and hid it."""

    path: str
    how: str
    size: int
    wrote: int
    hid: int


@dataclass(frozen=True)
class Changes:
    """What one layer does to the files below it: paths that it adds, changes and deletes."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]


@dataclass(repr=False)
class ImageReport:
    """An image, layer by layer, oldest first."""

    reference: str
    layers: list[Layer]
    config: dict[str, Any]

    @property
    def disk_bytes(self) -> int:
        """Bytes of all files in all layers, unpacked; a file that is in two layers counts twice, as it does on disk."""
        return sum(layer.disk_bytes for layer in self.layers)

    @property
    def download_bytes(self) -> int:
        """Bytes of all layers compressed with gzip -6."""
        return sum(layer.download_bytes for layer in self.layers)

    @property
    def wasted_bytes(self) -> int:
        """Bytes that ship but cannot be seen, because a later layer replaced or deleted the file."""
        return sum(each.size for each in self.hidden)

    @property
    def architecture(self) -> str:
        """The processor that the image is made for, as in `amd64`."""
        return self.config.get("architecture") or ""

    @property
    def user(self) -> str:
        """The user that the main process runs as; root where the image names none."""
        return (self.config.get("config") or {}).get("User") or "root"

    def paths(self) -> list[str]:
        """Every file that a container of this image sees."""
        return sorted(self._story[2])

    @property
    def changes(self) -> list[Changes]:
        """Files added, changed and deleted, one entry a layer."""
        return self._story[0]

    @property
    def hidden(self) -> list[Hidden]:
        """Every file that ships unseen."""
        return self._story[1]

    def frame(self) -> pd.DataFrame:
        """One row a layer, oldest first: instruction, MB on disk and to download, files added, changed and deleted.

        `MB wasted` is what this layer wrote and a later one hid.
        """
        wasted = [0] * len(self.layers)
        for each in self.hidden:
            wasted[each.wrote] += each.size
        rows = [
            (
                layer.instruction[:80],
                round(layer.disk_bytes / 1e6, 1),
                round(layer.download_bytes / 1e6, 1),
                len(change.added),
                len(change.changed),
                len(change.deleted),
                round(hidden / 1e6, 1),
            )
            for layer, change, hidden in zip(self.layers, self.changes, wasted, strict=True)
        ]
        return pd.DataFrame(
            rows,
            columns=[
                "instruction",
                "MB on disk",
                "MB to download",
                "added",
                "changed",
                "deleted",
                "MB wasted",
            ],
        )

    def files(self, layer: int | None = None, top: int = 20) -> pd.DataFrame:
        """The largest files, of one layer (0 is the oldest) or of all: layer, path, MB, and added, changed or deleted."""
        rows: list[tuple[int, str, float, str]] = []
        for number, (each, change) in enumerate(zip(self.layers, self.changes, strict=True)):
            if layer in (None, number):
                for kind in ("added", "changed", "deleted"):
                    rows += [
                        (number, path, each.files.get(path, 0) / 1e6, kind) for path in getattr(change, kind)
                    ]
        rows.sort(key=lambda row: (-row[2], row[0], row[1]))
        return pd.DataFrame(rows[:top], columns=["layer", "path", "MB", "kind"]).round({"MB": 2})

    def wasted(self) -> pd.DataFrame:
        """What ships unseen: path, MB, replaced or deleted, the instruction that wrote it and the one that hid it; largest first."""
        rows = [
            (
                each.path,
                round(each.size / 1e6, 2),
                each.how,
                self.layers[each.wrote].instruction[:60],
                self.layers[each.hid].instruction[:60],
            )
            for each in sorted(self.hidden, key=lambda each: (-each.size, each.path))
            if each.size
        ]
        return pd.DataFrame(rows, columns=["path", "MB", "how", "written by", "hidden by"])

    @cached_property
    def _story(self) -> tuple[list[Changes], list[Hidden], dict[str, tuple[int, int]]]:
        """Lay the layers on one another: the changes of each, what gets hidden, and path -> (size, layer) of what is seen."""
        changes: list[Changes] = []
        hidden: list[Hidden] = []
        seen: dict[str, tuple[int, int]] = {}
        folders: set[str] = set()
        for number, layer in enumerate(self.layers):
            own_folders = {parent for path in layer.files for parent in _parents(path)}
            # A file where a folder was hides all below it, and a folder where a file was hides that file.
            gone = _hides(layer, seen, {path for path in layer.files if path in folders}) + [
                path for path in own_folders if path in seen
            ]
            changed = [path for path in layer.files if path in seen]
            for path in dict.fromkeys([*gone, *changed]):
                if path in seen:
                    size, wrote = seen.pop(path)
                    if not self._passed_on(path, size, wrote, seen):
                        hidden.append(
                            Hidden(
                                path, "replaced" if path in layer.files else "deleted", size, wrote, number
                            )
                        )
            rewritten = {*changed, *(path for path in gone if path in layer.files)}
            changes.append(
                Changes(
                    tuple(path for path in layer.files if path not in rewritten),
                    tuple(sorted(rewritten)),
                    tuple(sorted({path for path in gone if path not in layer.files})),
                )
            )
            seen |= {path: (size, number) for path, size in layer.files.items()}
            folders |= own_folders
        return changes, hidden, seen

    def _passed_on(self, path: str, size: int, wrote: int, seen: dict[str, tuple[int, int]]) -> bool:
        """Whether the content stays in sight under another name of the same file, which then weighs what it weighs."""
        links = self.layers[wrote].links
        first = links.get(path, path)
        other = next(
            (
                name
                for name in (first, *(name for name, target in links.items() if target == first))
                if seen.get(name, (0, -1))[1] == wrote
            ),
            None,
        )
        if other is None or other == path:
            return False
        seen[other] = (size + seen[other][0], wrote)
        return True

    def __repr__(self) -> str:
        return f"ImageReport({self.reference}: {len(self.layers)} layers)"


def _parents(path: str) -> Iterator[str]:
    """The folders that hold a path, the root ("") first."""
    yield ""
    position = path.find("/")
    while position > 0:
        yield path[:position]
        position = path.find("/", position + 1)


def _hides(layer: Layer, seen: Iterable[str], replaced_folders: set[str]) -> list[str]:
    """Paths of lower layers that this one takes away: whiteouts and opaque folders (OCI image specification, layer.md)."""
    gone = set(layer.deleted)
    emptied = gone.union(layer.emptied, replaced_folders)
    return (
        [path for path in seen if path in gone or not emptied.isdisjoint(_parents(path))] if emptied else []
    )
