"""What gzip -6 would make of a stream that passes by, measured beside its reading, in bounded memory.

The compressor is zlib's level 6 on blocks of 1 MiB, each primed with the 32 KiB before it, so that blocks can be measured side by
side and still add up to what gzip -6 makes of the whole (within 0.1 %). The first 256 MiB are compressed in full. Of what follows,
level 6 sees a share (a quarter up to 1 GiB, a sixteenth beyond) and ISA-L's level 1, some twenty times as fast, sees all: the ratio
of the two on the shared blocks turns the fast size into the level-6 size (a separate ratio estimate in each stratum; Cochran,
Sampling Techniques, chapter 6). The same content always gives the same number.
"""

from __future__ import annotations

import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from isal import isal_zlib

from dockerlab.images.saved_tar import Readable

BLOCK = 1 << 20
WINDOW = 1 << 15
STRATA = ((256, 1), (1024, 4), (1 << 62, 16))  # up to this block, level 6 sees every n-th
_WAITING = 16
_HEADER_AND_TRAILER = 18  # of a gzip member, RFC 1952


class Gzipped:
    """A stream that is read through; `compressed_bytes()` tells, at its end, what gzip -6 makes of all that was read."""

    def __init__(self, source: Readable, pool: ThreadPoolExecutor) -> None:
        self._source, self._pool = source, pool
        self._block, self._before, self._sent = bytearray(), b"", 0
        self._jobs: list[tuple[_Stratum, Future[tuple[int, int]]]] = []
        self._strata = [_Stratum(every) for _, every in STRATA]

    def read(self, size: int) -> bytes:
        """The next bytes of the stream."""
        data = self._source.read(size)
        self._block += data
        while len(self._block) >= BLOCK:
            self._send(bytes(self._block[:BLOCK]))
            del self._block[:BLOCK]
        return data

    def compressed_bytes(self) -> int:
        """Bytes of the stream after gzip -6; call it once, at the end."""
        if self._block:
            self._send(bytes(self._block))
            self._block.clear()
        while self._jobs:
            self._add()
        return _HEADER_AND_TRAILER + sum(stratum.total() for stratum in self._strata)

    def _send(self, block: bytes) -> None:
        number = next(number for number, (end, _) in enumerate(STRATA) if self._sent < end)
        stratum = self._strata[number]
        sampled = (self._sent - (STRATA[number - 1][0] if number else 0)) % stratum.every == 0
        self._sent += 1
        self._jobs.append(
            (stratum, self._pool.submit(_measure, block, self._before, sampled, stratum.every > 1))
        )
        self._before = block[-WINDOW:]
        if len(self._jobs) > _WAITING:  # bounds the memory to a few blocks
            self._add()

    def _add(self) -> None:
        stratum, job = self._jobs.pop(0)
        stratum.add(*job.result())


@dataclass
class _Stratum:
    """Blocks of which every n-th is compressed at level 6; sizes in bytes."""

    every: int
    level_6: int = 0
    fast: int = 0
    fast_of_sampled: int = 0

    def add(self, level_6: int, fast: int) -> None:
        self.level_6 += level_6
        self.fast += fast
        self.fast_of_sampled += fast if level_6 else 0

    def total(self) -> int:
        """The bytes of all blocks at level 6: counted, or estimated by the ratio."""
        return (
            round(self.fast * self.level_6 / self.fast_of_sampled) if self.fast_of_sampled else self.level_6
        )


def _measure(block: bytes, before: bytes, level_6: bool, fast: bool) -> tuple[int, int]:
    """Compressed bytes of one block at zlib's level 6 and at ISA-L's level 1, given the bytes before it; 0 where not asked for."""
    small = quick = 0
    if level_6:
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15, zdict=before)
        small = len(compressor.compress(block)) + len(compressor.flush(zlib.Z_SYNC_FLUSH))
    if fast:
        quick_compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15, zdict=before)
        quick = len(quick_compressor.compress(block)) + len(quick_compressor.flush())
    return small, quick
