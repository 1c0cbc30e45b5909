"""What a picture is read as: its pixels decide. Numbers such as P01 are those of the list of cases from the public record."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from api_helpers import encode
from app import formats
from app.detectors import onnx
from app.pictures import WORK, Refused, decode
from PIL import Image

CASES = Path(__file__).resolve().parent / "pictures"
MOST = 1_000_000
RED, WHITE, BLACK = (200, 30, 30), (255, 255, 255), (0, 0, 0)
JPEG_RED = (202, 30, 30)
NOISE = ((32, 24), (254, 227, 33), (170, 147, 24))
# file -> size, first and last pixel
WHOLE = {
    "P01_grey16_dark.png": ((40, 20), (1, 1, 1), (1, 1, 1)),
    "P01_grey16_middle.png": ((40, 20), (128, 128, 128), (128, 128, 128)),
    "P01_grey16_ramp.png": ((40, 20), BLACK, WHITE),
    "P02_exif_empty_tiff.png": NOISE,
    "P02_exif_garbage.png": NOISE,
    "P02_exif_garbage_small.png": ((8, 4), RED, RED),
    "P02_exif_prefix_garbage.png": NOISE,
    "P02_exif_short.png": NOISE,
    "P04_long_text.png": NOISE,
    "P10_big_endian.jpg": ((20, 40), JPEG_RED, JPEG_RED),
    "P10_exif0.jpg": ((40, 20), WHITE, BLACK),
    "P10_exif255.jpg": ((40, 20), WHITE, BLACK),
    "P10_exif6.jpg": ((20, 40), WHITE, BLACK),
    "P10_exif6.png": ((20, 40), WHITE, BLACK),
    "P10_exif6.webp": ((20, 40), WHITE, BLACK),
    "P10_exif6_behind_the_pixels.png": ((4, 8), RED, RED),
    "P10_exif9.jpg": ((40, 20), WHITE, BLACK),
    "P10_prefix_twice.jpg": ((20, 40), JPEG_RED, JPEG_RED),
    "P10_two_app1.jpg": ((20, 40), JPEG_RED, JPEG_RED),
    "P11_cmyk.jpg": ((40, 20), (225, 49, 49), (225, 49, 49)),
    "P11_cmyk_red.jpg": ((8, 8), (255, 0, 0), (255, 0, 0)),
    "P11_grey1.png": ((40, 20), WHITE, WHITE),
    "P11_grey2.png": ((8, 4), (170, 170, 170), (170, 170, 170)),
    "P11_grey_alpha16.png": ((8, 4), (128, 128, 128), (128, 128, 128)),
    "P11_palette.png": ((40, 20), RED, RED),
    "P11_palette_alpha.png": ((40, 20), RED, BLACK),
    "P11_palette_one_transparent.png": ((40, 20), RED, RED),
    "P11_rgb16.png": ((8, 4), RED, RED),
    "P12_animated.png": ((40, 20), RED, RED),
    "P12_animated.webp": ((40, 20), RED, RED),
    "P12_two.mpo": ((40, 20), JPEG_RED, JPEG_RED),
    "P13_broken_profile.png": ((8, 4), RED, RED),
    "P13_junk_behind.jpg": ((60, 40), (194, 194, 194), (141, 141, 141)),
    "P13_one_pixel.png": ((1, 1), (80, 80, 80), (80, 80, 80)),
    "P13_strip.png": ((20000, 1), BLACK, BLACK),
    "P13_text_bomb.png": ((8, 4), BLACK, BLACK),
    "P14_1bit.bmp": ((40, 20), WHITE, WHITE),
    "P14_32bit.bmp": ((4, 4), RED, RED),
    "P14_plain.bmp": ((40, 20), RED, RED),
    "P14_top_down.bmp": ((2, 2), (10, 20, 30), (10, 20, 30)),
    "P15_plain.jpg": ((40, 20), JPEG_RED, JPEG_RED),
}
NOT_READ = (400, "not a picture that can be read")
# file -> status, and what the sentence says
REFUSED = {
    "P05_one_row_of_four.png": (400, "cut short: 25 of the 100 bytes"),
    "P12_other.avif": NOT_READ, "P12_other.gif": NOT_READ, "P12_other.heic": NOT_READ, "P12_other.svg": NOT_READ, "P12_other.tiff": NOT_READ,
    "P13_bomb.png": (413, "too many pixels"),
    "P13_cut.bmp": (400, "cut short"), "P13_cut.jpg": (400, "cut short"), "P13_cut.png": (400, "cut short"), "P13_cut.webp": (400, "cut short"),
    "P13_cut_near_the_end.png": (400, "cut short"),
    "P13_no_width.png": NOT_READ,
}


def refused(data: bytes, status: int, says: str, most: int = MOST) -> None:
    with pytest.raises(Refused, match=says) as caught:
        decode(data, most)
    assert caught.value.status == status, caught.value.detail


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, MOST))


def test_every_case_is_listed() -> None:
    assert {path.name for path in CASES.iterdir()} == set(WHOLE) | set(REFUSED)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture_is_read(name: str) -> None:
    size, first, last = WHOLE[name]
    image = decode((CASES / name).read_bytes(), MOST)
    assert (image.mode, image.size, image.getpixel((0, 0)), image.getpixel((size[0] - 1, size[1] - 1))) == ("RGB", size, first, last)


@pytest.mark.parametrize("name", REFUSED)
def test_another_one_is_refused_with_its_reason(name: str) -> None:
    refused((CASES / name).read_bytes(), *REFUSED[name])


# --- 16 bits


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if checksum is None else checksum)


def png(side: tuple[int, int], depth: int, colour: int, rows: bytes, *extra: bytes, interlaced: int = 0) -> bytes:
    """A PNG of raw rows, each behind its filter byte; `extra` chunks stand before the pixels."""
    header = struct.pack(">IIBBBBB", *side, depth, colour, 0, 0, interlaced)
    return formats.PNG_SIGNATURE + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


RAMP = np.linspace(0, 65_535, 400).astype(">u2").reshape(10, 40)
RAMP_ROWS = b"".join(b"\0" + row.tobytes() for row in RAMP)


@pytest.mark.parametrize("extra", [(), (chunk(b"tRNS", struct.pack(">H", 40_000)),)], ids=["plain", "one value transparent"])
def test_16_bits_of_grey_keep_their_shades(extra: tuple[bytes, ...]) -> None:
    read = pixels(png((40, 10), 16, 0, RAMP_ROWS, *extra))
    assert np.array_equal(read, np.repeat(np.rint(RAMP / 257)[..., np.newaxis], 3, axis=2))
    assert len(np.unique(read)) == 256


# --- metadata

TURNED = struct.pack("<4sIHHHIII", b"II*\0", 8, 1, 0x0112, 3, 1, 6, 0)
SCENE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (24, 32, 3)).astype(np.uint8))


def entries(count: int, size: int) -> bytes:
    """A directory whose entries all claim the same `size` bytes: whoever copies the value of each needs size x count."""
    return struct.pack("<4sIH", b"II*\0", 8, count) + b"".join(struct.pack("<HHII", tag, 1, size, 8) for tag in range(count)) + bytes(size)


METADATA = {
    "text of 3 MB": chunk(b"tEXt", b"prompt\0" + b"x" * 3_000_000),
    "text with a wrong checksum": chunk(b"tEXt", b"a\0b", 1),
    "text that inflates to 100 MB": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000))),
    "international text that is none": chunk(b"iTXt", b"\xff" * 9),
    "profile of 2 MB": chunk(b"iCCP", b"p\0\0" + zlib.compress(np.random.default_rng(2).bytes(2_000_000))),
    "profile that is none": chunk(b"iCCP", b""),
    "physical size of no size": chunk(b"pHYs", b"\0"),
    "gamma of nothing": chunk(b"gAMA", b""),
    "animation of 4 billion frames": chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0)),
    "EXIF whose entries overlap": chunk(b"eXIf", entries(60_000, 200_000)),
    "EXIF that points outside": chunk(b"eXIf", struct.pack("<4sI", b"II*\0", 2**31)),
    "a chunk of no known name": chunk(b"zzzz", b"?"),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_do_not_decide(name: str) -> None:
    plain = encode(SCENE, "PNG")
    odd = plain[:33] + METADATA[name] + plain[33:]
    tracemalloc.start()
    assert np.array_equal(pixels(odd), np.asarray(SCENE))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3 * len(odd) + 1_000_000


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


SEGMENTS = {
    "EXIF that is none": segment(0xE1, b"Exif\0\0II*"),
    "EXIF that points outside": segment(0xE1, b"Exif\0\0" + struct.pack("<4sI", b"II*\0", 2**31)),
    "XMP that is no XML": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<"),
    "profile in no order": segment(0xE2, b"ICC_PROFILE\0\7\2x"),
    "profile of 4 MB": segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000)) * 60,
    "index of more pictures that is none": segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
    "Photoshop's block, cut": segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
    "JFIF without its numbers": segment(0xE0, b"JFIF\0"),
    "Adobe without its numbers": segment(0xEE, b"Adobe"),
    "remark": segment(0xFE, b"\xff\xda" * 500),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_other_programs_segments_do_not_decide(name: str) -> None:
    plain = encode(SCENE, quality=95)
    assert np.array_equal(pixels(plain[:2] + SEGMENTS[name] + plain[2:]), np.asarray(Image.open(io.BytesIO(plain))))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_orientation_is_turned_upright(kind: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    data = encode(SCENE, kind, exif=exif.tobytes(), **({"lossless": True} if kind == "WEBP" else {}))
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    upright = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.transpose(1, 0, 2),
               6: np.rot90(stored, -1), 7: np.rot90(stored, 2).transpose(1, 0, 2), 8: np.rot90(stored)}[value]
    assert np.array_equal(pixels(data), upright)


@pytest.mark.parametrize(("block", "value"), [
    (TURNED, 6), (b"Exif\0\0" * 3 + TURNED, 6), (struct.pack(">4sIHHHIHHI", b"MM\0*", 8, 1, 0x0112, 3, 1, 6, 0, 0), 6),
    (struct.pack(">4sIHHHIII", b"MM\0*", 8, 1, 0x0112, 4, 1, 8, 0), 8), (TURNED.replace(b"\6", b"\11"), 1), (TURNED[:-7], 1), (b"", 1), (b"II", 1),
    (struct.pack("<4sIH", b"II*\0", 8, 65_535), 1), (b"Exif\0\0" * 2_000_000, 1),
])
def test_orientation_of_a_block(block: bytes, value: int) -> None:
    assert formats.orientation(block) == value


# --- cut


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("BMP", {})])
def test_a_picture_cut_anywhere_is_refused(kind: str, options: dict[str, bool]) -> None:
    whole = encode(SCENE, kind, **options)
    pixels_end = whole.index(b"IEND") - 12 if kind == "PNG" else len(whole)  # behind them stand two checksums of zlib and PNG
    for length in range(1, pixels_end - 4, 7):
        with pytest.raises(Refused) as caught:
            decode(whole[:length], MOST)
        assert caught.value.status == 400, length


def passes(width: int, height: int, value: int) -> bytes:
    """The rows of an interlaced grey picture, by the table of PNG's specification."""
    rows = b""
    for x, y, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        wide, high = len(range(x, width, across)), len(range(y, height, down))
        rows += (b"\0" + bytes([value]) * wide) * high if wide else b""
    return rows


