"""Losses: pure functions, tensors in, a scalar out. Independent of settings, models and files."""

from translate.losses.adversarial import OBJECTIVES, Objective
from translate.losses.conditional import class_cost, gaussian_cost, kl_normal, matching_aware
from translate.losses.contrastive import patch_nce
from translate.losses.matching import feature_matching, layer_matching, pull_away
from translate.losses.penalties import gradient_penalty, zero_centred
from translate.losses.perceptual import perceptual
from translate.losses.reconstruction import class_weights, l1, mse

__all__ = [
    "OBJECTIVES",
    "Objective",
    "class_cost",
    "class_weights",
    "feature_matching",
    "gaussian_cost",
    "gradient_penalty",
    "kl_normal",
    "l1",
    "layer_matching",
    "matching_aware",
    "mse",
    "patch_nce",
    "perceptual",
    "pull_away",
    "zero_centred",
]
