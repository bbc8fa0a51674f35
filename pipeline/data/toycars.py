"""`toycars`: two hundred drawn vehicles in VeRi-776's layout, so that a first build downloads nothing.

Every identity is a small 3-D model (body, paint, roof, load, decals) seen by six cameras that differ in viewpoint,
light, noise and sharpness. Vehicles come in near twins: the second of each pair shares body and paint with the first
and differs in details only, like vehicles of one make in real sets. Equal versions give equal pixels.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image, ImageDraw, ImageFilter

VERSION = 1
IDENTITIES = 200
TRAIN_IDENTITIES = 100
CAMERAS = 6
SIZE = 96  # pixels, square
SHOTS = 2  # images of one identity per camera

Vector = np.ndarray
Colour = np.ndarray
Quad = tuple[Vector, Colour]

PAINTS = np.array(
    [
        (235, 235, 235), (25, 25, 30), (130, 135, 140), (185, 190, 195), (170, 25, 30), (25, 50, 120),
        (30, 90, 60), (215, 165, 30), (110, 70, 45), (90, 130, 175),
    ],
    dtype=float,
)  # fmt: skip


@dataclass(frozen=True)
class Body:
    """Outline of a vehicle type in units of its length: x forward, y left, z up."""

    width: float
    deck: float  # height of the lower box
    roof: float  # height of the cabin's top
    cabin: tuple[float, float]  # from, to along x at the deck
    top: tuple[float, float]  # the same at the roof
    box: tuple[float, float, float] | None = None  # load: from, to, height


BODIES = (
    Body(0.40, 0.20, 0.32, (-0.36, 0.24), (-0.24, 0.08)),  # saloon
    Body(0.44, 0.23, 0.38, (-0.49, 0.22), (-0.42, 0.06)),  # hatchback
    Body(0.42, 0.22, 0.46, (-0.49, 0.38), (-0.48, 0.26)),  # van
    Body(0.40, 0.23, 0.38, (-0.05, 0.26), (0.00, 0.14)),  # pickup
    Body(0.30, 0.16, 0.36, (-0.49, 0.49), (-0.48, 0.46)),  # bus
    Body(0.34, 0.20, 0.38, (0.18, 0.49), (0.18, 0.40), (-0.49, 0.14, 0.46)),  # lorry
)


@dataclass(frozen=True)
class Vehicle:
    """Everything that distinguishes one identity from another."""

    body: Body
    paint: Colour
    roof: Colour
    load: Colour
    glass: Colour
    wheel: Colour
    decals: tuple[tuple[str, float, float, float, float, Colour], ...]  # face, centre u, v, half sizes, colour
    rack: int  # bars across the roof


@dataclass(frozen=True)
class Camera:
    """Viewpoint of a camera, and its effects on a picture."""

    yaw: float
    yaw_spread: float
    elevation: float
    light: Colour
    ground: Colour
    noise: float
    blur: float


def _vehicle(identity: int) -> Vehicle:
    twin, second = divmod(identity, 2)
    make = np.random.default_rng([VERSION, 1, twin])  # shared by both twins
    body = BODIES[make.integers(len(BODIES))]
    paint = np.clip(PAINTS[make.integers(len(PAINTS))] + make.normal(0, 12, 3), 5, 250)
    detail = np.random.default_rng([VERSION, 2, twin, second])
    two_tone = detail.random() < 0.35
    decals = []
    for _ in range(int(detail.integers(1, 4))):
        face = ("side", "side", "roof", "bonnet")[detail.integers(4)]
        long = detail.random() < 0.5
        half_u, half_v = (detail.uniform(0.15, 0.45), 0.07) if long else (detail.uniform(0.05, 0.14), 0.2)
        colour = PAINTS[detail.integers(len(PAINTS))]
        decals.append((face, detail.uniform(0.25, 0.75), detail.uniform(0.3, 0.8), half_u, half_v, colour))
    return Vehicle(
        body=body,
        paint=paint,
        roof=PAINTS[detail.integers(len(PAINTS))] if two_tone else paint,
        load=PAINTS[detail.integers(len(PAINTS))],
        glass=np.array((35, 45, 55), float) + detail.uniform(0, 60),
        wheel=np.full(3, detail.uniform(20, 140)),
        decals=tuple(decals),
        rack=int(detail.integers(0, 4)) if detail.random() < 0.4 else 0,
    )


def _cameras() -> tuple[Camera, ...]:
    degree = np.pi / 180
    tints = ((1.0, 1.0, 1.0), (1.05, 0.95, 0.8), (0.7, 0.75, 0.9), (1.1, 1.1, 1.05), (0.75, 0.7, 0.6), (0.9, 1.0, 1.0))
    rows = (
        # yaw, spread, elevation, noise, blur
        (35, 15, 20, 4.0, 0.4),
        (-40, 15, 25, 6.0, 0.6),
        (90, 20, 15, 9.0, 0.8),
        (145, 15, 30, 5.0, 0.5),
        (-90, 20, 20, 7.0, 0.9),
        (-150, 15, 35, 6.0, 0.6),
    )
    ground = np.random.default_rng([VERSION, 3])
    return tuple(
        Camera(yaw * degree, spread * degree, up * degree, np.array(tint), ground.uniform(70, 160, 3), noise, blur)
        for (yaw, spread, up, noise, blur), tint in zip(rows, tints, strict=True)
    )


def _prism(x: tuple[float, float], top_x: tuple[float, float], y: float, z: tuple[float, float]) -> list[Vector]:
    """Six faces of a box whose top may be shorter: front, back, left, right, top, bottom; each 4×3."""
    (x0, x1), (t0, t1), (z0, z1), top_y = x, top_x, z, y * 0.9
    a, b, c, d = (x0, -y, z0), (x1, -y, z0), (x1, y, z0), (x0, y, z0)
    e, f, g, h = (t0, -top_y, z1), (t1, -top_y, z1), (t1, top_y, z1), (t0, top_y, z1)
    faces = ((b, c, g, f), (d, a, e, h), (c, d, h, g), (a, b, f, e), (e, f, g, h), (a, d, c, b))
    return [np.array(face, float) for face in faces]


def _patch(face: Vector, u: float, v: float, half_u: float, half_v: float) -> Vector:
    """A quad inside a quad, in the face's own coordinates (0 … 1)."""

    def at(s: float, t: float) -> Vector:
        s, t = np.clip(s, 0, 1), np.clip(t, 0, 1)
        point: Vector = (1 - t) * ((1 - s) * face[0] + s * face[1]) + t * ((1 - s) * face[3] + s * face[2])
        return point

    corners = ((u - half_u, v - half_v), (u + half_u, v - half_v), (u + half_u, v + half_v), (u - half_u, v + half_v))
    return np.stack([at(s, t) for s, t in corners])


