"""CycleGAN: unpaired translation by cycle consistency (Zhu, Park, Isola, Efros 2017)."""

from __future__ import annotations

from translate.models.two_domains import TwoDomains, TwoDomainSettings


class CycleGANSettings(TwoDomainSettings):
    """The published settings: ResNets, 70-pixel PatchGANs, instance norm, least squares, cycle 10, identity 5."""

    published = {"generator": "resnet"}  # noqa: RUF012


class CycleGAN(TwoDomains):
    """The generators make their step first; the discriminators see past fakes among new ones (pools)."""

    settings_class = CycleGANSettings
    summary = "unpaired translation, both ways: cycle consistency (Zhu 2017)"
