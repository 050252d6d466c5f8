"""What a house front is: its parameters drawn from a seed, and the caption that puts them into words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from translate.houses.palette import COLOURED_PARTS, MATERIALS, PALETTE, SKIES
from translate.tables import closest

T = TypeVar("T")

Colours = Literal["fixed", "free"]
Side = Literal["left", "right"]
RoofShape = Literal["gable", "hip", "mansard", "flat"]
WindowShape = Literal["tall", "square", "wide", "arched"]

WALL_COLOURS: dict[str, tuple[str, ...]] = {
    "brick": ("red", "brown", "cream", "grey", "orange"),
    "plaster": ("white", "cream", "yellow", "pink", "blue", "turquoise", "orange", "green"),
    "wood": ("brown", "red", "blue", "white", "green", "black", "yellow"),
    "stone": ("grey", "cream", "brown", "white"),
}
ROOF_COLOURS = ("grey", "black", "brown", "red", "orange", "green", "blue")
PART_COLOURS = (
    "white",
    "yellow",
    "orange",
    "red",
    "purple",
    "blue",
    "turquoise",
    "green",
    "brown",
    "grey",
    "black",
)

FIXED_WALLS = {"brick": "red", "plaster": "cream", "wood": "turquoise", "stone": "grey"}
FIXED_PARTS = {"roof": "brown", "door": "blue", "shutter": "green", "balcony": "black"}

ROOF_SHAPES: tuple[RoofShape, ...] = ("gable", "hip", "hip", "mansard", "flat")
WINDOW_SHAPES: tuple[WindowShape, ...] = ("tall", "tall", "square", "wide", "arched")
RISE = ((0.48, 0.68), (0.60, 1.0), (0.76, 1.0), (0.92, 1.0))
"""Height of the whole house as a share of the height there is, for one to four storeys."""

UNSEEN = 4
"""One of so many pairs of roof and door colours is kept from training in an `unseen` set."""

COUNTS = ("one", "two", "three", "four")


@dataclass(frozen=True)
class House:
    """Every parameter of one front. Lengths and places are shares of the picture's shorter side.

    In `fixed` colours all that the photo shows follows from the label map, where each material is a class of
    its own. In `free` colours the label map knows only walls; the caption tells material, colours and sky.
    """

    colours: Colours
    material: str
    wall: str
    roof: str
    door: str
    shutter: str | None  # None: no shutters
    balcony: str | None  # None: no balcony
    sky: str

    left: float  # of the walls
    width: float
    ground: float  # where the walls meet the ground, from the top
    storeys: int
    columns: int
    storey_height: float
    roof_shape: RoofShape
    roof_height: float
    window_shape: WindowShape
    window_scale: float  # 1: as large as the shape allows
    door_column: int
    balcony_storey: int  # counted from 0, the ground floor
    balcony_column: int
    band: bool  # a string course between the storeys
    chimney: float | None  # its place along the roof, 0 to 1
    dormers: int
    lawn: bool
    tree: Side | None
    tree_size: float
    bushes: tuple[float, ...]  # places along the wall, 0 to 1
    texture: int  # seed of textures and foliage, which no label or caption tells


def sample_house(seed: int, index: int, *, colours: Colours = "fixed") -> House:
    """House number `index` of the endless street `seed`; the shape is the same in fixed and in free colours.

    Raises:
        ValueError: `colours` is neither "fixed" nor "free".
    """
    if colours not in ("fixed", "free"):
        raise ValueError(f'colours must be "fixed" or "free", got {colours!r}')
    # Of Python's generator only random() is promised to give the same numbers in every version.
    uniform = random.Random(f"{seed}/{index}").random

    def between(low: float, high: float) -> float:
        return low + (high - low) * uniform()

    def pick(options: Sequence[T]) -> T:
        return options[int(uniform() * len(options))]

    material = pick(MATERIALS)
    storeys = pick((1, 1, 2, 2, 2, 2, 3, 3, 3, 4))
    ground = between(0.80, 0.91)
    roof_shape = pick(ROOF_SHAPES)
    rise = (ground - 0.04) * between(*RISE[storeys - 1])
    roof_height = between(0.03, 0.05) if roof_shape == "flat" else rise * between(0.17, 0.36 if storeys < 3 else 0.25)
    storey_height = (rise - roof_height) / storeys
    width = between(0.44, 0.88)
    columns = 2 + int(uniform() * (min(5, int(width / 0.135)) - 1))
    door_column = int(uniform() * columns)
    left = between(0.04, 0.96 - width)

    window_shape = pick(WINDOW_SHAPES)
    window_scale = between(0.82, 1.0)
    has_shutters = uniform() < 0.6 and window_shape != "wide"
    has_balcony = uniform() < 0.5 and storeys > 1
    balcony_storey = 1 + int(uniform() * max(1, storeys - 1))
    balcony_column = int(uniform() * columns)
    chimney = between(0.12, 0.88) if uniform() < 0.55 else None
    dormers = pick((0, 1, 2)) if roof_shape in ("hip", "mansard") and roof_height > 0.13 else 0
    roomier: Side = "left" if left > 1 - left - width else "right"
    tree = roomier if uniform() < 0.55 else None
    tree_size = between(0.8, 1.3)
    door_place = (door_column + 0.5) / columns
    places = [uniform() for _ in range(pick((0, 1, 2, 3, 4)))]
    bushes = tuple(place for place in places if abs(place - door_place) * width > 0.16)

    wall, roof, door = FIXED_WALLS[material], FIXED_PARTS["roof"], FIXED_PARTS["door"]
    shutter, balcony, sky = FIXED_PARTS["shutter"], FIXED_PARTS["balcony"], "clear"
    band, lawn, texture = uniform() < 0.4, uniform() < 0.6, int(uniform() * 2**31)
    if colours == "free":
        wall = pick(WALL_COLOURS[material])
        roof = pick([name for name in ROOF_COLOURS if name != wall])
        door, shutter, balcony = (pick([name for name in PART_COLOURS if name != wall]) for _ in range(3))
        sky = pick(list(SKIES))
    return House(
        colours=colours,
        material=material,
        wall=wall,
        roof=roof,
        door=door,
        shutter=shutter if has_shutters else None,
        balcony=balcony if has_balcony else None,
        sky=sky,
        left=left,
        width=width,
        ground=ground,
        storeys=storeys,
        columns=columns,
        storey_height=storey_height,
        roof_shape=roof_shape,
        roof_height=roof_height,
        window_shape=window_shape,
        window_scale=window_scale,
        door_column=door_column,
        balcony_storey=balcony_storey,
        balcony_column=balcony_column,
        band=band,
        chimney=chimney,
        dormers=dormers,
        lawn=lawn,
        tree=tree,
        tree_size=tree_size,
        bushes=bushes,
        texture=texture,
    )


def is_unseen(house: House) -> bool:
    """Whether the house has colours of roof and door that no training house of an `unseen` set has together.

    Their places in the lists of colours decide, so it is the same ones in every set: a quarter of the pairs, among them
    some of each colour of either part, which occurs in the other pairs, too.
    """
    return (ROOF_COLOURS.index(house.roof) + PART_COLOURS.index(house.door)) % UNSEEN == 0


def part_colour(house: House, part: str) -> str | None:
    """Name of the colour of a part, None where the front has no such part.

    Raises:
        ValueError: the caption never names a colour of this part.
    """
    if part not in COLOURED_PARTS:
        choices = ", ".join(COLOURED_PARTS)
        raise ValueError(f"part {part!r} has no named colour{closest(part, COLOURED_PARTS)}; these have: {choices}")
    colours: dict[str, str | None] = {
        "wall": house.wall,
        "roof": house.roof,
        "door": house.door,
        "shutter": house.shutter,
        "balcony": house.balcony,
    }
    return colours[part]


def caption(house: House) -> str:
    """What is where in which colour: "a two-storey red brick house with a brown roof and a blue door ..."."""
    parts = [
        f"{_a(house.roof)} roof",
        f"{_a(house.door)} door {_place(house.door_column, house.columns)}",
    ]
    if house.shutter:
        parts.append(f"{house.shutter} shutters")
    if house.balcony:
        parts.append(f"{_a(house.balcony)} balcony {_place(house.balcony_column, house.columns)}")
    if house.tree:
        parts.append(f"a tree on the {house.tree}")
    return (
        f"a {COUNTS[house.storeys - 1]}-storey {house.wall} {house.material} house with "
        f"{', '.join(parts[:-1])} and {parts[-1]}, under {_a(house.sky)} sky"
    )


def colours_in(caption: str) -> dict[str, str]:
    """Part -> colour as a caption names them: the ground truth of a front of which only the text is left."""
    nouns = {"wall": f"(?:{'|'.join(MATERIALS)}) house", "shutter": "shutters"}
    found = {}
    for part in COLOURED_PARTS:
        match = re.search(rf"\b({'|'.join(PALETTE)}) {nouns.get(part, part)}\b", caption)
        if match:
            found[part] = match[1]
    return found


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _place(column: int, columns: int) -> str:
    offset = 2 * column + 1 - columns
    return "in the middle" if offset == 0 else "on the left" if offset < 0 else "on the right"
