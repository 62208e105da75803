"""Separate source and channel coding in the study: envelopes, bounds, the fixed chain and its cliff."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from umbel.channels.digital import Judge, ModulationCoding, RateTable, SeparateChain, find_codec, mean_colour
from umbel.core import Batch, Learner, OperatingPoint, UmbelError
from umbel.data import Source
from umbel.recipes.multires_jscc.arms import CLASSIFIER, Bench, train_classifier
from umbel.recipes.settings import names
from umbel.report import Run

COUNTS = {"whole file": True, "header-free": False}
"""Ways to count a file's bytes: all of them, or what exceeds the codec's floor."""
BOUNDS = ("capacity", "finite block")
_FADING: Mapping[str, str | None] = {"awgn": None, "rayleigh": "rayleigh"}
_CLIFF_STEP = 0.25  # dB between points of the fixed chain
_COLOUR_PICTURES = 2000


@dataclass
class Digital:
    """The digital chain of a study.

    Attributes:
        warnings: What was left out, and why.
        values: (channel, uses, count, kind) -> SNR in dB -> metrics. Kinds: "envelope", the bounds, "fixed".
        codings: (channel, uses, count) -> the modulation and coding that is fixed for the design SNR.
        chains: (codec, uses, count) -> the chain of the test pictures.
        chosen: (channel, uses, count, SNR) -> codec and coding of the envelope there.
    """

    warnings: list[str] = field(default_factory=list)
    values: dict[tuple[str, int, str, str], dict[float, dict[str, float]]] = field(default_factory=dict)
    codings: dict[tuple[str, int, str], str] = field(default_factory=dict)
    chains: dict[tuple[str, int, str], SeparateChain] = field(default_factory=dict)
    chosen: dict[tuple[str, int, str, float], tuple[str, ModulationCoding]] = field(default_factory=dict)

    def series(self, channel: str, uses: int, count: str, kind: str, metric: str = "PSNR") -> dict[float, float]:
        """SNR in dB -> value; empty when it was not measured."""
        found = self.values.get((channel, uses, count, kind), {})
        return {snr_db: metrics[metric] for snr_db, metrics in found.items() if metric in metrics}

    def picture(self, channel: str, uses: int, count: str, snr_db: float, image: int, draw: float) -> Tensor | None:
        """What a receiver shows of a test picture, [C, H, W], when its block's luck is `draw` in 0 to 1."""
        found = self.chosen.get((channel, uses, count, snr_db))
        if found is None:
            return None
        chain = self.chains[found[0], uses, count]
        delivery = chain.delivery(snr_db, found[1], _FADING[channel])
        rung = int(delivery.choice[image])
        if rung >= 0 and draw < delivery.arrives:
            return chain.table.decoded(image, rung)
        height, width = chain.table.pictures.shape[1:3]
        return chain.fallback[:, None, None].expand(-1, height, width)


def first_pictures(source: Source, count: int) -> Batch:
    """The first samples of a split."""
    batch = next(iter(source.batches(count)))
    return batch[slice(0, count)]


def usable_codecs(wanted: str, warnings: list[str]) -> list[str]:
    """The codecs that can be used here; a warning for each that lacks its package.

    Raises:
        UmbelError: An unknown codec.
    """
    found = []
    for name in names(wanted):
        codec = find_codec(name)
        try:
            codec.encode(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy(), codec.qualities[0])
            found.append(name)
        except UmbelError as error:
            warnings.append(f"The digital chain with {name} was left out: {error}.")
    return found


def measure_digital(bench: Bench) -> Digital:
    """All of the digital chain; what cannot be had is left out with a warning."""
    digital, settings = Digital(), bench.settings
    codecs = usable_codecs(settings.codecs, digital.warnings)
    semantic = next((task for task in bench.semantics if task.kind == "classification"), None)
    if not codecs:
        return digital
    classifier = train_classifier(bench, semantic) if semantic else None
    for channel in settings.link.channel_names:
        if channel not in _FADING:
            digital.warnings.append(f"The digital chain knows no channel {channel}: awgn and rayleigh only.")
    pair = _Pair.of(bench, codecs, classifier, semantic.name if semantic else "")
    for uses in settings.totals:
        for count, whole in COUNTS.items():
            _Measure(bench, digital, pair, uses, count, whole).all()
    digital.warnings = list(dict.fromkeys(digital.warnings))
    for warning in digital.warnings:
        bench.study.reporter.say(warning)
    return digital


@dataclass
class _Pair:
    """Rate tables of validation pictures (they choose) and of test pictures (they measure), by codec."""

    choosing: dict[str, RateTable]
    testing: dict[str, RateTable]
    judges: dict[str, tuple[Judge, Judge]]
    colour: Tensor

    @classmethod
    def of(cls, bench: Bench, codecs: list[str], classifier: Learner | None, task: str) -> "_Pair":
        colour = mean_colour(first_pictures(bench.data.train, _COLOUR_PICTURES).inputs)
        batches = [first_pictures(s, bench.settings.sscc_images) for s in (bench.data.validation, bench.data.test)]
        bench.study.reporter.say(f"encoding {sum(map(len, batches))} pictures with {', '.join(codecs)}")
        tables = [{name: RateTable(batch.inputs, name) for name in codecs} for batch in batches]
        judges = {}
        if classifier is not None and all(bool((batch.targets[task] >= 0).all()) for batch in batches):
            ask = _asking(classifier, task)
            for name in codecs:
                judges[name] = tuple(
                    Judge(table[name], ask, batch.targets[task], colour)
                    for table, batch in zip(tables, batches, strict=True)
                )
        return cls(*tables, judges, colour)


def _asking(classifier: Learner, task: str) -> Callable[[Tensor], Tensor]:
    device = next(classifier.parameters()).device

    def ask(pictures: Tensor) -> Tensor:
        return classifier.model(pictures.to(device), OperatingPoint())[task]

    return ask


