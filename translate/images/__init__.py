"""Reading, describing and writing pictures. Imports no torch."""

from translate.images.convert import change_depth, luma, to_spec
from translate.images.formats import FORMATS, IMAGE_SUFFIXES, can_hold, format_for, is_image_name, suffix_for
from translate.images.missing import carry_missing, change_around, filled, missing, put_missing
from translate.images.picture import ImageError, Picture
from translate.images.read import MAX_PIXELS, from_pil, read
from translate.images.spec import FULL_SCALE, ImageSpec, Nodata, show_nodata
from translate.images.write import encode, save, write

__all__ = [
    "FORMATS",
    "FULL_SCALE",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageError",
    "ImageSpec",
    "Nodata",
    "Picture",
    "can_hold",
    "carry_missing",
    "change_around",
    "change_depth",
    "encode",
    "filled",
    "format_for",
    "from_pil",
    "is_image_name",
    "luma",
    "missing",
    "put_missing",
    "read",
    "save",
    "show_nodata",
    "suffix_for",
    "to_spec",
    "write",
]
