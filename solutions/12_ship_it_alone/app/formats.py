"""What of a file decides its pixels: the rest is left out before a decoder reads it, and what would cost too much is refused.

JPEG by ITU-T T.81 (annex B), PNG by its specification (third edition), EXIF by CIPA DC-008 (a TIFF header and its first directory).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

JPEG_SIGNATURE, PNG_SIGNATURE = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# A decoder walks over the whole picture for every scan, however short: progressive files have about 10.
MAX_SCANS = 100
# Segments or chunks, beyond anything that a program writes.
MAX_PARTS = 20_000
# A marker with a segment behind it. Not: a stuffed zero, TEM, restarts, SOI, and the fill bytes before a marker.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_SOS, _EOI, _APP0, _APP1, _APP14, _APP15, _COMMENT = 0xDA, 0xD9, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: where each pass begins and how far it steps, across and down.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE, _BLOCK = 1 << 16, 1 << 18  # bytes read and written at a time


class Damaged(ValueError):
    """The pixels are not whole; the message says what is missing."""


class TooCostly(ValueError):
    """A file made to keep decoders busy; the message says how."""


class Essence(NamedTuple):
    """A file with nothing but its pixels, its EXIF block (b"": none), and how often a decoder walks over the picture."""

    pixels: bytes
    exif: bytes
    scans: int = 1


def essence(data: bytes) -> Essence:
    """JPEG and PNG without what does not decide the pixels; other formats as they are. Raises Damaged, TooCostly."""
    if data.startswith(JPEG_SIGNATURE):
        return _jpeg(data)
    return _png(data) if data.startswith(PNG_SIGNATURE) else Essence(data, b"")


def _jpeg(data: bytes) -> Essence:
    """Colour is decided by JFIF's APP0 and Adobe's APP14, orientation by EXIF; comments and other applications' segments go."""
    kept, exif, at, first_scan, scans = [data[:2]], b"", 2, len(data), 0
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        kind = data[found.end() - 1] if found else _EOI
        if not found or kind == _EOI:
            return Essence(b"".join([*kept, data[first_scan:]]), exif, scans)
        body = found.end() + 2
        at = found.end() + max(2, int.from_bytes(data[found.end() : body], "big"))
        if kind == _SOS:
            scans, first_scan = scans + 1, min(first_scan, found.start())
            if scans > MAX_SCANS:
                raise TooCostly(f"The JPEG has more than {MAX_SCANS} scans.")
        elif not scans:
            if kind == _APP1 and data.startswith(b"Exif\0\0", body):
                exif += data[body + 6 : at]
            if _decides_pixels(kind, data, body, at):
                kept.append(data[found.start() : at])
    raise TooCostly(f"The JPEG has more than {MAX_PARTS} segments.")


def _decides_pixels(kind: int, data: bytes, body: int, end: int) -> bool:
    if kind == _APP0:
        return data.startswith(b"JFIF\0", body) and end - body >= 14
    if kind == _APP14:
        return data.startswith(b"Adobe", body) and end - body >= 12
    return not (_APP1 <= kind <= _APP15 or kind == _COMMENT)


def _png(data: bytes) -> Essence:
    """Critical chunks and tRNS stay, by PNG's own rule: a chunk whose name begins with a small letter may be left out."""
    kept, exif = [PNG_SIGNATURE], b""
    for number, (kind, start, end) in enumerate(_chunks(data)):
        if number == MAX_PARTS:
            raise TooCostly(f"The PNG has more than {MAX_PARTS} chunks.")
        if kind == b"eXIf":
            exif = exif or data[start + 8 : end - 4]
        elif kind == b"tRNS" or not kind[0] & 0x20:
            kept.append(data[start:end])
    return Essence(b"".join(kept), exif)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of each chunk, to IEND or where the file ends; what stands behind IEND belongs to nobody."""
    at, kind = len(PNG_SIGNATURE), b""
    while len(data) >= at + 8 and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at, at + 12 + length
        at += 12 + length


def check_rows(data: bytes) -> None:
    """Raises Damaged where the pixels of a PNG end before its last row: Pillow would leave the rest black.

    Whether they are whole is what zlib says; the checksum that PNG puts behind each piece of them is not asked.
    """
    if not data.startswith(PNG_SIGNATURE):
        return
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, len(PNG_SIGNATURE) + 8)
    bits = depth * _CHANNELS[colour]
    sizes = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in (_PASSES if interlaced else ((0, 0, 1, 1),))]
    needed = sum(high * (1 + -(-wide * bits // 8)) for wide, high in sizes if wide > 0 and high > 0)
    there = _inflated((memoryview(data)[start + 8 : end - 4] for kind, start, end in _chunks(data) if kind == b"IDAT"), needed)
    if there < needed:
        raise Damaged(f"The picture is cut short: {there} of the {needed} bytes of its pixels are there.")


def _inflated(parts: Iterable[memoryview], enough: int) -> int:
    """Bytes that a zlib stream holds, counted up to `enough` or a little more and never kept."""
    stream, count = zlib.decompressobj(), 0
    pieces = (part[start : start + _PIECE] for part in parts for start in range(0, len(part), _PIECE))
    try:
        for piece in pieces:
            rest: bytes | memoryview = piece
            while rest and count < enough and not stream.eof:
                count += len(stream.decompress(rest, _BLOCK))
                rest = stream.unconsumed_tail
        while count < enough and not stream.eof and (more := len(stream.decompress(b"", _BLOCK))):
            count += more
    except zlib.error as error:
        raise Damaged("The pixels of the PNG are damaged.") from error
    return count


def orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 where the block does not say or is broken. XMP's is not asked: browsers ignore it, too."""
    exif = exif[:65_536]  # the longest that JPEG can hold; the first directory stands at its beginning
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order:
            (at,) = struct.unpack_from(f"{order}I", exif, 4)
            for number in range(*struct.unpack_from(f"{order}H", exif, at)):
                tag, kind, _ = struct.unpack_from(f"{order}HHI", exif, at + 2 + 12 * number)
                if tag == 0x0112 and kind in (3, 4):  # SHORT, LONG
                    (value,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), exif, at + 10 + 12 * number)
                    return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