def _model(vehicle: Vehicle) -> list[tuple[Vector, Colour, list[Quad]]]:
    """Faces of the vehicle with their colours and the details painted on each."""
    body = vehicle.body
    half = body.width / 2
    lower = _prism((-0.5, 0.5), (-0.49, 0.47), half, (0.06, body.deck))
    cabin = _prism(body.cabin, body.top, half * 0.95, (body.deck, body.roof))
    faces: list[tuple[Vector, Colour, list[Quad]]] = []
    for index, face in enumerate(lower[:5]):
        painted: list[Quad] = []
        if index in (0, 1):  # lamps
            lamp = np.array((250, 245, 220) if index == 0 else (190, 30, 30), float)
            painted += [(_patch(face, u, 0.6, 0.08, 0.15), lamp) for u in (0.12, 0.88)]
        faces.append((face, vehicle.paint, painted))
    for index, face in enumerate(cabin[:5]):
        painted = []
        if index < 4:
            spans = ((0.5, 0.42),) if index < 2 else ((0.27, 0.19), (0.73, 0.19))
            painted += [(_patch(face, u, 0.55, half_u, 0.3), vehicle.glass) for u, half_u in spans]
        faces.append((face, vehicle.roof if index == 4 else vehicle.paint, painted))
        if index == 4:
            bars = np.array((60, 60, 60), float)
            painted += [(_patch(face, 0.2 + 0.3 * k, 0.5, 0.04, 0.5), bars) for k in range(vehicle.rack)]
    if body.box:
        start, end, height = body.box
        box = _prism((start, end), (start, end), half * 1.02, (body.deck * 0.7, height))
        faces += [(face, vehicle.load, []) for face in box[:5]]
        sides = {"side": [faces[-3], faces[-2]], "roof": [faces[-1]], "bonnet": [faces[5]]}
    else:
        sides = {"side": [faces[2], faces[3]], "roof": [faces[9]], "bonnet": [faces[4]]}
    for name, u, v, half_u, half_v, colour in vehicle.decals:
        for position, (face, _, painted) in enumerate(sides[name]):
            # Both sides of a vehicle have the same decal at the same position along its length.
            painted.append((_patch(face, 1 - u if position == 0 and name == "side" else u, v, half_u, half_v), colour))
    return faces


def _wheels(vehicle: Vehicle) -> list[Quad]:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    quads = []
    for x in (-0.3, 0.3):
        for side in (-1, 1):
            for radius, colour in ((0.085, np.full(3, 20.0)), (0.045, vehicle.wheel)):
                y = side * (vehicle.body.width / 2 + 0.005)
                rim = np.stack([x + radius * np.cos(angle), np.full(12, y), 0.08 + radius * np.sin(angle)], axis=1)
                quads.append((rim, colour))
    return quads


