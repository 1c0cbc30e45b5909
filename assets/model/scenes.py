"""Draw harbour scenes together with the boxes of what they show.

Every scene is made from one integer, so a data set is a range of integers and nothing has to be downloaded
or stored. Shapes are painted back to front on a picture and, with the same calls, on a map that remembers
which object owns each pixel; the box of an object is the extent of the pixels that still belong to it
when the scene is finished. Something mostly hidden behind a later object is not labelled.

    python scenes.py --out data --train 400 --val 100     # a YOLO data set
    python scenes.py --samples ../images                  # the pictures that the course shows
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("container", "ship", "crane", "truck")
WIDTH, HEIGHT = 640, 480
OVERSAMPLE = 2
MIN_VISIBLE = 0.35
MIN_SIDE_PX = 10

Colour = tuple[int, int, int]
Point = tuple[float, float]

SKIES: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    # name: top of the sky, horizon, far water, near water
    "noon": ((96, 164, 214), (206, 229, 240), (92, 148, 176), (38, 92, 128)),
    "dawn": ((118, 132, 184), (250, 205, 170), (188, 160, 160), (70, 88, 122)),
    "dusk": ((58, 66, 120), (246, 152, 110), (168, 112, 118), (44, 52, 92)),
    "overcast": ((148, 160, 170), (205, 211, 214), (128, 142, 150), (78, 96, 106)),
    "night": ((14, 20, 44), (54, 66, 104), (34, 46, 80), (12, 20, 42)),
}
CONTAINER_COLOURS: tuple[Colour, ...] = (
    (188, 62, 48), (214, 120, 44), (44, 96, 150), (52, 128, 110), (90, 100, 108), (226, 188, 72), (122, 62, 96), (222, 222, 214),
)
HULL_COLOURS: tuple[Colour, ...] = ((34, 48, 72), (120, 40, 40), (24, 92, 88), (40, 44, 48), (70, 84, 112))
CRANE_COLOURS: tuple[Colour, ...] = ((36, 104, 172), (206, 66, 48), (236, 176, 40), (226, 230, 232))
CAB_COLOURS: tuple[Colour, ...] = ((236, 236, 230), (200, 48, 44), (40, 96, 168), (240, 178, 36), (58, 132, 84))


@dataclass(frozen=True)
class Box:
    """One labelled object: its class and its visible extent in pixels of the finished picture."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    def yolo(self) -> str:
        """The label line that Ultralytics reads: class, centre and size as fractions of the picture."""
        cx, cy = (self.x1 + self.x2) / 2 / WIDTH, (self.y1 + self.y2) / 2 / HEIGHT
        w, h = (self.x2 - self.x1) / WIDTH, (self.y2 - self.y1) / HEIGHT
        return f"{CLASSES.index(self.label)} {cx:.6f} {cy:.6f} {w:.6f} {h:.6f}"


@dataclass
class Scene:
    """A finished picture (RGB, 640 x 480), the boxes of what can be seen in it, and the name of its sky."""

    image: Image.Image
    boxes: list[Box]
    sky: str


def shade(colour: Colour, factor: float) -> Colour:
    """Lighten (factor > 1) or darken (factor < 1) a colour."""
    return tuple(max(0, min(255, round(c * factor))) for c in colour)  # type: ignore[return-value]


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour a share `t` of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * t) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


