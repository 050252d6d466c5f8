"""Reading, describing and writing pictures. Imports no torch."""

from translate.images.spec import FULL_SCALE, ImageSpec

__all__ = ["FULL_SCALE", "ImageSpec"]
