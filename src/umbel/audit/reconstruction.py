"""Reconstruction attacks: how well the input picture can be rebuilt from features that were released."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import whole_number
from umbel.audit.decoder_networks import EFFORTS, Effort, TrainedDecoder, networks_for
from umbel.audit.decoders import (
    BlindDecoder,
    Decoder,
    Examples,
    Flattened,
    LinearDecoder,
    NearestDecoder,
    Seen,
    Standardised,
    similarity,
)
from umbel.audit.intervals import bootstrap_interval
from umbel.audit.observed import Observed
from umbel.audit.records import Reconstruction
from umbel.core import UmbelError, unknown
from umbel.data.source import as_float
from umbel.metrics import picture_psnr
from umbel.report import draw_image_grid

_LARGEST = 96  # pixels of a side; larger pictures are rebuilt at a fraction of their size
_SMALLEST = 3  # below there is no structure to be alike
_SHOWN = 8
_BLIND_STEPS = 100  # of the one picture that is shown without features: it has few numbers to learn


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """What attacks on the input came to.

    Attributes:
        entries: For each receiver, then for each group.
        rows: Headings and pictures [8 or fewer, C, H, W] in 0 to 1 of the first test samples: the originals, what the
            chosen decoder of the first seed made of each receiver's and group's features, and what needs no features.
        notes: What a reader must know, in sentences.
    """

    entries: tuple[Reconstruction, ...]
    rows: tuple[tuple[str, Tensor], ...]
    notes: tuple[str, ...]

    def draw(self, path: Path | str) -> Path:
        """The rows as one picture, PNG, with the SSIM of each; returns the path."""
        originals = self.rows[0][1]
        captions = {}
        for row, (_, pictures) in enumerate(self.rows[1:], start=1):
            for column, value in enumerate(similarity(pictures, originals)):
                captions[row, column] = f"SSIM {float(value):.2f}"
        columns = [f"test picture {number + 1}" for number in range(len(originals))]
        return draw_image_grid(path, [(heading, list(row)) for heading, row in self.rows], columns, captions=captions)


def are_pictures(inputs: object) -> bool:
    """Whether inputs can be rebuilt: bytes, or floats in 0 to 1, [n, 1 or 3, H, W] of at least 3 x 3 pixels."""
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or inputs.shape[1] not in (1, 3) or not len(inputs):
        return False
    if min(inputs.shape[2:]) < _SMALLEST:
        return False
    if inputs.dtype == torch.uint8:
        return True
    return inputs.is_floating_point() and bool((inputs >= -1e-3).all() and (inputs <= 1 + 1e-3).all())


def rebuild(
    train: Observed,
    validation: Observed,
    test: Observed,
    *,
    groups: Sequence[Sequence[str]] | None = None,
    effort: Effort = EFFORTS["quick"],
    seeds: int = 2,
    seed: int = 0,
    device: torch.device | str = "cpu",
    tell: Callable[[str], object] | None = None,
) -> Rebuilt:
    """Train decoders on what a frozen network released, and see how much of the pictures they bring back.

    Decoders learn from one split, are chosen on another by SSIM, and are measured on a third, which they have not seen.
    They are a linear one, the nearest training picture, and two networks; see `docs/audit.md`. What repeated releases
    tell to those who average is told by giving three `Observed` with more `releases`.

    Pictures with a side of more than 96 pixels are rebuilt at a whole fraction of their size.

    Args:
        train: What attackers learn from. As many samples as possible: an attacker with few is weak.
        validation: What decoders are tuned and chosen on.
        test: What they are measured on.
        groups: Receivers that put together what they got; by default all of them, where they got different features.
        effort: How long networks are trained.
        seeds: Networks of each kind, which differ in their start.
        seed: Of the first; others follow.
        device: Where decoders compute.
        tell: Is given a line before each attack; None tells nobody.

    Raises:
        UmbelError: Inputs are no pictures, features are not finite, splits do not belong together, or a group names a
            receiver that is none.
    """
    seeds = whole_number(seeds, "seeds of the attackers", least=1)
    splits = (train, validation, test)
    _check(splits)
    attackers = list(_attackers(test, groups))
    with torch.inference_mode(False), torch.enable_grad():
        return _rebuilt(splits, attackers, effort, range(seed, seed + seeds), device, tell)


def _rebuilt(
    splits: Sequence[Observed],
    attackers: Sequence[tuple[str, ...]],
    effort: Effort,
    seeds: Sequence[int],
    device: torch.device | str,
    tell: Callable[[str], object] | None,
) -> Rebuilt:
    test = splits[-1]
    originals = [_reduced(as_float(split.inputs).float()) for split in splits]
    originals = [pictures.to(device) for pictures in originals]
    blind = BlindDecoder(originals[0], originals[1], min(_BLIND_STEPS, effort.steps))
    floor = blind.picture.expand_as(originals[2])
    floors = float(similarity(floor, originals[2]).mean()), float(picture_psnr(floor, originals[2]).mean())
    attacked: dict[frozenset[int], _Attack] = {}  # receivers that get the same features are attacked once
    entries, rows = [], {"original": originals[2][:_SHOWN]}
    for names in attackers:
        features = frozenset(id(test.features[name]) for name in names)
        if features not in attacked:
            if tell is not None:
                tell(f"rebuilding pictures from what {' + '.join(names)} received")
            examples = _examples([split.together(names) for split in splits], originals)
            attacked[features] = _Attack.of(examples, effort, seeds)
        attack = attacked[features]
        entries.append(attack.entry("+".join(names), test.releases, *floors))
        rows["+".join(names)] = attack.shown
    rows["no features"] = floor[:_SHOWN]
    drawn = tuple((heading, pictures.cpu()) for heading, pictures in rows.items())
    return Rebuilt(tuple(entries), drawn, tuple(_notes(test.inputs, originals[2])))


@dataclass(frozen=True, eq=False)
class _Attack:
    """Scores of all decoders on the same features: decoder -> one for each seed, and what the chosen ones made."""

    decoders: dict[str, tuple[float, ...]]
    validation: dict[str, tuple[float, ...]]
    chosen: tuple[str, ...]
    ssim: Tensor  # [seeds, samples]
    psnr: Tensor
    shown: Tensor

    @classmethod
    def of(cls, examples: Sequence[Examples], effort: Effort, seeds: Sequence[int]) -> "_Attack":
        train, validation, test = examples
        linear = LinearDecoder(train, validation)
        same = {"linear": _Scored.of(linear, validation, test)}  # for every seed
        same["nearest"] = _Scored.of(NearestDecoder(train), validation, test)
        scored: list[dict[str, _Scored]] = []
        for seed in seeds:
            own = dict(same)
            for kind in networks_for(train.seen.features.shape[1:]):
                decoder = TrainedDecoder(kind, train, validation, linear, effort, seed)
                own[kind] = _Scored.of(decoder, validation, test)
            scored.append(own)
        chosen = tuple(_best(own) for own in scored)
        best = [own[kind] for own, kind in zip(scored, chosen, strict=True)]
        return cls(
            {kind: tuple(float(own[kind].ssim.mean()) for own in scored) for kind in scored[0]},
            {kind: tuple(own[kind].validation for own in scored) for kind in scored[0]},
            chosen,
            torch.stack([one.ssim for one in best]),
            torch.stack([one.psnr for one in best]),
            best[0].shown,
        )

    def entry(self, seen: str, releases: int, blind_ssim: float, blind_psnr: float) -> Reconstruction:
        low, high = bootstrap_interval(self.ssim)
        return Reconstruction(
            seen,
            releases,
            self.decoders,
            self.validation,
            self.chosen,
            tuple(self.ssim.mean(1).tolist()),
            tuple(self.psnr.mean(1).tolist()),
            blind_ssim,
            blind_psnr,
            low,
            high,
        )


@dataclass(frozen=True, eq=False)
class _Scored:
    validation: float
    ssim: Tensor  # of each test sample
    psnr: Tensor
    shown: Tensor

    @classmethod
    def of(cls, decoder: Decoder, validation: Examples, test: Examples) -> "_Scored":
        chosen_by = float(similarity(decoder(validation.seen), validation.pictures).mean())
        rebuilt = decoder(test.seen)
        ssim, psnr = similarity(rebuilt, test.pictures), picture_psnr(rebuilt, test.pictures)
        return cls(chosen_by, ssim.cpu(), psnr.cpu(), rebuilt[:_SHOWN].clone())


def _best(scored: dict[str, _Scored]) -> str:
    return max(scored, key=lambda kind: scored[kind].validation)


def _examples(features: Sequence[Tensor], pictures: Sequence[Tensor]) -> list[Examples]:
    """Features, standardised by those of the training samples, beside their pictures."""
    moved = [one.float().to(pictures[0].device) for one in features]
    standardised = Standardised(moved[0])
    units = [standardised(one) for one in moved]
    flattened = Flattened(units[0])
    return [Examples(Seen(one, flattened(one)), shown) for one, shown in zip(units, pictures, strict=True)]


def _reduced(pictures: Tensor) -> Tensor:
    """At a whole fraction of their size where a side has more than 96 pixels, each pixel the mean of several."""
    fraction = -(-max(pictures.shape[2:]) // _LARGEST)
    fraction = min(fraction, *(side // _SMALLEST for side in pictures.shape[2:]))
    return F.avg_pool2d(pictures, fraction) if fraction > 1 else pictures


def _attackers(test: Observed, groups: Sequence[Sequence[str]] | None) -> Iterator[tuple[str, ...]]:
    """Each receiver alone, then the groups."""
    yield from ((name,) for name in test.features)
    if groups is None:
        different = len({id(features) for features in test.features.values()}) > 1
        groups = [tuple(test.features)] if different else []
    for group in groups:
        for name in group:
            if name not in test.features:
                raise unknown("receiver in a group", name, test.features)
        if len(group) < 2:
            raise UmbelError(f"a group of receivers is {', '.join(group) or 'empty'}; name two or more")
        yield tuple(group)


def _check(splits: Sequence[Observed]) -> None:
    names = ("train", "validation", "test")
    for name, split in zip(names, splits, strict=True):
        if not are_pictures(split.inputs):
            raise UmbelError(
                f"inputs of the {name} split are no pictures to rebuild: {_told(split.inputs)}; give bytes, or floats "
                "in 0 to 1, [samples, 1 or 3, height, width]"
            )
        if split.features.keys() != splits[0].features.keys() or split.releases != splits[0].releases:
            raise UmbelError(f"the {name} split was observed with other receivers or releases than the training split")
        if split.inputs.shape[1:] != splits[0].inputs.shape[1:]:
            raise UmbelError(f"pictures of the {name} split have another size than those of the training split")
    if len(splits[0]) < 2:
        raise UmbelError("attackers need at least 2 training samples")


def _told(inputs: object) -> str:
    if not isinstance(inputs, Tensor):
        return f"a {type(inputs).__name__}"
    shape = f"{str(inputs.dtype).removeprefix('torch.')} {list(inputs.shape)}"
    if not inputs.numel() or not inputs.is_floating_point():
        return shape
    return f"{shape} from {float(inputs.min()):g} to {float(inputs.max()):g}"


def _notes(inputs: Tensor, originals: Tensor) -> Iterator[str]:
    if inputs.shape != originals.shape:
        was, now = ("x".join(str(side) for side in one.shape[2:]) for one in (inputs, originals))
        yield f"Pictures of {was} pixels were rebuilt, and compared, at {now}."
