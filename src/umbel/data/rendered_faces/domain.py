"""Domains: places with a light, a camera, walls, printers and screens of their own."""

from dataclasses import dataclass

import torch

from umbel.data.draws import Draw
from umbel.data.rendered_faces.camera import Cameras
from umbel.data.rendered_faces.light import Lights

Range = tuple[float, float]
LIGHTS = 3
LIGHT_BINS = ("left", "middle", "right")
"""Classes of the target "light": where the main light comes from."""


@dataclass(frozen=True)
class Domain:
    """A place. Every range is (least, greatest); what a sample has is drawn from it.

    Attributes:
        title: In a few words.
        lights: How many lights have a direction, at most 3.
        ambient: Strength of the light from everywhere.
        key: Strength of the main light.
        from_above: How much stronger the light from everywhere is from above.
        height: Height of the lights: 0 at the level of the face, 1 above it.
        warmth: Colour of the light: above 0 warm, below 0 cold.
        walls: Kinds of background, from `BACKGROUNDS`.
        exposure: As in `Cameras`, and so on.
        adaptation: How far the camera turns the mean colour into grey.
        balance: Random error of the gains of red and blue.
        vignette: Darker corners.
        veil: Light that the lens scatters over the whole picture.
        blur: In 64ths of the picture.
        gamma: Exponent of the tone curve.
        contrast: S shape of the tone curve.
        sharpening: Share of the detail that is added again.
        noise: In the dark.
        grain: Noise of bright light.
        colour_noise: Share of the noise that differs between the colours.
        quantisation: Of the compression.
        ink: Strength of the printed dots.
        dots: Printed dots across the sheet.
        black: What the printer's black still throws back.
        gloss: Share of the light that the paper mirrors.
        moire: Strength of the pattern between the screen's and the camera's pixels.
        glow: Brightness of the screen against the light of the place.
        glass: Strength of what the screen's glass mirrors.
        tint: Random colour of a screen or of inks.
    """

    title: str
    lights: int
    ambient: Range
    key: Range
    from_above: Range
    height: Range
    warmth: Range
    walls: tuple[int, ...]
    exposure: Range
    adaptation: Range
    balance: float
    vignette: Range
    veil: Range
    blur: Range
    gamma: Range
    contrast: Range
    sharpening: Range
    noise: Range
    grain: Range
    colour_noise: Range
    quantisation: Range
    ink: Range
    dots: Range
    black: Range
    gloss: Range
    moire: Range
    glow: Range
    glass: Range
    tint: float


def lights_of(draw: Draw, domain: Domain) -> Lights:
    """Lights as a domain has them. The main light comes from any side, the others are weaker."""
    side = draw.between(-1, 1, LIGHTS)
    height, ahead = draw.between(*domain.height, LIGHTS), draw.between(0.45, 1.2, LIGHTS)
    direction = torch.nn.functional.normalize(torch.stack([side, -height, ahead], -1), dim=-1)
    warmth = (draw.between(*domain.warmth, LIGHTS + 1) + 0.03 * draw.normal(LIGHTS + 1))[..., None]
    tint = 1 + warmth * torch.tensor([1.0, 0.0, -1.0])
    strength = draw.between(*domain.key, LIGHTS) * torch.tensor([1.0, 0.6, 0.5])
    strength[:, domain.lights :] = 0
    return Lights(
        direction=direction,
        colour=strength[..., None] * tint[:, :LIGHTS],
        ambient=draw.between(*domain.ambient, 1) * tint[:, LIGHTS],
        from_above=draw.between(*domain.from_above),
    )


def light_bin(lights: Lights) -> torch.Tensor:
    """Index into `LIGHT_BINS` of the main light's direction, int64 [N]."""
    side = lights.direction[:, 0, 0]
    return (side > -0.3).long() + (side > 0.3).long()


def cameras_of(draw: Draw, domain: Domain) -> Cameras:
    """Cameras as a domain has them."""
    both = draw.between(*domain.blur)
    motion = draw.between(0, 0.5) * draw.chance(0.2)
    gains = 1 + domain.balance * draw.normal(3).clamp(-2, 2) * torch.tensor([1.0, 0.2, 1.0])
    quantisation = draw.between(*domain.quantisation)
    return Cameras(
        exposure=draw.between(*domain.exposure),
        adaptation=draw.between(*domain.adaptation),
        balance=gains,
        vignette=draw.between(*domain.vignette),
        veil=draw.between(*domain.veil),
        blur=torch.stack([both + motion, both], 1),
        gamma=draw.between(*domain.gamma),
        contrast=draw.between(*domain.contrast),
        sharpening=draw.between(*domain.sharpening),
        noise=torch.stack([draw.between(*domain.noise), draw.between(*domain.grain)], 1),
        colour_noise=draw.between(*domain.colour_noise),
        quantisation=torch.where(quantisation < 0.005, 0.0, quantisation),
    )
