"""`--speed exact|fast`: in which precision a network runs where none is given. Imports no torch.

`fast` is bfloat16 where the processor computes in it; norms are folded and convolutions packed either way. Five trained
networks, four pix2pix and CUT U-Nets and ResNets of width 32 with three norms, gave 8-bit pictures of 57 to 61 dB to
those of `exact`, the network's own values being 63 to 70 dB apart: one level of 255 at every tenth value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from translate.images import ImageSpec

Speed = Literal["exact", "fast"]

LEAST_PSNR = 55.0
"""dB of 8-bit pictures of `fast` to those of `exact`, at least, on trained networks."""

PRECISIONS = {"exact": "float32", "fast": "bfloat16"}
"""What a speed stands for."""


class Chosen(NamedTuple):
    """The precision of a network, and what a user should know about why."""

    precision: str
    note: str | None = None


def choose(
    speed: Speed | None, precision: str | None, *, target: ImageSpec, trouble: Callable[[], str | None]
) -> Chosen:
    """The precision to run in: the one that is given, else that of the speed, where the device has it.

    `trouble()` is why it does not compute in bfloat16, or None.
    """
    if precision is not None:
        told = None if speed is None else f"--precision {precision} is given beside --speed {speed}, and decides"
        return Chosen(precision, told)
    chosen = PRECISIONS[speed or "exact"]
    if chosen == "float32":
        return Chosen(chosen)
    if reason := trouble():
        return Chosen("float32", f"--speed fast: {reason}: the network runs in float32, as with --speed exact")
    if target.dtype != "uint8":
        return Chosen(chosen, f"--speed fast keeps about 10 bits, and this model's outputs are {target.dtype}")
    return Chosen(chosen)