@dataclass
class Canvas:
    """A picture and its map of owners, drawn on together at OVERSAMPLE times the final size."""

    sky: str
    image: Image.Image = field(init=False)
    owners: Image.Image = field(init=False)
    labels: list[str] = field(default_factory=list)
    painted: list[int] = field(default_factory=list)
    owner: int = 0

    def __post_init__(self) -> None:
        size = (WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE)
        self.image = Image.new("RGB", size)
        self.owners = Image.new("L", size, 0)
        self._draw = ImageDraw.Draw(self.image)
        self._map = ImageDraw.Draw(self.owners)

    def begin(self, label: str) -> None:
        """What is drawn from now on belongs to a new object."""
        self.labels.append(label)
        self.owner = len(self.labels)

    def end(self) -> None:
        """The object is complete: remember how much of it there is before anything hides it."""
        self.painted.append(int(np.count_nonzero(np.asarray(self.owners) == self.owner)))
        self.owner = 0

    def polygon(self, points: list[Point], fill: Colour) -> None:
        scaled = [(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in points]
        self._draw.polygon(scaled, fill=fill)
        self._map.polygon(scaled, fill=self.owner)

    def rectangle(self, x1: float, y1: float, x2: float, y2: float, fill: Colour) -> None:
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], fill)

    def line(self, a: Point, b: Point, fill: Colour, width: float) -> None:
        points = [(a[0] * OVERSAMPLE, a[1] * OVERSAMPLE), (b[0] * OVERSAMPLE, b[1] * OVERSAMPLE)]
        self._draw.line(points, fill=fill, width=max(1, round(width * OVERSAMPLE)))
        self._map.line(points, fill=self.owner, width=max(1, round(width * OVERSAMPLE)))

    def disc(self, x: float, y: float, r: float, fill: Colour) -> None:
        box = [(x - r) * OVERSAMPLE, (y - r) * OVERSAMPLE, (x + r) * OVERSAMPLE, (y + r) * OVERSAMPLE]
        self._draw.ellipse(box, fill=fill)
        self._map.ellipse(box, fill=self.owner)

    def lit(self, colour: Colour) -> Colour:
        """The colour as it looks under this sky."""
        light = {"noon": 1.0, "dawn": 0.94, "dusk": 0.78, "overcast": 0.88, "night": 0.5}[self.sky]
        return mix(shade(colour, light), SKIES[self.sky][1], 0.06)

    def finish(self) -> Scene:
        """Scale down and turn the map of owners into boxes."""
        owners = np.asarray(self.owners)
        boxes = []
        for number, (label, painted) in enumerate(zip(self.labels, self.painted, strict=True), start=1):
            ys, xs = np.nonzero(owners == number)
            if painted == 0 or len(xs) < MIN_VISIBLE * painted:
                continue
            x1, x2 = xs.min() / OVERSAMPLE, (xs.max() + 1) / OVERSAMPLE
            y1, y2 = ys.min() / OVERSAMPLE, (ys.max() + 1) / OVERSAMPLE
            if min(x2 - x1, y2 - y1) >= MIN_SIDE_PX:
                boxes.append(Box(label, float(x1), float(y1), float(x2), float(y2)))
        image = self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        return Scene(image, boxes, self.sky)


def gradient(top: Colour, bottom: Colour, y1: int, y2: int, canvas: Canvas) -> None:
    for y in range(y1, y2, 2):
        canvas.rectangle(0, y, WIDTH, y + 2, mix(top, bottom, (y - y1) / max(1, y2 - y1)))


def backdrop(canvas: Canvas, rng: random.Random, horizon: int, quay: int) -> None:
    """Sky, sun or moon, far shore and water."""
    top, low, far, near = SKIES[canvas.sky]
    gradient(top, low, 0, horizon, canvas)
    if canvas.sky != "overcast":
        glow = (255, 244, 214) if canvas.sky != "night" else (222, 228, 240)
        x, y = rng.uniform(60, WIDTH - 60), rng.uniform(40, horizon * 0.7)
        canvas.disc(x, y, 30, mix(mix(top, low, y / horizon), glow, 0.35))
        canvas.disc(x, y, 20, glow)
    for _ in range(rng.randint(2, 5)):
        x, y, w = rng.uniform(0, WIDTH), rng.uniform(20, horizon * 0.75), rng.uniform(40, 110)
        cloud = mix(low, (255, 255, 255), 0.35 if canvas.sky != "night" else 0.05)
        for i in range(5):
            canvas.disc(x + (i - 2) * w / 5, y - rng.uniform(0, 6), rng.uniform(6, 13), cloud)
        canvas.rectangle(x - w / 2, y, x + w / 2, y + 6, cloud)
    shore = mix(low, far, 0.6)
    points: list[Point] = [(0.0, horizon + 2.0)]
    height = rng.uniform(8, 26)
    for x in range(0, WIDTH + 40, 40):
        height = min(34.0, max(4.0, height + rng.uniform(-9, 9)))
        points.append((x, horizon - height))
    canvas.polygon([*points, (WIDTH, horizon + 2.0)], shore)
    gradient(far, near, horizon, quay, canvas)
    for _ in range(90):
        y = horizon + (quay - horizon) * rng.random() ** 1.3
        depth = (y - horizon) / (quay - horizon)
        length, x = 8 + 40 * depth * rng.random(), rng.uniform(-20, WIDTH)
        canvas.line((x, y), (x + length, y), mix(mix(far, near, depth), low, 0.18), 1)


