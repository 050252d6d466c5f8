"""Losses: pure functions, tensors in, a scalar out. Independent of settings, models and files."""

from translate.losses.adversarial import OBJECTIVES, Objective
from translate.losses.conditional import class_cost, gaussian_cost, kl_normal, matching_aware
from translate.losses.contrastive import patch_nce
from translate.losses.frequency import focal_frequency
from translate.losses.matching import feature_matching, layer_matching, pull_away
from translate.losses.penalties import gradient_penalty, zero_centred
from translate.losses.perceptual import perceptual
from translate.losses.reconstruction import class_weights, l1, mse
from translate.losses.segmentation import all_fake, label_mask, label_mix, true_classes
from translate.losses.style import gram, style

__all__ = [
    "OBJECTIVES",
    "Objective",
    "all_fake",
    "class_cost",
    "class_weights",
    "feature_matching",
    "focal_frequency",
    "gaussian_cost",
    "gradient_penalty",
    "gram",
    "kl_normal",
    "l1",
    "label_mask",
    "label_mix",
    "layer_matching",
    "matching_aware",
    "mse",
    "patch_nce",
    "perceptual",
    "pull_away",
    "style",
    "true_classes",
    "zero_centred",
]