def _draw(vehicle: Vehicle, camera: Camera, random: np.random.Generator) -> Image.Image:
    big = SIZE * 2  # drawn at twice the size, then reduced: smooth edges
    yaw = camera.yaw + random.uniform(-1, 1) * camera.yaw_spread
    up = camera.elevation + random.uniform(-0.08, 0.08)
    forward = np.array((np.cos(yaw) * np.cos(up), np.sin(yaw) * np.cos(up), np.sin(up)))  # from vehicle to camera
    right = np.array((-np.sin(yaw), np.cos(yaw), 0.0))
    above = np.cross(forward, right)
    sun = np.array((0.3, 0.4, 0.85)) + random.normal(0, 0.1, 3)
    centre = np.array((0.0, 0.0, vehicle.body.roof / 2))

    def project(points: Vector) -> Vector:
        local = points - centre
        depth = 3.0 - local @ forward
        flat: Vector = np.stack([local @ right, -(local @ above)], axis=1) * (3.0 / depth)[:, None]
        return flat

    faces = _model(vehicle)
    corners = project(np.concatenate([face for face, _, _ in faces]))
    low, high = corners.min(0), corners.max(0)
    scale = big / (max(high - low) * random.uniform(1.02, 1.25))
    shift = np.full(2, big / 2) - scale * (low + high) / 2 + random.uniform(-0.04, 0.04, 2) * big
    gain = camera.light * random.uniform(0.8, 1.2)

    ground = np.clip(camera.ground * gain * random.uniform(0.8, 1.2), 0, 255)
    slope = np.linspace(1.15, 0.8, big)[:, None, None]
    image = Image.fromarray(np.clip(ground * slope * np.ones((big, big, 1)), 0, 255).astype(np.uint8))
    canvas = ImageDraw.Draw(image)

    def polygon(points: Vector, colour: Colour, shade: float) -> None:
        place = project(points) * scale + shift
        fill = tuple(int(c) for c in np.clip(colour * gain * shade, 0, 255))
        canvas.polygon([(float(x), float(y)) for x, y in place], fill=fill)

    flat = np.array([(-0.55, -0.3, 0.0), (0.55, -0.3, 0.0), (0.55, 0.3, 0.0), (-0.55, 0.3, 0.0)])
    polygon(flat, ground / gain, 0.55)  # shadow
    order = sorted(faces, key=lambda item: float(item[0].mean(0) @ forward))
    for face, colour, painted in order:
        normal = np.cross(face[1] - face[0], face[3] - face[0])
        normal /= np.linalg.norm(normal) + 1e-9
        if normal @ forward <= 0:
            continue
        shade = 0.55 + 0.5 * max(0.0, float(normal @ sun))
        polygon(face, colour, shade)
        for patch, ink in painted:
            polygon(patch, ink, shade)
    for wheel, colour in _wheels(vehicle):
        if np.sign(wheel[0, 1]) == np.sign(forward[1]):
            polygon(wheel, colour, 0.8)
    if random.random() < 0.25:  # an object in front
        x = random.uniform(0, big)
        wide = random.uniform(0.05, 0.15) * big
        canvas.rectangle((x, 0, x + wide, big), fill=tuple(int(c) for c in random.uniform(30, 160, 3)))

    image = image.resize((SIZE, SIZE), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(camera.blur))
    pixels = np.asarray(image, float) + random.normal(0, camera.noise, (SIZE, SIZE, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def picture(identity: int, camera: int, shot: int) -> Image.Image:
    """One picture of a vehicle, 96×96 RGB; equal for equal arguments.

    Args:
        identity: from 0; the set uses those below `IDENTITIES`.
        camera: from 1 to 6.
        shot: of this vehicle by this camera, from 0.
    """
    random = np.random.default_rng([VERSION, 4, identity, camera, shot])
    return _draw(_vehicle(identity), _cameras()[camera - 1], random)


def draw(folder: Path) -> None:
    """Draw the whole set into `folder` (VeRi-776's layout), unless it exists.

    1 200 training images of 100 identities, 600 queries and 600 gallery images of 100 others, 96×96 JPEG, about 6 MB.
    The folder appears in one rename.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():
            _draw_all(folder)


def _draw_all(folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed build
    for name in ("image_train", "image_query", "image_test"):
        (unfinished / name).mkdir(parents=True)
    try:
        for identity in range(IDENTITIES):
            for number in range(1, CAMERAS + 1):
                for shot in range(SHOTS):
                    test = "image_test" if shot else "image_query"
                    split = "image_train" if identity < TRAIN_IDENTITIES else test
                    name = f"{identity + 1:04d}_c{number:03d}_{identity * 60 + number * 7 + shot:08d}_{shot}.jpg"
                    picture(identity, number, shot).save(unfinished / split / name, quality=92)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