def draw_quay(canvas: Canvas, rng: random.Random, quay: int) -> None:
    stone = canvas.lit((168, 166, 160))
    gradient(stone, shade(stone, 0.78), quay, HEIGHT, canvas)
    canvas.rectangle(0, quay, WIDTH, quay + 5, shade(stone, 0.62))
    for x in range(rng.randint(0, 40), WIDTH, 72):
        canvas.disc(x, quay - 1, 3, shade(stone, 0.4))
    yellow = mix(stone, canvas.lit((238, 196, 60)), 0.7)
    y = quay + rng.uniform(0.52, 0.6) * (HEIGHT - quay)
    for x in range(-10, WIDTH, 46):
        canvas.rectangle(x, y, x + 26, y + 3, yellow)


def draw_container(canvas: Canvas, rng: random.Random, x: float, bottom: float, width: float) -> tuple[float, float]:
    """One corrugated box standing on `bottom`; returns its width and height."""
    height = width * rng.uniform(0.42, 0.47)
    colour = canvas.lit(rng.choice(CONTAINER_COLOURS))
    top = bottom - height
    canvas.begin("container")
    canvas.rectangle(x, top, x + width, bottom, colour)
    for i in range(1, 12):
        stripe = x + width * i / 12
        canvas.line((stripe, top + 2), (stripe, bottom - 2), shade(colour, 0.82), 1)
    edge = shade(colour, 0.58)
    canvas.rectangle(x, top, x + width, top + 1.6, shade(colour, 1.2))
    canvas.rectangle(x, bottom - 1.8, x + width, bottom, edge)
    canvas.rectangle(x, top, x + 1.8, bottom, edge)
    canvas.rectangle(x + width - 1.8, top, x + width, bottom, edge)
    if rng.random() < 0.5:
        canvas.rectangle(x + width * 0.1, top + height * 0.28, x + width * 0.3, top + height * 0.52, shade(colour, 1.45))
    canvas.end()
    return width, height


def draw_stack(canvas: Canvas, rng: random.Random, x: float, bottom: float, width: float) -> None:
    """Containers side by side and on top of one another."""
    columns = rng.randint(1, 3)
    for column in range(columns):
        y = bottom
        for _ in range(rng.choice((1, 1, 2, 2, 3))):
            _, height = draw_container(canvas, rng, x + column * (width + 2), y, width)
            y -= height + 1


def draw_ship(canvas: Canvas, rng: random.Random, x: float, waterline: float, length: float) -> None:
    """A cargo ship, bow to the left or to the right, with cargo on deck."""
    hull = canvas.lit(rng.choice(HULL_COLOURS))
    white = canvas.lit((236, 236, 228))
    height = length * rng.uniform(0.13, 0.16)
    deck, flip = waterline - height, rng.random() < 0.5

    def at(fraction: float) -> float:
        return x + length * (1 - fraction if flip else fraction)

    canvas.begin("ship")
    house, storeys = 0.14, rng.randint(3, 4)
    for storey in range(storeys):
        y = deck - (storey + 1) * height * 0.42
        inset = 0.008 * storey
        a, b = sorted((at(0.04 + inset), at(0.04 + house - inset)))
        canvas.rectangle(a, y, b, y + height * 0.42, white if storey % 2 == 0 else shade(white, 0.93))
        for window in range(4):
            wx = a + (b - a) * (window + 0.5) / 4
            glass = (250, 224, 140) if canvas.sky in ("night", "dusk") else shade(white, 0.42)
            canvas.rectangle(wx - 1.6, y + height * 0.12, wx + 1.6, y + height * 0.28, glass)
    funnel = at(0.07)
    top = deck - storeys * height * 0.42
    canvas.rectangle(funnel - length * 0.022, top - height * 0.5, funnel + length * 0.022, top, shade(hull, 1.25))
    canvas.polygon([(at(0.0), deck), (at(1.0), deck - height * 0.28), (at(0.92), waterline), (at(0.03), waterline)], hull)
    canvas.polygon([(at(0.024), waterline - height * 0.24), (at(0.941), waterline - height * 0.24), (at(0.92), waterline), (at(0.03), waterline)], canvas.lit((150, 52, 44)))
    canvas.line((at(0.0), deck), (at(1.0), deck - height * 0.28), shade(white, 0.9), 2)
    canvas.end()
    count = rng.randint(0, max(0, int(length * 0.6 / 62)))
    for slot in range(count):
        start = 0.24 + slot * 0.62 / max(1, count)
        left = min(at(start), at(start) if not flip else at(start) - 52)
        draw_container(canvas, rng, left, deck - height * 0.08 - 2, rng.uniform(44, 54))
    _, _, far, near = SKIES[canvas.sky]
    for i in range(7):
        fx = x + length * (i + rng.random()) / 7
        canvas.line((fx, waterline + rng.uniform(0, 3)), (fx + 18, waterline + 2), mix(mix(far, near, 0.5), (255, 255, 255), 0.28), 1.4)


