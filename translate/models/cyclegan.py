"""CycleGAN: unpaired translation by cycle consistency (Zhu, Park, Isola, Efros 2017)."""

from __future__ import annotations

from translate.models.two_domains import TwoDomains, TwoDomainSettings


class CycleGANSettings(TwoDomainSettings):
    """The published settings: ResNets, 70-pixel PatchGANs, instance norm, least squares, cycle 10, identity 5."""

    published = {"generator": "resnet"}  # noqa: RUF012


class CycleGAN(TwoDomains):
    """Both generators move before both discriminators, which see fakes of earlier steps among the new ones."""

    settings_class = CycleGANSettings
    summary = "unpaired translation, both ways: cycle consistency (Zhu 2017)"
