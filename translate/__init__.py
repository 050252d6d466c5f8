"""Conditional image-to-image translation with GANs."""

from translate.version import __version__

__all__ = ["__version__"]