@pytest.mark.parametrize("side", [(1, 1), (3, 2), (5, 9), (16, 16), (9, 1), (1, 9)])
def test_rows_are_counted_in_an_interlaced_picture_too(side: tuple[int, int]) -> None:
    rows = passes(*side, 90)
    assert (pixels(png(side, 8, 0, rows, interlaced=1)) == 90).all()
    refused(png(side, 8, 0, rows[:-1], interlaced=1), 400, "cut short")


@pytest.mark.parametrize(("depth", "colour", "channels"), [(1, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (8, 4, 2), (16, 4, 2), (8, 6, 4), (16, 6, 4)])
def test_the_last_row_counts_in_every_depth(depth: int, colour: int, channels: int) -> None:
    row = b"\0" + bytes(-(-13 * depth * channels // 8))
    assert decode(png((13, 5), depth, colour, row * 5), MOST).size == (13, 5)
    refused(png((13, 5), depth, colour, row * 4), 400, "cut short")


def test_pixels_in_many_pieces_or_damaged() -> None:
    rows = (b"\0" + bytes(range(30))) * 10
    whole = png((10, 10), 8, 2, rows)
    packed = zlib.compress(rows)
    pieces = [chunk(b"IDAT", packed[at : at + 1]) for at in range(len(packed))]
    assert np.array_equal(pixels(whole[:33] + b"".join(pieces) + chunk(b"IEND", b"")), pixels(whole))
    refused(whole[:33] + b"".join(pieces[:-12]) + chunk(b"IEND", b""), 400, "cut short|damaged")
    refused(whole[:33] + chunk(b"IDAT", packed[:5] + b"\xff\xff\xff" + packed[8:]) + chunk(b"IEND", b""), 400, "damaged")
    assert np.array_equal(pixels(whole[:-12]), pixels(whole))  # no IEND: the pixels are whole
    assert np.array_equal(pixels(whole + b"junk" * 9), pixels(whole))
    assert np.array_equal(pixels(whole[:33] + chunk(b"IDAT", packed, 1) + chunk(b"IEND", b"")), pixels(whole))  # zlib's own checksum holds


# --- what costs too much


def scans(count: int, between: bytes = b"", side: int = 64, progressive: bool = True) -> bytes:
    """A JPEG that says its last scan again until it has `count`."""
    whole = encode(Image.new("L", (side, side), 90), progressive=progressive)
    start, end = whole.rindex(b"\xff\xda"), whole.rindex(b"\xff\xd9")
    return whole[:end] + (between + whole[start:end]) * (count - whole.count(b"\xff\xda")) + whole[end:]


BETWEEN = {"nothing": b"", "a remark": segment(0xFE, b"x"), "an application's": segment(0xE5, b"y" * 300), "tables": segment(0xDD, b"\0\0"), "fill bytes": b"\xff" * 7,
           "a restart": b"\xff\xd0"}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("progressive", [True, False])
def test_scans_are_counted_wherever_they_stand(between: str, progressive: bool) -> None:
    assert formats.essence(scans(formats.MAX_SCANS, BETWEEN[between], progressive=progressive)).scans == formats.MAX_SCANS
    refused(scans(formats.MAX_SCANS + 1, BETWEEN[between], progressive=progressive), 413, "more than 100 scans")


@pytest.mark.parametrize("frame", range(0xC1, 0xD0))
def test_scans_are_counted_in_every_kind_of_jpeg(frame: int) -> None:
    """Arithmetic coding is SOF9 and SOF10; which kinds the decoder knows is its own affair."""
    refused(scans(101).replace(b"\xff\xc2", bytes([0xFF, frame])), 413, "more than 100 scans")


def test_what_only_looks_like_a_scan_is_none() -> None:
    looks = segment(0xE1, b"\xff\xda\0\2" * 1000) + segment(0xFE, b"\xff\xda\0\2" * 1000)
    plain = encode(SCENE, progressive=True)
    essence = formats.essence(plain[:2] + looks + plain[2:])
    assert essence.scans == formats.essence(plain).scans and 1 < essence.scans < 20
    stuffed = segment(0xDA, b"\1\1\0\0\0\0") + b"\xff\0\xda\0\2" * 1000
    assert formats.essence(b"\xff\xd8" + stuffed + b"\xff\xd9" + stuffed * 300).scans == 1  # what stands behind the end is not read


def test_scans_times_pixels_are_bounded() -> None:
    assert decode(scans(20), 64 * 64).size == (64, 64)
    refused(scans(WORK + 1), 413, f"in {WORK + 1} scans; at most {WORK}", 64 * 64)


@pytest.mark.parametrize("data", [
    b"\xff\xd8" + b"\xff\xfe\0\2" * 2_500_000,
    b"\xff\xd8" + b"\xff\xfe\0\0" * 2_500_000,
    scans(9)[:-2] + b"\xff\0" * 5_000_000,
    scans(9)[:-2] + b"\xff" * 10_000_000,
    scans(9)[:-2] + b"\xff\xd0" * 5_000_000,
    scans(200_000),
    encode(SCENE, "PNG")[:33] + chunk(b"tEXt", b"") * 800_000,
    encode(SCENE, "PNG")[:33] + chunk(b"IDAT", b"") * 800_000,
    png((5, 5), 8, 0, bytes(30), chunk(b"eXIf", b"Exif\0\0" * 1_500_000)),
], ids=["remarks", "remarks of no length", "stuffed zeros", "fill bytes", "restarts", "scans", "texts", "pieces of nothing", "prefixes"])
def test_ten_megabytes_of_nothing_are_soon_read(data: bytes) -> None:
    """CPU seconds of this process, so that others do not matter; a decoder that reads each of them takes 2 to 3,000."""
    begun = time.process_time()
    try:
        decode(data, 12_500_000)
    except Refused as error:
        assert error.status in (400, 413)
    assert time.process_time() - begun < 1.5


def test_a_side_has_a_limit() -> None:
    refused(encode(Image.new("1", (70_000, 1)), "PNG"), 413, "65535 a side")


# --- the way into the model


@pytest.mark.parametrize("side", [(1, 1), (1, 900), (900, 1), (333, 77), (700, 1500)])
def test_a_picture_in_strips_is_the_same_picture(monkeypatch: pytest.MonkeyPatch, side: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (side[1], side[0], 3)).astype(np.uint8))
    in_strips = np.asarray(onnx._resize(image, 320, 320))
    monkeypatch.setattr(onnx, "STRIP", 10_000)
    assert np.array_equal(in_strips, np.asarray(onnx._resize(image, 320, 320)))
