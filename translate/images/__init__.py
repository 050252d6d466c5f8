"""Reading, describing and writing pictures. Imports no torch."""

from translate.images.convert import change_depth, luma, to_spec
from translate.images.formats import FORMATS, IMAGE_SUFFIXES, can_hold, format_for, is_image_name, suffix_for
from translate.images.picture import ImageError, Picture
from translate.images.read import MAX_PIXELS, from_pil, read
from translate.images.spec import FULL_SCALE, ImageSpec
from translate.images.write import encode, save, write

__all__ = [
    "FORMATS",
    "FULL_SCALE",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageError",
    "ImageSpec",
    "Picture",
    "can_hold",
    "change_depth",
    "encode",
    "format_for",
    "from_pil",
    "is_image_name",
    "luma",
    "read",
    "save",
    "suffix_for",
    "to_spec",
    "write",
]