def draw_crane(canvas: Canvas, rng: random.Random, x: float, foot: float, height: float) -> None:
    """A ship-to-shore gantry crane: portal, boom over the water, stays and a machine house."""
    steel = canvas.lit(rng.choice(CRANE_COLOURS))
    dark = shade(steel, 0.66)
    span, flip = height * rng.uniform(0.34, 0.42), rng.random() < 0.5
    beam = foot - height * 0.58
    apex = (x + span * 0.35, foot - height)
    near, far = (-height * 0.52, span + height * 0.2)
    if flip:
        near, far = (-height * 0.2, span + height * 0.52)
        apex = (x + span * 0.65, foot - height)
    w = max(3.0, height * 0.026)
    canvas.begin("crane")
    for leg in (x, x + span):
        canvas.line((leg, foot), (leg, beam), steel, w * 1.35)
        canvas.rectangle(leg - w * 1.7, foot - w * 1.6, leg + w * 1.7, foot, dark)
    canvas.line((x, foot - height * 0.26), (x + span, foot - height * 0.26), steel, w)
    canvas.line((x, foot - height * 0.26), (x + span, beam), dark, w * 0.6)
    canvas.line((x + near, beam), (x + far, beam), steel, w * 1.5)
    for leg in (x, x + span):
        canvas.line((leg, beam), apex, steel, w)
    for end in (x + near, x + far):
        canvas.line(apex, (end, beam), dark, w * 0.5)
    house = x + span * (0.62 if not flip else 0.12)
    canvas.rectangle(house, beam - w * 4.4, house + span * 0.3, beam, shade(steel, 0.85))
    trolley = x + (near * 0.55 if not flip else span + (far - span) * 0.6)
    drop = beam + height * rng.uniform(0.1, 0.24)
    canvas.rectangle(trolley - w * 1.6, beam, trolley + w * 1.6, beam + w * 1.6, dark)
    for side in (-1, 1):
        canvas.line((trolley + side * w, beam), (trolley + side * w, drop), dark, 1.2)
    canvas.rectangle(trolley - w * 3, drop, trolley + w * 3, drop + w, dark)
    canvas.end()
    if rng.random() < 0.45:
        width = rng.uniform(46, 56)
        draw_container(canvas, rng, trolley - width / 2, drop + w + width * 0.47, width)


def draw_truck(canvas: Canvas, rng: random.Random, x: float, ground: float, length: float) -> None:
    """A tractor with a skeletal trailer, loaded or empty."""
    cab = canvas.lit(rng.choice(CAB_COLOURS))
    flip = rng.random() < 0.5
    tyre, rim = canvas.lit((34, 34, 36)), canvas.lit((176, 176, 176))
    r, bed = length * 0.052, ground - length * 0.1

    def at(fraction: float) -> float:
        return x + length * (1 - fraction if flip else fraction)

    canvas.begin("truck")
    a, b = sorted((at(0.2), at(1.0)))
    canvas.rectangle(a, bed - 3, b, bed + length * 0.02, canvas.lit((70, 72, 78)))
    top = ground - length * 0.34
    canvas.polygon([(at(0.035), top), (at(0.2), top), (at(0.2), ground - r), (at(0.0), ground - r), (at(0.0), ground - length * 0.2)], cab)
    canvas.polygon([(at(0.045), top + length * 0.035), (at(0.12), top + length * 0.035), (at(0.12), ground - length * 0.19), (at(0.02), ground - length * 0.19)], canvas.lit((52, 70, 88)))
    canvas.disc(at(0.012), ground - length * 0.1, 2.2, (255, 240, 180))
    for position in (0.07, 0.28, 0.36, 0.8, 0.88, 0.96):
        canvas.disc(at(position), ground - r, r, tyre)
        canvas.disc(at(position), ground - r, r * 0.45, rim)
    canvas.end()
    if rng.random() < 0.6:
        width = length * 0.72
        draw_container(canvas, rng, min(at(0.25), at(0.25) - (width if flip else 0)), bed - 3, width)


