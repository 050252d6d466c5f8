"""The synthetic set: house fronts drawn from a seed, label map to rendered front, with material and caption.

`draw(sample_house(seed, index), size)` is the whole of it; `write_paired` and `write_unpaired` put a set on disk.
In fixed colours the label map tells all that the front shows, so that a plain translator can learn it; in free
colours the caption and the material are needed too. Mirroring a pair makes the caption's left and right wrong.
`write_paired(..., unseen=True)` keeps some pairs of colours from training and validates on them. No torch.
"""

from translate.houses.front import Example, draw
from translate.houses.house import Colours, House, caption, colours_in, is_unseen, part_colour, sample_house
from translate.houses.palette import (
    COLOURED_PARTS,
    LABELS,
    MATERIALS,
    PALETTE,
    measured_colour,
    nearest_colour,
    region,
)
from translate.houses.write import write_paired, write_unpaired

__all__ = [
    "COLOURED_PARTS",
    "LABELS",
    "MATERIALS",
    "PALETTE",
    "Colours",
    "Example",
    "House",
    "caption",
    "colours_in",
    "draw",
    "is_unseen",
    "measured_colour",
    "nearest_colour",
    "part_colour",
    "region",
    "sample_house",
    "write_paired",
    "write_unpaired",
]
