"""Transparent images on white."""

from __future__ import annotations

from PIL import Image as PillowImage


def on_white(picture: PillowImage.Image) -> tuple[PillowImage.Image, bool]:
    """The image without transparency, and whether any pixel was transparent.

    An image with transparency becomes RGB; another is given back as it is.
    """
    if not picture.has_transparency_data:
        return picture, False
    layered = picture.convert("RGBA")
    if layered.getchannel("A").getextrema() == (255, 255):
        return layered.convert("RGB"), False
    white = PillowImage.new("RGBA", layered.size, "white")
    return PillowImage.alpha_composite(white, layered).convert("RGB"), True
