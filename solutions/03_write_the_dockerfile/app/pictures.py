"""Bytes from a stranger -> an upright RGB picture, or one sentence about why not."""

from __future__ import annotations

import io

from PIL import Image

from app.formats import Damaged, TooCostly, check_rows, essence, orientation

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# As JPEG's own limit: a side of millions makes rows that no decoder expects.
MAX_SIDE = 65_535
# How often a decoder may walk over a picture of the largest size: once for each scan of a JPEG.
WORK = 32
# EXIF's orientation -> what turns the picture upright.
TURNS = dict(enumerate((
    Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90), start=2))
# 65,535 is white in 16 bits as 255 is in 8: value / 257, rounded.
TO_8_BITS = [(value + 128) // 257 for value in range(65_536)]
# What clients send when they do not know better: the bytes decide then.
UNTOLD = ("", "application/octet-stream", "binary/octet-stream")
# Kept from before Ultralytics is imported: it replaces Image.open by one that installs decoders when it meets a stranger.
_open = Image.open


class Refused(Exception):
    """A picture that is not taken; `status` is the HTTP status code."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(detail)


def check_type(content_type: str | None) -> None:
    """Raises Refused(415) when the part says that it is something other than a picture."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind not in UNTOLD and not kind.startswith("image/"):
        raise Refused(415, f"The field `image` holds {kind[:80]!r}; send image/jpeg, image/png, image/webp or image/bmp.")


def decode(data: bytes, max_pixels: int) -> Image.Image:
    """An RGB picture, turned upright by its EXIF orientation. Raises Refused with 400 or 413.

    Its pixels decide: broken metadata, however large, is left out. Transparent pixels show the colour that lies under them.
    """
    if not data:
        raise Refused(400, "The file is empty.")
    try:
        pixels, exif, scans = essence(data)
        image = _open(io.BytesIO(pixels), formats=FORMATS)
        width, height = image.size
        if width * height > max_pixels or max(width, height) > MAX_SIDE:
            raise Refused(413, f"The picture has {width} x {height} pixels; at most {max_pixels} are taken, and {MAX_SIDE} a side.")
        if width * height * scans > WORK * max_pixels:
            raise Refused(413, f"The picture has {width} x {height} pixels in {scans} scans; at most {WORK * max_pixels // (width * height)} are taken.")
        check_rows(pixels)
        image.load()
        return _rgb(_upright(image, orientation(exif or image.info.get("exif", b""))))
    except Refused:
        raise
    except TooCostly as error:
        raise Refused(413, str(error)) from error
    except Damaged as error:
        raise Refused(400, str(error)) from error
    except Image.UnidentifiedImageError as error:
        raise Refused(400, f"The file is not a picture that can be read ({', '.join(FORMATS)}).") from error
    except Image.DecompressionBombError as error:
        raise Refused(413, f"The picture has too many pixels; at most {max_pixels} are taken.") from error
    # Decoders fail on hostile bytes in their own ways: OSError, SyntaxError, struct.error, zlib.error, EOFError ...
    except Exception as error:
        raise Refused(400, "The picture is damaged or cut short.") from error


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == 1 else image.transpose(TURNS[orientation])


def _rgb(image: Image.Image) -> Image.Image:
    """8 bits a colour. A copy is made only where the mode changes, so that no more than two are in memory."""
    image.info.pop("transparency", None)
    if image.mode.startswith("I"):  # 16-bit grey
        image = image.convert("I").point(TO_8_BITS, "L")
    return image if image.mode == "RGB" else image.convert("RGB")
