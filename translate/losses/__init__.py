"""Losses: pure functions, tensors in, a scalar out. They know nothing of settings, models or files."""

from translate.losses.adversarial import OBJECTIVES, Objective
from translate.losses.reconstruction import l1

__all__ = ["OBJECTIVES", "Objective", "l1"]
