"""Programs for two processors, each a few bytes of machine code, to show what happens on the wrong one. Pure."""

from __future__ import annotations

import struct

ARCHITECTURES = ("amd64", "arm64")
_MACHINES = {"amd64": 62, "arm64": 183}  # e_machine of the ELF header
_BASE, _HEADERS = 0x400000, 64 + 56


def program(architecture: str, text: str) -> bytes:
    """A static Linux program for `amd64` or `arm64` that writes `text` and ends with 0: a whole ELF file."""
    message = text.encode()
    code = {"amd64": _amd64, "arm64": _arm64}[architecture](message)
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, _MACHINES[architecture], 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + header + segment + code


def built_for(data: bytes) -> str:
    """The processor that an ELF file was made for, read from its header; "no ELF file" for anything else."""
    if data[:4] != b"\x7fELF" or len(data) < 20:
        return "no ELF file"
    machine = struct.unpack_from("<H", data, 18)[0]
    return next((name for name, number in _MACHINES.items() if number == machine), f"machine {machine}")


def other(architecture: str) -> str:
    """The one of the two that `architecture` is not."""
    return ARCHITECTURES[architecture == ARCHITECTURES[0]]


def _amd64(message: bytes) -> bytes:
    """write(1, message, length), then exit(0)."""
    rest = b"\xba" + struct.pack("<I", len(message)) + b"\x0f\x05" + b"\xb8\x3c\0\0\0\x31\xff\x0f\x05"
    return b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x8d\x35" + struct.pack("<i", len(rest)) + rest + message


def _arm64(message: bytes) -> bytes:
    """The same system calls: number in x8, arguments in x0 to x2."""

    def put(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    call = 0xD4000001
    after = 7 * 4  # bytes from the second word to the message behind the last one
    address = 0x10000000 | after >> 2 << 5 | 1
    words = [put(0, 1), address, put(2, len(message)), put(8, 64), call, put(0, 0), put(8, 93), call]
    return struct.pack(f"<{len(words)}I", *words) + message
