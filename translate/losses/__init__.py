"""Losses: pure functions, tensors in, a scalar out. They know nothing of settings, models or files."""

from translate.losses.adversarial import OBJECTIVES, Objective
from translate.losses.contrastive import patch_nce
from translate.losses.matching import feature_matching
from translate.losses.reconstruction import l1, mse

__all__ = ["OBJECTIVES", "Objective", "feature_matching", "l1", "mse", "patch_nce"]
