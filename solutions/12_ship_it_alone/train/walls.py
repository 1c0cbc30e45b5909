"""Draw the wall of a shipping container as a gate camera sees it: sound, rusty, dented or with a hole.

Every picture is made from one integer, so a data set is a range of integers and nothing has to be stored.

    python train/walls.py samples     # the pictures in samples/
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

LABELS = ("sound", "rust", "dent", "hole")
SIDE = 128
PAINT = ((178, 64, 52), (204, 118, 50), (48, 96, 150), (56, 124, 108), (104, 112, 118), (214, 182, 78), (116, 64, 96), (214, 212, 204))
RUST = ((122, 62, 28), (148, 78, 34), (96, 48, 26))
SAMPLES = {"sound-orange": 1_000_000, "rust-blue": 1_000_001, "dent-red": 1_000_002, "hole-yellow": 1_000_003, "sound-grey": 1_000_004,
           "rust-green": 1_000_009}  # fmt: skip


def draw(seed: int) -> tuple[Image.Image, int]:
    """A picture (RGB, 128 x 128) and the index of its label, which is `seed` modulo 4."""
    chance, kind = random.Random(seed), seed % len(LABELS)
    wall = _ribs(chance)
    if kind == 1:
        wall = _rust(wall, chance)
    elif kind == 2:
        wall = _dent(wall, chance)
    elif kind == 3:
        wall = _hole(wall, chance)
    wall = _scratches(wall, chance)
    light = chance.uniform(0.62, 1.12)
    wall = wall.point(lambda value: max(0, min(255, round(value * light))))
    noise = _grain(chance)
    return ImageChops.add(wall, noise, scale=1, offset=-12).filter(ImageFilter.GaussianBlur(chance.uniform(0.3, 0.9))), kind


def _grain(chance: random.Random) -> Image.Image:
    """Camera noise, from the same seed as the rest."""
    small = Image.frombytes("L", (SIDE, SIDE), bytes(chance.choices(range(25), k=SIDE * SIDE)))
    return Image.merge("RGB", (small, small, small))


def _ribs(chance: random.Random) -> Image.Image:
    base, width, shift = chance.choice(PAINT), chance.uniform(9, 15), chance.uniform(0, 15)
    columns = []
    for x in range(SIDE):
        wave = math.sin((x + shift) * 2 * math.pi / width)
        factor = 1 + 0.16 * max(-0.8, min(0.8, wave * 1.6))
        columns.append(tuple(max(0, min(255, round(part * factor))) for part in base))
    row = Image.new("RGB", (SIDE, 1))
    row.putdata(columns)
    return row.resize((SIDE, SIDE)).rotate(chance.uniform(-2, 2), Image.Resampling.BILINEAR, fillcolor=base)


def _blob(chance: random.Random, radius: float, corners: int = 14) -> list[tuple[float, float]]:
    """An irregular outline well inside the picture."""
    x, y = (chance.uniform(radius + 6, SIDE - radius - 6) for _ in range(2))
    turns = [2 * math.pi * number / corners for number in range(corners)]
    return [(x + radius * chance.uniform(0.6, 1.1) * math.cos(turn), y + radius * chance.uniform(0.6, 1.1) * math.sin(turn)) for turn in turns]


def _rust(wall: Image.Image, chance: random.Random) -> Image.Image:
    mask = Image.new("L", wall.size)
    paint = ImageDraw.Draw(mask)
    for _ in range(chance.randint(2, 5)):
        outline = _blob(chance, chance.uniform(9, 24))
        paint.polygon(outline, fill=chance.randint(170, 240))
        x, y = outline[0]
        paint.line((x, y, x + chance.uniform(-3, 3), min(SIDE, y + chance.uniform(16, 50))), fill=150, width=chance.randint(2, 5))  # it runs down
    rusty = Image.new("RGB", wall.size, chance.choice(RUST))
    return Image.composite(rusty, wall, mask.filter(ImageFilter.GaussianBlur(1.6)))


def _dent(wall: Image.Image, chance: random.Random) -> Image.Image:
    """The ribs bend, one side of the dent is in shadow and the other catches the light."""
    x, y, radius = chance.uniform(38, SIDE - 38), chance.uniform(38, SIDE - 38), chance.uniform(22, 34)
    depth, source, target = chance.uniform(9, 14), wall.load(), wall.copy()
    pixels = target.load()
    for row in range(SIDE):
        for column in range(SIDE):
            across, down = (column - x) / radius, (row - y) / radius
            away = across * across + down * down
            if away < 1:
                bend = (1 - away) ** 2
                taken = max(0, min(SIDE - 1, round(column + depth * bend * (1 if across > 0 else -1) * abs(across) ** 0.5)))
                shade = 1 + 0.62 * (down * 0.7 + across * 0.7) * (1 - away) ** 0.5
                pixels[column, row] = tuple(max(0, min(255, round(part * shade))) for part in source[taken, row])
    return target


def _hole(wall: Image.Image, chance: random.Random) -> Image.Image:
    outline = _blob(chance, chance.uniform(9, 19), corners=9)
    paint = ImageDraw.Draw(wall)
    paint.polygon(outline, fill=(18, 16, 18))
    paint.line([*outline, outline[0]], fill=(206, 204, 198), width=2)  # torn, bare metal
    return wall


def _scratches(wall: Image.Image, chance: random.Random) -> Image.Image:
    """Scratches, stencils and shadows: what every wall has, so that they mean nothing."""
    paint = ImageDraw.Draw(wall)
    for _ in range(chance.randint(0, 3)):
        x, y = chance.uniform(0, SIDE), chance.uniform(0, SIDE)
        paint.line((x, y, x + chance.uniform(-26, 26), y + chance.uniform(-10, 10)), fill=(226, 224, 218), width=1)
    if chance.random() < 0.4:
        x, y = chance.uniform(6, 70), chance.uniform(6, 108)
        for number in range(chance.randint(3, 6)):
            paint.rectangle((x + number * 8, y, x + number * 8 + 5, y + 8), outline=(236, 236, 232), width=2)
    return wall


def main() -> None:
    """Write the samples."""
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for name, seed in SAMPLES.items():
        draw(seed)[0].save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
