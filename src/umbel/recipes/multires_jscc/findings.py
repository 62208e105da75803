"""What came of the study of layered transmission: claims, charts and sentences from its runs.

Claims are read at the middle SNR unless they say otherwise; differences are taken seed by seed. The digital chain has
no seeds: its one number stands beside those of every seed.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

from umbel.methods.multires_jscc import PICTURE, layered_users
from umbel.recipes.multires_jscc.settings import (
    COUNTS,
    FIXED,
    FIXED_CHAIN,
    GREEDY,
    IDEAL,
    INDEPENDENT,
    JOINT,
    NO_PAST,
    TRUNCATED,
    MultiresSettings,
)
from umbel.report import Chart, Claim, Results, Series
from umbel.study import Findings, Table, Values, average, chart, claim, least, settings_of

_LARGEST_RATIO = 1 / 6 + 1e-9
_LARGEST_SNR_DB = 10.0
_NOTHING_FITS = "no file fits into so few uses, so the digital chain shows one colour at every SNR"
_DB = "SNR Es/N0 in dB"
_CHAIN_NOTE = "Digital chain: codec, CRC, 5G LDPC and QAM, the best modulation and coding on validation at each SNR."
_COUNTS_NOTE = "Whole file: every byte counts; header-free: what exceeds the codec's smallest file."
_RIVAL = "The digital chain writes files with a codec from a library; one trained on such pictures would be stronger."


def findings(results: Results) -> Findings:
    """All that follows from the runs."""
    settings, table = settings_of(results, MultiresSettings), Table(results.runs, PICTURE)
    channels = [_Channel(settings, table, name, results) for name in settings.link.channel_names]
    verdict = [sentence for channel in channels for sentence in channel.verdict()]
    return Findings(
        claims=tuple(one for channel in channels for one in channel.claims()),
        charts=tuple(one for channel in channels for one in channel.charts()),
        verdict=(*verdict, *([_RIVAL] if set(COUNTS) & set(table.arms) else ())),
    )


class _Channel:
    """What is said about one channel."""

    def __init__(self, settings: MultiresSettings, table: Table, name: str, results: Results) -> None:
        self.settings, self.name, self.results = settings, name, results
        self.every = table.at(channel=name)
        self.at = self.every.at(snr_db=settings.middle_snr_db)
        self.task, self.last = results.tasks[1], settings.layers
        self.layers = range(1, self.last + 1)
        self.shown = [n for n in self.layers if any(map(math.isfinite, self.at(JOINT, "PSNR", layer=n).values()))]
        self.place = f"{name}, {settings.middle_snr_db:g} dB"

    # -- numbers -----------------------------------------------------------------------------------------------------

    def gap(self, arm: str, layer: int) -> Values:
        """PSNR of the joint network's layer above another arm's at the middle SNR, in dB."""
        return self.at(JOINT, "PSNR", layer=layer) - self.at(arm, "PSNR", layer=layer)

    def known(self, layer: int) -> Values:
        """The joint network's main metric of the labels at the middle SNR; accuracies in percent."""
        values = self.at(JOINT, self.task.metric, task=self.task.name, layer=layer)
        return 100 * values if self.task.metric == "accuracy" else values

    def fixed_chain(self, count: str) -> dict[float, float]:
        """SNR -> PSNR of the chain with one coding and all uses."""
        curve = self.every.over(FIXED_CHAIN, "snr_db", "PSNR", layer=self.last, count=count)
        return {snr_db: values.constant for snr_db, values in curve.items()}

    def margin(self, arm: str) -> Values:
        """The least of PSNR minus the digital chain's over all layers and SNRs that the claim is about."""
        values, margins = self.results.facts["picture_values"], []
        for layer in self.shown if self.settings.mode == "quality" else ():
            at, small = self.every.at(layer=layer), self.settings.totals[layer - 1] / values <= _LARGEST_RATIO
            for snr_db, rival in at.over(arm, "snr_db", "PSNR").items():
                if small and snr_db <= _LARGEST_SNR_DB:
                    margins.append(at(JOINT, "PSNR", snr_db=snr_db) - rival.constant)
        return least(margins)

    def steepest(self) -> Values:
        """The largest fall of a layer's PSNR for each dB of SNR, between neighbouring test SNRs."""
        slopes = []
        for layer in self.shown:
            curve = self.every.over(JOINT, "snr_db", "PSNR", layer=layer)
            for (low, below), (high, above) in pairwise(curve.items()):
                slopes.append((above - below) / (high - low))
        return -least(-slope for slope in slopes)

    # -- claims ------------------------------------------------------------------------------------------------------

    def claims(self) -> Iterator[Claim]:
        """What the study set out to test."""
        yield from self._layer_claims()
        yield from self._ablation_claims()
        yield from self._digital_claims()
        yield self._claim(
            "graceful",
            f"No layer's PSNR falls by more than 1.5 dB for each dB of SNR ({self.name}, steepest step between "
            "measured SNRs)",
            self.steepest(),
            at_most=1.5,
        )

    def _claim(self, name: str, statement: str, values: Values, **more) -> Claim:
        more = {"unit": "dB", **more}
        return claim(f"{self.name}: {name}", statement, values, **more)

    def _layer_claims(self) -> Iterator[Claim]:
        gains = [self.at(JOINT, "PSNR", layer=b) - self.at(JOINT, "PSNR", layer=a) for a, b in pairwise(self.shown)]
        steps = [self.known(b) - self.known(a) for a, b in pairwise(self.layers)]
        task = self.task.name
        sizes = "" if self.settings.mode == "quality" else "layers show pictures of different sizes"
        classes = {"unit": "points", "reason": "" if self.task.metric == "accuracy" else f"{task} has no classes"}
        statement = f"Every further layer adds at least 0.5 dB of PSNR ({self.place})"
        yield self._claim("layer gain", statement, least(gains), at_least=0.5, reason=sizes)
        statement = (
            f"Accuracy of {task} falls from no layer to the next ({self.place}; 0.3 points of noise are allowed)"
        )
        yield self._claim("accuracy steps", statement, least(steps), at_least=-0.3, **classes)
        statement = f"The last layer's accuracy of {task} is at least 2 points above the first's ({self.place})"
        yield self._claim("accuracy gain", statement, self.known(self.last) - self.known(1), at_least=2.0, **classes)

    def _ablation_claims(self) -> Iterator[Claim]:
        network = f"an independent network of as many uses ({self.place})"
        statement = f"The last layer is within 1 dB of {network}"
        yield self._claim("last layer", statement, self.gap(INDEPENDENT, self.last), at_least=-1.0)
        worst = least(self.gap(INDEPENDENT, layer) for layer in self.shown)
        yield self._claim("every layer", f"Every layer is within 1.5 dB of {network}", worst, at_least=-1.5)
        bar = {"at_least": 0.5} if self.name == "awgn" else {"above": 0.0}
        statement = f"Decoders that read past layers beat decoders of the last layer alone (last layer, {self.place})"
        yield self._claim("past layers", statement, self.gap(NO_PAST, self.last), **bar)

    def _digital_claims(self) -> Iterator[Claim]:
        for arm, count in COUNTS.items():
            statement = (
                f"At every ratio up to 1/6 and every SNR up to 10 dB, PSNR is above the digital chain's (codec from a "
                f"library), {count} counted, best modulation and coding for each SNR ({self.name}; the smallest "
                "margin is shown)"
            )
            margin = self.margin(arm)
            why = "no layer of ratio up to 1/6 and SNR up to 10 dB has both, pictures and a measured digital chain"
            yield self._claim(f"digital, {count}", statement, margin, above=0.0, reason="" if len(margin) else why)
        design, all_layers = self.settings.design_snr_db, self.every.at(layer=self.last)
        for count in COUNTS.values():
            rival = self.fixed_chain(count)
            away = (design - 5, design + 5)
            margins = [all_layers(FIXED, "PSNR", snr_db=s) - rival.get(s, math.nan) for s in away]
            statement = (
                f"Designed for {design:g} dB and used 5 dB below and above, the last layer is at least 2 dB better on "
                f"average than a digital chain (codec from a library) designed so, {count} counted ({self.name})"
            )
            why = _NOTHING_FITS if _flat(rival) else ""
            yield self._claim(f"mismatch, {count}", statement, average(margins), at_least=2.0, reason=why)

    # -- sentences ---------------------------------------------------------------------------------------------------

    def verdict(self) -> Iterator[str]:
        """Sentences, the most important first."""
        parts = []
        for layer, uses in zip(self.layers, self.settings.totals, strict=True):
            psnr, known = self.at(JOINT, "PSNR", layer=layer).estimate, self.known(layer).estimate
            words = [f"{psnr.mean:.1f} dB"] if psnr.known else []
            unit = " %" if self.task.metric == "accuracy" else ""
            words += [f"{self.task.name} {known.mean:.1f}{unit}"] if known.known else []
            parts.append(f"layer {layer} ({uses} uses) {', '.join(words)}")
        yield f"On {self.name} at {self.settings.middle_snr_db:g} dB: {'; '.join(parts)}."
        yield from self._compared()
        yield from self._cliff()
        yield from self._users()

    def _compared(self) -> Iterator[str]:
        """On the ablations at the last layer."""
        gaps = {
            "{} against an independent network of as many uses": self.gap(INDEPENDENT, self.last),
            "{} against no past layers": self.gap(NO_PAST, self.last),
            "{} against greedy layers": self.gap(GREEDY, self.last),
        }
        if self.last > 1 and self.shown:
            first = self.shown[0]
            gaps[f"layer {first} {{}} against a single code cut after as many uses"] = self.gap(TRUNCATED, first)
        known = {text: gap.estimate for text, gap in gaps.items() if gap.estimate.known}
        if known:
            yield f"There the last layer has {'; '.join(text.format(gap.text('dB')) for text, gap in known.items())}."

    def _cliff(self) -> Iterator[str]:
        """On the fall of the chain with one coding, where it shows pictures at all."""
        curves = {count: self.fixed_chain(count) for count in COUNTS.values()}
        falls = {count: steepest_fall(curve) for count, curve in curves.items() if curve and not _flat(curve)}
        if falls:
            parts = ", ".join(f"{fall:.1f} dB ({count})" for count, fall in falls.items())
            yield f"With one coding for all SNRs the digital chain on {self.name} loses within 1 dB of SNR: {parts}."

    def _users(self) -> Iterator[str]:
        """On where users stop, by the PSNR of every layer on validation; nothing where that was not measured."""
        curves = [self.every.over(JOINT, "snr_db", "PSNR", "validation", layer=layer) for layer in self.layers]
        quality = {snr_db: [curve[snr_db].mean for curve in curves] for snr_db in curves[0]}
        complete = all(math.isfinite(psnr) for values in quality.values() for psnr in values)
        if complete and self.settings.mode == "quality":
            users = layered_users(quality, self.settings.layer_uses)
            stops = ", ".join(f"{user.snr_db:g} dB: {user.layers} ({user.uses} uses)" for user in users)
            yield f"Layers that a user on {self.name} listens to, if 0.5 dB on validation are worth it: {stops}."

    # -- charts ------------------------------------------------------------------------------------------------------

    def charts(self) -> list[Chart]:
        """Picture quality, cliff and bounds, accuracy, confidence, and all arms at the middle SNR."""
        task, metric, middle = self.task.name, self.task.metric, self.settings.middle_snr_db
        clean = "Its pictures go to a classifier that was trained on clean ones."
        sure = "Mean of the largest class probability; above the accuracy it is overconfidence."
        drawn = [
            ("Picture quality", _DB, "PSNR in dB", self._lines(PICTURE, "PSNR"), f"{_CHAIN_NOTE} {_COUNTS_NOTE}"),
            (f"All {self.settings.totals[-1]} uses: cliff and bounds", _DB, "PSNR in dB", *self._bounds()),
            (f"{metric} of {task}", _DB, metric, self._lines(task, metric), f"{_CHAIN_NOTE} {clean}"),
            (f"Confidence about {task}", _DB, "mean confidence", self._lines(task, "confidence"), sure),
            (f"All arms at {middle:g} dB", "channel uses so far", "PSNR in dB", self._all_arms(), ""),
        ]
        return [
            chart(f"{what}, {self.name}", x, y, lines, note, self.name)
            for what, x, y, lines, note in drawn
            if any(line is not None for line in lines)
        ]

    def _lines(self, task: str, metric: str) -> list[Series | None]:
        """A metric of every layer over the SNR, and of the digital chain with as many uses."""
        layers = list(enumerate(self.settings.totals, start=1))
        lines = [(JOINT, n, f"layer {n}, {uses} uses", "line") for n, uses in layers]
        for n, uses in layers:
            lines += [(arm, n, f"digital, {uses} uses, {count}", "dashed") for arm, count in COUNTS.items()]
        return [
            self.every.series(arm, "snr_db", metric, task=task, layer=n, label=label, style=style, group=f"{n}")
            for arm, n, label, style in lines
        ]

    def _bounds(self) -> tuple[list[Series | None], str]:
        """The last layer against ideal codes and against the chain with one coding (the cliff); and which coding."""
        at, design, codings = self.every.at(layer=self.last), self.settings.design_snr_db, []
        lines = [at.series(JOINT, "snr_db", "PSNR", label="trained over a range of SNRs", group="")]
        lines.append(at.series(FIXED, "snr_db", "PSNR", label=f"trained at {design:g} dB", group=""))
        for count in COUNTS.values():
            labels = {FIXED_CHAIN: f"fixed digital chain, {count}"}
            labels |= {arm: f"ideal code ({bound}), {count}" for bound, arm in IDEAL.items()}
            for arm, label in labels.items():
                lines.append(at.series(arm, "snr_db", "PSNR", count=count, label=label, style="dashed", group=label))
            for run in at.runs_of(FIXED_CHAIN, count=count, snr_db=design).values():
                codings.append(f"{count}: {run.settings['coding']}, {run.settings['codec']}")
        return lines, f"Fixed for {design:g} dB: {'; '.join(codings)}." if codings else ""

    def _all_arms(self) -> list[Series | None]:
        """PSNR over the layers' uses of every arm that has a place in a layer."""
        keys = [method.key for method in self.results.methods if method.key not in (FIXED_CHAIN, *IDEAL.values())]
        styles = {key: "dashed" if key in COUNTS else "line" for key in keys}
        return [self.at.series(key, "uses", "PSNR", label=key, style=style) for key, style in styles.items()]


def _flat(curve: dict[float, float]) -> bool:
    """Whether a digital chain shows the same at every SNR: the colour of lost pictures."""
    return len(curve) > 1 and max(curve.values()) - min(curve.values()) < 0.01


def steepest_fall(values: dict[float, float], within_db: float = 1.0) -> float:
    """The largest loss of a curve over SNR within so many dB; NaN of fewer than two points that close."""
    falls = [values[high] - values[low] for high in values for low in values if 0 < high - low <= within_db + 1e-9]
    return max(falls, default=math.nan)
