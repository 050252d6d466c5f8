"""Grids in pictures, by peaks of their spectrum: the trace of upsampling with uneven overlap (Odena 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

PERIOD = 8  # pixels: peaks are looked for at all frequencies that repeat after so many, so at periods of 2 and 4 too
SMALLEST = 32  # side in pixels, so that there are frequencies beside each peak
BESIDE = (1, 2)  # frequencies to either side of a peak, with which it is compared


class Grids:
    """Sums of the power of pictures at the peaks that a grid has, and beside them."""

    def __init__(self) -> None:
        self.count = 0
        self._at = torch.zeros(PERIOD, PERIOD, dtype=torch.float64)
        self._beside = torch.zeros(PERIOD, PERIOD, dtype=torch.float64)

    def add(self, pictures: Tensor) -> None:
        """Take in `[B, C, H, W]` in [-1, 1], cut to multiples of the period; pictures of fewer pixels are left out."""
        height, width = (side - side % PERIOD for side in pictures.shape[-2:])
        if min(height, width) < SMALLEST:
            return
        brightness = pictures[..., :height, :width].float().mean(1)
        power = torch.fft.fft2(brightness, norm="forward").abs().square()  # [B, H, W]
        down, across = height // PERIOD, width // PERIOD
        near = []
        for dim, step in ((1, across), (0, down)):  # along a border's ridge, on which a peak is no peak
            shifts = [sign * n for n in BESIDE for sign in (1, -1)]
            near.append(torch.stack([power.roll(s, dims=2 if dim else 1) for s in shifts]).mean(0)[:, ::down, ::across])
            assert step > max(BESIDE), "the frequencies beside a peak are no peaks"
        self._at += power[:, ::down, ::across].sum(0).cpu().double()
        self._beside += torch.maximum(*near).sum(0).cpu().double()
        self.count += len(pictures)

    def peaks(self) -> Tensor:
        """Power at each frequency (multiples of 1 / PERIOD, `[PERIOD, PERIOD]`) over that beside it; 1 at the mean."""
        ratio = self._at / self._beside.clamp(min=1e-14)
        ratio[0, 0] = 1.0
        return ratio

    def amplitudes(self) -> Tensor:
        """Amplitude of the wave at each frequency, in values from -1 to 1: `[PERIOD, PERIOD]`."""
        amplitude = 2 * (self._at / max(self.count, 1)).sqrt()
        amplitude[0, 0] = 0.0
        return amplitude