class _Measure:
    """The chain at one number of uses and one way to count bytes, over channels and SNRs."""

    def __init__(self, bench: Bench, digital: Digital, pair: _Pair, uses: int, count: str, whole: bool) -> None:
        self.bench, self.digital, self.pair, self.uses, self.count = bench, digital, pair, uses, count
        self.choosing = {n: SeparateChain(t, uses, pair.colour, whole) for n, t in pair.choosing.items()}
        self.testing = {n: SeparateChain(t, uses, pair.colour, whole) for n, t in pair.testing.items()}
        digital.chains |= {(name, uses, count): chain for name, chain in self.testing.items()}

    def all(self) -> None:
        """Every channel; envelope and fixed coding only where the table has blocks of this length."""
        settings = self.bench.settings
        for channel in settings.link.channel_names:
            if channel not in _FADING:
                continue
            snrs_db = settings.link.test_values
            for bound in BOUNDS:
                self._record(channel, bound, {s: self._ideal(s, bound, channel) for s in snrs_db})
            try:
                self._coded(channel, snrs_db)
            except UmbelError as error:
                self.digital.warnings.append(f"The digital chain shows bounds only at {self.uses} uses: {error}.")

    def _record(self, channel: str, kind: str, values: dict[float, dict[str, float]]) -> None:
        self.digital.values[channel, self.uses, self.count, kind] = values

    def _ideal(self, snr_db: float, bound: str, channel: str) -> dict[str, float]:
        found = []
        for name, chain in self.testing.items():
            delivery = chain.ideal_delivery(snr_db, bound, fading=_FADING[channel])
            found.append(self._metrics(chain, name, delivery))
        return max(found, key=lambda metrics: metrics["PSNR"])

    def _metrics(self, chain: SeparateChain, codec: str, delivery) -> dict[str, float]:
        values = {"PSNR": chain.psnr_of(delivery)}
        if codec in self.pair.judges:
            values["accuracy"] = chain.accuracy_of(delivery, self.pair.judges[codec][1])
        return values

    def _coded(self, channel: str, snrs_db: list[float]) -> None:
        settings, fading = self.bench.settings, _FADING[channel]
        envelope = {}
        for snr_db in snrs_db:
            codec, coding = self._best(snr_db, fading)
            self.digital.chosen[channel, self.uses, self.count, snr_db] = codec, coding
            envelope[snr_db] = self._at(codec, coding, snr_db, channel)
        self._record(channel, "envelope", envelope)
        codec, coding = self._best(settings.design_snr_db, fading)
        self.digital.codings[channel, self.uses, self.count] = f"{coding.name}, {codec}"
        grid = {settings.design_snr_db + step * _CLIFF_STEP for step in range(-80, 25)}
        near = [snr_db for snr_db in grid if snr_db >= min(snrs_db)]
        everywhere = sorted({*near, *snrs_db, *(settings.design_snr_db + shift for shift in (-5.0, 0.0, 5.0))})
        self._record(channel, "fixed", {s: self._at(codec, coding, s, channel) for s in everywhere})

    def _best(self, snr_db: float, fading: str | None) -> tuple[str, ModulationCoding]:
        """Codec and coding with the best PSNR on validation pictures."""
        options = [(name, chain, chain.best_mcs(snr_db, fading)) for name, chain in self.choosing.items()]
        name, _, coding = max(options, key=lambda option: option[1].psnr(snr_db, option[2], fading))
        return name, coding

    def _at(self, codec: str, coding: ModulationCoding, snr_db: float, channel: str) -> dict[str, float]:
        chain, fading = self.testing[codec], _FADING[channel]
        if not self.bench.settings.real_decoding:
            return self._metrics(chain, codec, chain.delivery(snr_db, coding, fading))
        return self._really(chain, codec, coding, snr_db, channel)

    def _really(self, chain, codec: str, coding: ModulationCoding, snr_db: float, channel: str) -> dict[str, float]:
        """Every block through the real decoder, remembered by the study."""

        def measure() -> dict[str, float]:
            received = chain.send(snr_db, coding, torch.Generator().manual_seed(0), _FADING[channel])
            error = (received - chain.table.originals()).double().square().mean((1, 2, 3)).clamp(min=1e-10)
            values = {"PSNR": float((-10 * error.log10()).mean())}
            if codec in self.pair.judges:
                values["accuracy"] = self.pair.judges[codec][1].accuracy(received)
            return values

        place = f"{channel}-{self.uses}-{self.count}-{codec}-{coding.name}-{snr_db:g}"
        key = f"{CLASSIFIER}/decoded" if codec in self.pair.judges else "decoded"
        return self.bench.study.measured(key, place.replace(" ", "_").replace("/", "_"), measure)


def digital_runs(bench: Bench, digital: Digital) -> list[Run]:
    """The envelopes as runs of an arm each: "sscc" (whole files) and "sscc-header-free"."""
    runs, totals = [], bench.settings.totals
    for (channel, uses, count, kind), values in digital.values.items():
        if kind != "envelope":
            continue
        for snr_db, metrics in values.items():
            found = {"picture": {"PSNR": metrics["PSNR"]}}
            if "accuracy" in metrics:
                task = next(task for task in bench.semantics if task.kind == "classification")
                found[task.name] = {task.main_metric: metrics["accuracy"]}
            point = {"channel": channel, "layer": totals.index(uses) + 1, "uses": uses, "snr_db": snr_db}
            runs.append(Run(arm_of(count), 0, found, point))
    return runs


def arm_of(count: str) -> str:
    """The key of the digital chain's arm for a way to count."""
    return "sscc" if count == "whole file" else "sscc-header-free"
