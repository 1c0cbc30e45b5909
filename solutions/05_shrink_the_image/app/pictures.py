"""Bytes from a stranger -> an upright RGB picture, or one sentence about why not."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
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
    """An RGB picture, turned upright by its EXIF orientation. Raises Refused with 400 or 413."""
    if not data:
        raise Refused(400, "The file is empty.")
    try:
        image = _open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > max_pixels:
            raise Refused(413, f"The picture has {width} x {height} pixels; at most {max_pixels} are taken.")
        image.load()
        return ImageOps.exif_transpose(image).convert("RGB")
    except Refused:
        raise
    except Image.UnidentifiedImageError as error:
        raise Refused(400, f"The file is not a picture that can be read ({', '.join(FORMATS)}).") from error
    except Image.DecompressionBombError as error:
        raise Refused(413, f"The picture has too many pixels; at most {max_pixels} are taken.") from error
    # Decoders fail on hostile bytes in their own ways: OSError, SyntaxError, struct.error, zlib.error, EOFError ...
    except Exception as error:
        raise Refused(400, "The picture is damaged or cut short.") from error
