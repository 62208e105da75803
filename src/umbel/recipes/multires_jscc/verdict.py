"""What the study claims, with intervals over seeds, and what came of it in plain sentences."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from umbel.methods.multires_jscc import PICTURE, layered_users
from umbel.recipes.communications.words import points
from umbel.recipes.multires_jscc.digital import Digital
from umbel.recipes.multires_jscc.settings import FIXED, GREEDY, INDEPENDENT, JOINT, NO_PAST, TRUNCATED, MultiresSettings
from umbel.report import Claim, Estimate, Run, TaskInfo

_LARGEST_RATIO = 1 / 6 + 1e-9
_LARGEST_SNR_DB = 10.0
_NOTHING_FITS = "no file fits into so few uses, so the digital chain shows one colour at every SNR"


@dataclass
class Evidence:
    """The measurements, by place.

    Attributes:
        settings: Of the study.
        runs: All runs.
        digital: The digital chain.
        semantic: The semantic task that is judged.
        values: Values of a picture, C·H·W: what channel uses are counted against.
    """

    settings: MultiresSettings
    runs: Sequence[Run]
    digital: Digital
    semantic: TaskInfo
    values: int

    def __post_init__(self) -> None:
        self._index = {
            (r.method, r.point["channel"], r.point["layer"], r.point["snr_db"], r.repeat): r.metrics for r in self.runs
        }
        self.seeds = sorted({run.repeat for run in self.runs if run.method == JOINT})

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.settings.layer_uses)

    @property
    def middle(self) -> float:
        """The middle SNR of the test, in dB."""
        return middle_of(self.settings.link.test_values)

    def at(self, arm: str, channel: str, layer: int, snr_db: float, seed: int, task: str = PICTURE) -> float:
        """The main metric; accuracies in percent. NaN where nothing was measured."""
        metrics = self._index.get((arm, channel, layer, snr_db, seed), {}).get(task)
        if not metrics:
            return math.nan
        name, value = next(iter(metrics.items()))
        return 100 * value if name == "accuracy" else value

    def over_seeds(self, value: Callable[[int], float]) -> Estimate:
        """Mean and interval of one number for each seed."""
        return Estimate.of(value(seed) for seed in self.seeds)

    def has(self, arm: str) -> bool:
        """Whether the arm was run."""
        return any(run.method == arm for run in self.runs)

    def picture_layers(self) -> list[int]:
        """Layers that show a picture, in the method."""
        layers = {run.point["layer"] for run in self.runs if run.method == JOINT and PICTURE in run.metrics}
        return sorted(layers)


def middle_of(snrs_db: Sequence[float]) -> float:
    """The middle of rising SNRs; of two the lower."""
    return snrs_db[(len(snrs_db) - 1) // 2]


def claims(evidence: Evidence) -> list[Claim]:
    """All claims, channel by channel."""
    found: list[Claim] = []
    for channel in evidence.settings.link.channel_names:
        found += [*_layers(evidence, channel), *_ablations(evidence, channel), *_separate(evidence, channel)]
        found += [*_mismatch(evidence, channel), *_grace(evidence, channel)]
    return found


def _claim(name: str, statement: str, value: Estimate, bar: float, comparison: str, unit: str, why: str = "") -> Claim:
    if not value.known:
        reason = why or "an arm or a layer that it compares was not measured"
        return Claim.not_measured(name, statement, bar, reason, comparison, unit)
    return Claim.measured(name, statement, value.mean, bar, comparison, value.half_width, unit)


def _least(values: Iterable[float]) -> float:
    values = list(values)
    return min(values) if values and not any(map(math.isnan, values)) else math.nan


def _layers(e: Evidence, channel: str) -> list[Claim]:
    """A1: every layer adds quality; accuracy does not fall."""
    shown, task, where = e.picture_layers(), e.semantic.name, f"{channel}, {e.middle:g} dB"
    same_size = e.settings.mode == "quality"

    def gain(seed: int) -> float:
        values = [e.at(JOINT, channel, layer, e.middle, seed) for layer in shown]
        return _least(b - a for a, b in itertools.pairwise(values))

    def accuracies(seed: int) -> list[float]:
        return [e.at(JOINT, channel, layer, e.middle, seed, task) for layer in range(1, e.layers + 1)]

    def fall(seed: int) -> float:
        return _least(b - a for a, b in itertools.pairwise(accuracies(seed)))

    gains = e.over_seeds(gain) if same_size else Estimate.of([math.nan])
    why = "" if same_size else "layers show pictures of different sizes"
    classes = e.semantic.metric == "accuracy"
    no_class = "" if classes else f"{task} has no classes"
    steps = e.over_seeds(fall) if classes else Estimate.of([math.nan])
    total = e.over_seeds(lambda s: accuracies(s)[-1] - accuracies(s)[0]) if classes else Estimate.of([math.nan])
    return [
        _claim(f"{channel}: layer gain", f"Every further layer adds at least 0.5 dB of PSNR ({where})", gains, 0.5,
               ">=", "dB", why),
        _claim(f"{channel}: accuracy steps", f"Accuracy of {task} falls from no layer to the next ({where}; 0.3 points "
               "of noise are allowed)", steps, -0.3, ">=", "points", no_class),
        _claim(f"{channel}: accuracy gain", f"The last layer's accuracy of {task} is at least 2 points above the "
               f"first's ({where})", total, 2.0, ">=", "points", no_class),
    ]  # fmt: skip


def _ablations(e: Evidence, channel: str) -> list[Claim]:
    """A2 and A3: near independent networks, above decoders without past layers."""
    where, last = f"{channel}, {e.middle:g} dB", e.layers

    def against(arm: str, layer: int, seed: int) -> float:
        return e.at(JOINT, channel, layer, e.middle, seed) - e.at(arm, channel, layer, e.middle, seed)

    worst = e.over_seeds(lambda s: _least(against(INDEPENDENT, layer, s) for layer in e.picture_layers()))
    past_bar, comparison = (0.5, ">=") if channel == "awgn" else (0.0, ">")
    statement = "Decoders that read past layers beat decoders of the last layer alone"
    return [
        _claim(f"{channel}: last layer", f"The last layer is within 1 dB of an independent network of as many uses "
               f"({where})", e.over_seeds(lambda s: against(INDEPENDENT, last, s)), -1.0, ">=", "dB"),
        _claim(f"{channel}: every layer", f"Every layer is within 1.5 dB of an independent network of as many uses "
               f"({where})", worst, -1.5, ">=", "dB"),
        _claim(f"{channel}: past layers", f"{statement} (last layer, {where})",
               e.over_seeds(lambda s: against(NO_PAST, last, s)), past_bar, comparison, "dB"),
    ]  # fmt: skip


def _separate(e: Evidence, channel: str) -> list[Claim]:
    """A4: against the digital chain with the best modulation and coding for each SNR."""
    found = []
    for count in ("whole file", "header-free"):
        places = _places(e, channel, count)

        def margin(seed: int, places=places) -> float:
            return _least(e.at(JOINT, channel, layer, s, seed) - rival for layer, s, rival in places)

        value = e.over_seeds(margin) if places else Estimate.of([math.nan])
        statement = (
            f"At every ratio up to 1/6 and every SNR up to 10 dB, PSNR is above the digital chain's, {count} counted, "
            f"best modulation and coding for each SNR ({channel}; the smallest margin is shown)"
        )
        why = "no layer of ratio up to 1/6 and SNR up to 10 dB has both, pictures and a measured digital chain"
        found.append(_claim(f"{channel}: digital, {count}", statement, value, 0.0, ">", "dB", "" if places else why))
    return found


def _places(e: Evidence, channel: str, count: str) -> list[tuple[int, float, float]]:
    """(layer, SNR, PSNR of the digital chain) where the claim is about."""
    if e.settings.mode != "quality":
        return []
    return [
        (layer, snr_db, rival)
        for layer in e.picture_layers()
        if (uses := e.settings.totals[layer - 1]) / e.values <= _LARGEST_RATIO
        for snr_db, rival in e.digital.series(channel, uses, count, "envelope").items()
        if snr_db <= _LARGEST_SNR_DB
    ]


def _mismatch(e: Evidence, channel: str) -> list[Claim]:
    """A4: both designed for one SNR, used 5 dB below and above it."""
    design, found = e.settings.design_snr_db, []
    for count in ("whole file", "header-free"):
        rival = e.digital.series(channel, e.settings.totals[-1], count, "fixed")

        def margin(seed: int, rival=rival) -> float:
            away = [design - 5, design + 5]
            values = [e.at(FIXED, channel, e.layers, s, seed) - rival.get(s, math.nan) for s in away]
            return sum(values) / len(values)

        statement = (
            f"Designed for {design:g} dB and used 5 dB below and above, the last layer is at least 2 dB better on "
            f"average than a digital chain designed so, {count} counted ({channel})"
        )
        value, why = (Estimate.of([math.nan]), _NOTHING_FITS) if _flat(rival) else (e.over_seeds(margin), "")
        found.append(_claim(f"{channel}: mismatch, {count}", statement, value, 2.0, ">=", "dB", why))
    return found


def _grace(e: Evidence, channel: str) -> list[Claim]:
    """A5: no cliff, where the fixed digital chain has one."""
    grid = e.settings.link.test_values

    def steepest(seed: int) -> float:
        slopes = []
        for layer in e.picture_layers():
            values = [e.at(JOINT, channel, layer, snr_db, seed) for snr_db in grid]
            pairs = zip(values, values[1:], grid, grid[1:], strict=False)
            slopes += [(high - low) / (above - below) for low, high, below, above in pairs]
        return -_least(-slope for slope in slopes)

    found = [
        _claim(f"{channel}: graceful", f"No layer's PSNR falls by more than 1.5 dB for each dB of SNR ({channel}, "
               "steepest step between measured SNRs)", e.over_seeds(steepest), 1.5, "<=", "dB")
    ]  # fmt: skip
    if channel == "awgn":
        curves = [e.digital.series(channel, e.settings.totals[-1], c, "fixed") for c in ("whole file", "header-free")]
        drops = [steepest_fall(curve) for curve in curves if curve and not _flat(curve)]
        value = Estimate.of([max(drops, default=math.nan)])
        statement = f"The fixed digital chain loses at least 5 dB within 1 dB of SNR ({channel}, all uses)"
        why = _NOTHING_FITS if any(map(_flat, curves)) and not drops else ""
        found.append(_claim(f"{channel}: cliff", statement, value, 5.0, ">=", "dB", why))
    return found


def _flat(curve: dict[float, float]) -> bool:
    """Whether a digital chain shows the same at every SNR: the colour of lost pictures."""
    return len(curve) > 1 and max(curve.values()) - min(curve.values()) < 0.01


def steepest_fall(values: dict[float, float], within_db: float = 1.0) -> float:
    """The largest loss of a curve over SNR within so many dB; NaN of fewer than two points that close."""
    falls = [values[high] - values[low] for high in values for low in values if 0 < high - low <= within_db + 1e-9]
    return max(falls, default=math.nan)


def verdict(evidence: Evidence, found: Sequence[Claim], validation: dict[str, dict[float, list[float]]]) -> list[str]:
    """Sentences, the most important first."""
    sentences = []
    for channel in evidence.settings.link.channel_names:
        sentences += [_progress(evidence, channel), *_compared(evidence, channel)]
    measured = [claim for claim in found if claim.value is not None]
    holding = sum(claim.state == "shown" for claim in measured)
    failing = "; ".join(claim.name for claim in measured if claim.state != "shown")
    sentences.append(
        f"{holding} of {len(measured)} measured claims hold" + (f"; not these: {failing}." if failing else ".")
    )
    for channel, quality in validation.items():
        sentences.append(_users(evidence, channel, quality))
    return sentences


def _progress(e: Evidence, channel: str) -> str:
    parts = []
    for layer in range(1, e.layers + 1):
        psnr = e.over_seeds(lambda s, at=layer: e.at(JOINT, channel, at, e.middle, s))
        known = e.over_seeds(lambda s, at=layer: e.at(JOINT, channel, at, e.middle, s, e.semantic.name))
        words = [f"{psnr.mean:.1f} dB"] if psnr.known else []
        unit = " %" if e.semantic.metric == "accuracy" else ""
        words += [f"{e.semantic.name} {known.mean:.1f}{unit}"] if known.known else []
        parts.append(f"layer {layer} ({e.settings.totals[layer - 1]} uses) {', '.join(words)}")
    return f"On {channel} at {e.middle:g} dB: {'; '.join(parts)}."


def _compared(e: Evidence, channel: str) -> list[str]:
    """One sentence on the ablations at the last layer."""
    texts = {INDEPENDENT: "an independent network of as many uses", NO_PAST: "no past layers", GREEDY: "greedy layers"}
    parts = []
    for arm, text in texts.items():
        gap = e.over_seeds(
            lambda s, a=arm: e.at(JOINT, channel, e.layers, e.middle, s) - e.at(a, channel, e.layers, e.middle, s)
        )
        if gap.known:
            parts.append(f"{points(gap, 'dB')} against {text}")
    if e.has(TRUNCATED) and e.layers > 1:
        first = e.picture_layers()[0]
        gap = e.over_seeds(
            lambda s: e.at(JOINT, channel, first, e.middle, s) - e.at(TRUNCATED, channel, first, e.middle, s)
        )
        if gap.known:
            parts.append(f"layer {first} {points(gap, 'dB')} against a single code cut after as many uses")
    return [f"There the last layer has {'; '.join(parts)}."] if parts else []


def _users(e: Evidence, channel: str, quality: dict[float, list[float]]) -> str:
    users = layered_users(quality, e.settings.layer_uses)
    told = ", ".join(f"{user.snr_db:g} dB: {user.layers} ({user.uses} uses)" for user in users)
    return f"Layers that a user on {channel} listens to, if 0.5 dB on validation are worth it: {told}."