def draw_scene(seed: int) -> Scene:
    """The harbour scene number `seed`: the same picture and boxes every time."""
    rng = random.Random(f"harbour-{seed}")
    canvas = Canvas(rng.choice(tuple(SKIES)))
    horizon, quay = rng.randint(150, 205), rng.randint(300, 340)
    backdrop(canvas, rng, horizon, quay)
    for lane in range(rng.choice((0, 1, 1, 1, 2))):
        length = rng.uniform(190, 330) * (0.72 if lane == 0 else 1.0)
        waterline = horizon + (quay - horizon) * (0.34 if lane == 0 else 0.82) + rng.uniform(-6, 6)
        draw_ship(canvas, rng, rng.uniform(-length * 0.15, WIDTH - length * 0.85), waterline, length)
    draw_quay(canvas, rng, quay)
    rows = sorted(rng.uniform(quay + 14, quay + 34) for _ in range(rng.choice((0, 1, 1, 2))))
    for number, foot in enumerate(rows):
        height = rng.uniform(200, 290)
        draw_crane(canvas, rng, rng.uniform(60, 230) + number * 270, foot, height)
    x = rng.uniform(-20, 120)
    for _ in range(rng.randint(0, 3)):
        draw_stack(canvas, rng, x, quay + rng.uniform(38, 62), rng.uniform(58, 74))
        x += rng.uniform(150, 280)
    x = rng.uniform(-10, 240)
    for _ in range(rng.choice((0, 1, 1, 2, 2))):
        length = rng.uniform(130, 180)
        draw_truck(canvas, rng, x, rng.uniform(quay + 104, HEIGHT - 12), length)
        x += length + rng.uniform(30, 160)
    scene = canvas.finish()
    return Scene(camera(scene.image, rng), scene.boxes, scene.sky)


def camera(image: Image.Image, rng: random.Random) -> Image.Image:
    """A little haze, focus and sensor noise, so that a detector cannot rely on flat colours."""
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0)))
    pixels = np.asarray(image).astype(np.float32)
    pixels = (pixels - 128) * rng.uniform(0.85, 1.1) + 128 + rng.uniform(-14, 14)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(1, 5), pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def write_dataset(out: Path, train: int, val: int) -> Path:
    """Write a YOLO data set (images/, labels/, data.yaml) and return the path of its data.yaml.

    Scenes 0 .. train-1 are for training; the held-out ones start at 1,000,000, so no size makes them overlap.
    """
    for split, seeds in (("train", range(train)), ("val", range(1_000_000, 1_000_000 + val))):
        (out / "images" / split).mkdir(parents=True, exist_ok=True)
        (out / "labels" / split).mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            scene = draw_scene(seed)
            scene.image.save(out / "images" / split / f"{seed:07d}.jpg", quality=88)
            labels = "\n".join(box.yolo() for box in scene.boxes)
            (out / "labels" / split / f"{seed:07d}.txt").write_text(labels + "\n" if labels else "")
    names = "\n".join(f"  {i}: {name}" for i, name in enumerate(CLASSES))
    data = out / "data.yaml"
    data.write_text(f"path: {out.resolve()}\ntrain: images/train\nval: images/val\nnames:\n{names}\n")
    return data


def write_samples(out: Path, seeds: dict[str, int]) -> None:
    """Write the course's sample pictures as NAME.jpg."""
    out.mkdir(parents=True, exist_ok=True)
    for name, seed in seeds.items():
        draw_scene(seed).image.save(out / f"{name}.jpg", quality=92)


# Chosen by eye among the scenes where the model finds each object once, and nothing else; the name tells the sky.
SAMPLES = {"harbour-dawn": 2_001_386, "harbour-night": 2_001_223, "harbour-noon": 2_000_155}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder of the data set")
    parser.add_argument("--train", type=int, default=400, help="number of training scenes")
    parser.add_argument("--val", type=int, default=100, help="number of held-out scenes")
    parser.add_argument("--samples", type=Path, help="folder of the course's sample pictures")
    args = parser.parse_args()
    if args.out:
        print(write_dataset(args.out, args.train, args.val))
    if args.samples:
        write_samples(args.samples, SAMPLES)


if __name__ == "__main__":
    main()
