"""What a file inside a tar holds."""

from __future__ import annotations

import tarfile


def content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a regular file in a tar."""
    file = archive.extractfile(member)
    assert file is not None, f"{member.name} is no regular file"
    return file.read()
