"""Image services: one JPEG by image id, any part of it, at any power of two.

The services answer with a redirect to an image server, and the image comes without a length:
only its own end tells that it is whole. `width_px` and `height_px` of a request are pixels of the
downsampled picture, `left_px` and `top_px` pixels of the full one (a recorded redirect of the
service shows it: ``downsample=4`` with ``left=3008&top=30592&width=969&height=489``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, get_args
from urllib.parse import quote

from openallen.address import Address
from openallen.errors import UsageError

__all__ = ["COLORMAPS", "DrawingRequest", "ImageRequest", "ImageService", "View", "tier_size_px"]

ImageService = Literal["image", "section_image", "projection_image", "atlas_image"]
"""The image services; ``image`` and ``section_image`` return the same picture."""

View = Literal["expression", "projection", "tumor_feature_annotation", "tumor_feature_boundary"]
"""What is shown instead of the picture itself."""

COLORMAPS: Mapping[str, int] = MappingProxyType(
    {
        "gray": 0, "hotmetal": 1, "jet": 2, "redtemp": 3, "expression": 4, "red": 5, "blue": 6,
        "green": 7, "aba": 8, "aibsmap_alt": 9, "colormap": 10, "projection": 11,
    }
)  # fmt: skip
"""Names of colour maps with the number that stands for each in a five-number colour map."""


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One request to an image service. None leaves an option to the service.

    Parameters
    ----------
    image_id
        Id of the image (a SubImage, SectionImage, ProjectionImage or AtlasImage).
    service
        See `ImageService`.
    downsample
        Halvings of both sides; 0 is full size.
    quality
        JPEG quality, 0 to 100; the best by default.
    left_px, top_px
        Corner of the part wanted, in pixels of the full image.
    width_px, height_px
        Size of the part wanted, in pixels of the downsampled image.
    intensity_range
        Black and white point for red, green and blue, six numbers from 0 to 4095.
    colormap
        A name of `COLORMAPS`, or five numbers: gain, lower threshold, 0, 256, number of a map.
    rgb
        Weight of red, green and blue, each 0 to 1.
    contrast
        Gain and bias, each 0 to 1.
    view
        See `View`.
    expression, projection, tumor_feature_annotation, tumor_feature_boundary
        Older switches for the same views.
    annotation, atlas
        Whether annotation is drawn over an atlas image, and of which atlas.
    downsample_dimensions
        Whether the service scales the size asked for by the downsampling.

    Raises
    ------
    UsageError
        For a value the service does not know.
    """

    image_id: int
    service: ImageService = "image"
    downsample: int | None = None
    quality: int | None = None
    tumor_feature_annotation: bool | None = None
    tumor_feature_boundary: bool | None = None
    annotation: bool | None = None
    atlas: int | None = None
    projection: bool | None = None
    expression: bool | None = None
    colormap: str | tuple[float, float, float, float, float] | None = None
    intensity_range: tuple[int, int, int, int, int, int] | None = None
    contrast: tuple[float, float] | None = None
    rgb: tuple[float, float, float] | None = None
    view: View | None = None
    left_px: int | None = None
    top_px: int | None = None
    width_px: int | None = None
    height_px: int | None = None
    downsample_dimensions: bool | None = None

    def __post_init__(self) -> None:
        _within("downsample", self.downsample, 0, 20)
        _within("quality", self.quality, 0, 100)
        _within("width", self.width_px, 1, 1_000_000)
        _within("height", self.height_px, 1, 1_000_000)
        for value in self.intensity_range or ():
            _within("range", value, 0, 4095)
        for value in (*(self.rgb or ()), *(self.contrast or ())):
            _within("rgb and contrast", value, 0, 1)
        _one_of("service", self.service, get_args(ImageService))
        _one_of("view", self.view, get_args(View))
        if isinstance(self.colormap, str):
            _one_of("colormap", self.colormap, tuple(COLORMAPS))

    @classmethod
    def from_address(cls, address: Address) -> ImageRequest:
        """Read ``image:321549654?downsample=3&quality=50``.

        Raises
        ------
        UsageError
            For an option the services do not have, or a value that cannot be read.
        """
        values: dict[str, Any] = {}
        for condition in address.conditions:
            name = _OPTIONS.get(condition.field)
            if name is None or condition.op != "eq":
                raise UsageError(
                    f"image services have no option '{condition}'",
                    address=str(address),
                    hint="one of " + ", ".join(_OPTIONS),
                )
            values[name] = _read(name, str(condition.value), address)
        return cls(image_id=address.id, **values)

    @property
    def options(self) -> dict[str, str]:
        """The parameters as the service spells them, in the order its documentation does."""
        names = {field: option for option, field in _OPTIONS.items()}
        given = {
            names[field.name]: _write(getattr(self, field.name))
            for field in fields(self)
            if field.name not in {"image_id", "service"}
        }
        return {name: text for name, text in given.items() if text is not None}

    @property
    def address(self) -> str:
        """The address that names the same picture: ``image:321549654?downsample=3``."""
        service = {} if self.service == "image" else {"service": self.service}
        told = "&".join(f"{name}={text}" for name, text in {**service, **self.options}.items())
        return f"image:{self.image_id}" + (f"?{told}" if told else "")

    def url(self, base: str) -> str:
        """Return the URL at the service with base URL `base`."""
        query = "&".join(f"{name}={quote(text, safe=',.')}" for name, text in self.options.items())
        path = f"{base}/api/v2/{self.service}_download/{self.image_id}"
        return f"{path}?{query}" if query else path


