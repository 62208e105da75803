"""Cameras: from light to a picture in bytes, with what is lost on the way."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 8
_REFERENCE = 64
"""Blurs are given in pixels of a picture of so many; at other resolutions they are as large in the picture."""


@dataclass(frozen=True)
class Cameras:
    """N cameras.

    Attributes:
        exposure: Mean brightness that the automatic exposure aims at, 0 to 1 in linear light [N].
        adaptation: How far the automatic white balance turns the mean colour into grey, 0 to 1 [N].
        balance: Further gains of red, green and blue [N, 3].
        vignette: How much darker the corners are, 0 to 1 [N].
        veil: Share of the light that the lens scatters over the whole picture, 0 to 1 [N].
        blur: Standard deviations of the blur across and down, in 64ths of the picture [N, 2].
        gamma: Exponent of the tone curve, about 1 / 2.2 [N].
        contrast: S shape of the tone curve, 0 for none [N].
        sharpening: Share of the detail that is added again [N].
        noise: Standard deviation in the dark, and of light that is 1, in brightness [N, 2].
        colour_noise: Share of the noise that differs between the colours, 0 to 1 [N].
        quantisation: Step of the coefficients of 8x8 blocks, in brightness; 0 for no compression [N].
    """

    exposure: Tensor
    adaptation: Tensor
    balance: Tensor
    vignette: Tensor
    veil: Tensor
    blur: Tensor
    gamma: Tensor
    contrast: Tensor
    sharpening: Tensor
    noise: Tensor
    colour_noise: Tensor
    quantisation: Tensor


def _over(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def blurred(picture: Tensor, sigma: Tensor) -> Tensor:
    """Pictures [N, C, H, W] under Gaussian blurs of standard deviations across and down, in pixels [N, 2]."""
    radius = max(1, math.ceil(2.5 * float(sigma.max())))
    for axis, across in ((-1, True), (-2, False)):
        width = sigma[:, 0 if across else 1].clamp(min=1e-3)
        taps = torch.exp(-0.5 * (torch.arange(radius + 1)[:, None] / width).square())
        taps = taps / (taps[0] + 2 * taps[1:].sum(0))
        size, pad = picture.shape[axis], [radius, radius, 0, 0] if across else [0, 0, radius, radius]
        wide = torch.nn.functional.pad(picture, pad, mode="replicate")
        total = _over(taps[0]) * picture
        for k in range(1, radius + 1):
            both = wide.narrow(axis, radius - k, size) + wide.narrow(axis, radius + k, size)
            total = torch.addcmul(total, _over(taps[k]), both)
        picture = total
    return picture


def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8 values, frequencies in rows."""
    k, n = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)
    basis = torch.cos(math.pi / BLOCK * (n + 0.5) * k) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return basis


def compressed(picture: Tensor, quantisation: Tensor) -> Tensor:
    """Pictures [N, C, H, W] whose 8x8 blocks are coded roughly, as in a JPEG file.

    Each block's cosine coefficients are rounded to multiples of `quantisation` times a step that grows with the
    frequency.

    Args:
        picture: 0 to 1.
        quantisation: Step of the lowest frequencies [N]; pictures with 0 stay as they are.
    """
    count, channels, height, width = picture.shape
    wide = torch.nn.functional.pad(picture, [0, -width % BLOCK, 0, -height % BLOCK], mode="replicate")
    rows, columns = wide.shape[-2] // BLOCK, wide.shape[-1] // BLOCK
    blocks = wide.reshape(count, channels, rows, BLOCK, columns, BLOCK).transpose(3, 4)
    cosines = _cosines()
    coded = cosines @ blocks @ cosines.T
    frequency = torch.arange(BLOCK)[:, None] + torch.arange(BLOCK)
    step = quantisation.clamp(min=1e-6)[:, None, None, None, None, None] * (1 + 0.5 * frequency)
    decoded = cosines.T @ ((coded / step).round() * step) @ cosines
    whole = decoded.transpose(3, 4).reshape(wide.shape)[..., :height, :width]
    return torch.where(_over(quantisation > 0), whole, picture)


def exposed(light: Tensor, camera: Cameras) -> Tensor:
    """Pictures 0 to 1 [N, 3, R, R] before noise and compression: exposure, balance, lens and tone curve.

    Args:
        light: Linear, 0 or more [N, 3, R, R].
        camera: N cameras.
    """
    resolution = light.shape[-1]
    mean = light.clamp(max=2).mean((2, 3)).clamp(min=1e-3)
    grey = mean.mean(1, keepdim=True)
    gains = camera.exposure[:, None] / grey * (grey / mean) ** camera.adaptation[:, None] * camera.balance
    light = light * gains[:, :, None, None]
    light = torch.lerp(light, light.mean((2, 3), keepdim=True).expand_as(light), _over(camera.veil))
    middle = (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
    radius = (middle.square() + middle.square()[:, None]) / 2
    light = blurred(light * (1 - _over(camera.vignette) * radius), camera.blur * (resolution / _REFERENCE))
    bright = (light / (1 + 0.18 * light)).clamp(1e-5, 1)
    tone = torch.exp(bright.log() * _over(camera.gamma))
    tone = tone + _over(camera.contrast) * (tone - 0.5) * tone * (1 - tone) * 4
    soft = blurred(tone, torch.full_like(camera.blur, resolution / _REFERENCE))
    return (tone + _over(camera.sharpening) * (tone - soft)).clamp(0, 1)


def photographed(light: Tensor, camera: Cameras, generator: torch.Generator) -> Tensor:
    """Byte pictures [N, 3, R, R] of linear light.

    Args:
        light: Linear, 0 or more [N, 3, R, R].
        camera: N cameras.
        generator: Of the noise.
    """
    picture = exposed(light, camera)
    grain = torch.randn(picture.shape, generator=generator)
    share = _over(camera.colour_noise)
    grain = share * grain + (1 - share * share).clamp(min=0).sqrt() * grain[:, :1].roll(1, -1)
    dark, light_noise = camera.noise[:, :, None, None, None].unbind(1)
    picture = picture + (dark.square() + light_noise.square() * picture).sqrt() * grain
    picture = compressed(picture.clamp(0, 1), camera.quantisation)
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)