def tier_size_px(width_px: int, height_px: int, downsample: int) -> tuple[int, int]:
    """Return width and height of an image after `downsample` halvings, in pixels, rounded up.

    Rounding at odd sizes is the service's own affair: hold answers to this within one pixel.
    """
    scale = 1 << downsample
    return max(1, -(-width_px // scale)), max(1, -(-height_px // scale))


@dataclass(frozen=True, kw_only=True)
class DrawingRequest:
    """One request for the structures drawn on an atlas image, as SVG.

    Parameters
    ----------
    image_id
        Id of the AtlasImage.
    groups
        Ids of the graphic group labels wanted; all when empty.
    downsample
        Halvings of the coordinates.
    """

    image_id: int
    groups: tuple[int, ...] = ()
    downsample: int | None = None

    def __post_init__(self) -> None:
        _within("downsample", self.downsample, 0, 20)

    @classmethod
    def from_address(cls, address: Address) -> DrawingRequest:
        """Read ``image:100960033?service=svg&groups=28``.

        Raises
        ------
        UsageError
            For an option drawings do not have, or a value that cannot be read.
        """
        values: dict[str, Any] = {}
        for condition in address.conditions:
            if condition.field == "service":
                continue
            if condition.field not in {"groups", "downsample"} or condition.op != "eq":
                raise UsageError(
                    f"drawings have no option '{condition}'",
                    address=str(address),
                    hint="groups and downsample",
                )
            values[condition.field] = _read(condition.field, str(condition.value), address)
        return cls(image_id=address.id, **values)

    @property
    def options(self) -> dict[str, str]:
        """The parameters as the service spells them."""
        parameters = {
            "groups": ",".join(map(str, self.groups)),
            "downsample": _write(self.downsample),
        }
        return {name: text for name, text in parameters.items() if text}

    def url(self, base: str) -> str:
        """Return the URL at the service with base URL `base`."""
        query = "&".join(f"{name}={text}" for name, text in self.options.items())
        path = f"{base}/api/v2/svg/{self.image_id}"
        return f"{path}?{query}" if query else path


_OPTIONS = {
    "service": "service",
    "downsample": "downsample",
    "quality": "quality",
    "tumor_feature_annotation": "tumor_feature_annotation",
    "tumor_feature_boundary": "tumor_feature_boundary",
    "annotation": "annotation",
    "atlas": "atlas",
    "projection": "projection",
    "expression": "expression",
    "colormap": "colormap",
    "range": "intensity_range",
    "contrast": "contrast",
    "rgb": "rgb",
    "view": "view",
    "left": "left_px",
    "top": "top_px",
    "width": "width_px",
    "height": "height_px",
    "downsample_dimensions": "downsample_dimensions",
}  # option of the service (and of an address) -> field
_NUMBERS = {"downsample", "quality", "atlas", "left_px", "top_px", "width_px", "height_px"}
_LISTS = {"intensity_range": 6, "contrast": 2, "rgb": 3, "colormap": 5}
_WORDS = {"service", "view"}


def _read(name: str, text: str, address: Address) -> object:
    try:
        if name in _NUMBERS:
            return int(text)
        if name == "groups":
            return tuple(int(item) for item in text.split(","))
        if name in _WORDS or (name == "colormap" and "," not in text):
            return text
        if name in _LISTS:
            kind = int if name == "intensity_range" else float
            values = tuple(kind(item) for item in text.split(","))
            if len(values) != _LISTS[name]:
                raise ValueError(f"{_LISTS[name]} numbers are needed")
            return values
        return {"true": True, "false": False}[text.lower()]
    except (KeyError, ValueError) as error:
        what = f"'{text}' is not a value of '{name}'"
        raise UsageError(what, address=str(address), why=str(error)) from error


def _write(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(f"{item:g}" for item in value)
    return str(value)


def _within(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise UsageError(f"{name} must be from {least:g} to {most:g}, not {value:g}")


def _one_of(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"unknown {name} '{value}'", hint="one of " + ", ".join(known))
