"""Charts over the SNR, and the sheet of received pictures."""

import math
from collections.abc import Iterator, Sequence

import torch

from umbel.core import OperatingPoint
from umbel.engine import decoded_predictions
from umbel.methods.multires_jscc import PICTURE
from umbel.recipes.multires_jscc.arms import Bench
from umbel.recipes.multires_jscc.digital import BOUNDS, COUNTS, Digital, arm_of, first_pictures
from umbel.recipes.multires_jscc.settings import FIXED, JOINT
from umbel.recipes.multires_jscc.verdict import Evidence
from umbel.report import Chart, SampleSheet, Series, chart_series, draw_image_grid
from umbel.transmission import StagedLearner

_DB = "SNR Es/N0 in dB"
_SHARED_NOTE = "Digital chain: codec, CRC, 5G LDPC and QAM, the best modulation and coding on validation at each SNR."


def charts(evidence: Evidence) -> list[Chart]:
    """All charts, channel by channel."""
    found = []
    for channel in evidence.settings.link.channel_names:
        found += [_quality(evidence, channel), *_bounds(evidence, channel)]
        found += [chart for chart in (_accuracy(evidence, channel), _confidence(evidence, channel)) if chart]
        found.append(_ablations(evidence, channel))
    return found


def _layer_lines(e: Evidence, channel: str, task: str, metric: str) -> list[Series]:
    lines = []
    for layer in range(1, e.layers + 1):
        where = {"channel": channel, "layer": layer}
        here = [r for r in e.runs if r.method == JOINT and r.point["layer"] == layer and task in r.metrics]
        if here:
            label = f"layer {layer}, {e.settings.totals[layer - 1]} uses"
            lines.append(chart_series(e.runs, JOINT, "snr_db", task, metric, where, label=label, group=f"{layer}"))
    return lines


def _digital_line(e: Evidence, channel: str, uses: int, count: str, kind: str, label: str, metric: str = "PSNR"):
    values = e.digital.series(channel, uses, count, kind, metric)
    wanted = {s: v for s, v in values.items() if kind == "fixed" or s in e.settings.link.test_values}
    if not wanted:
        return []
    layer = e.settings.totals.index(uses) + 1
    group = f"{layer}" if kind == "envelope" else f"{label}"
    places = sorted(wanted)
    return [Series(label, places, [wanted[s] for s in places], style="dashed", group=group)]


def _quality(e: Evidence, channel: str) -> Chart:
    lines = _layer_lines(e, channel, PICTURE, "PSNR")
    for uses in e.settings.totals:
        for count in COUNTS:
            lines += _digital_line(e, channel, uses, count, "envelope", f"digital, {uses} uses, {count}")
    note = f"{_SHARED_NOTE} Whole file: every byte counts; header-free: what exceeds the codec's smallest file."
    return Chart(f"Picture quality, {channel}", _DB, "PSNR in dB", tuple(lines), note, channel)


def _bounds(e: Evidence, channel: str) -> list[Chart]:
    """The last layer against ideal codes and against a digital chain that is fixed: the cliff."""
    uses, layer = e.settings.totals[-1], e.layers
    where = {"channel": channel, "layer": layer}
    lines = [chart_series(e.runs, JOINT, "snr_db", PICTURE, "PSNR", where, label="trained over a range of SNRs")]
    if e.has(FIXED):
        label = f"trained at {e.settings.design_snr_db:g} dB"
        lines.append(chart_series(e.runs, FIXED, "snr_db", PICTURE, "PSNR", where, label=label))
    codings = []
    for count in COUNTS:
        lines += _digital_line(e, channel, uses, count, "fixed", f"fixed digital chain, {count}")
        for bound in BOUNDS:
            lines += _digital_line(e, channel, uses, count, bound, f"ideal code ({bound}), {count}")
        if coding := e.digital.codings.get((channel, uses, count)):
            codings.append(f"{count}: {coding}")
    note = f"Fixed for {e.settings.design_snr_db:g} dB: {'; '.join(codings)}." if codings else ""
    title = f"All {uses} uses: cliff and bounds, {channel}"
    return [Chart(title, _DB, "PSNR in dB", tuple(lines), note, channel)]


def _accuracy(e: Evidence, channel: str) -> Chart | None:
    lines = _layer_lines(e, channel, e.semantic.name, e.semantic.metric)
    if e.semantic.metric == "accuracy":
        for uses in e.settings.totals:
            for count in COUNTS:
                label = f"digital, {uses} uses, {count}"
                lines += _digital_line(e, channel, uses, count, "envelope", label, "accuracy")
    note = f"{_SHARED_NOTE} Its pictures go to a classifier that was trained on clean ones."
    title, y = f"{e.semantic.metric} of {e.semantic.name}, {channel}", e.semantic.metric
    return Chart(title, _DB, y, tuple(lines), note, channel) if lines else None


def _confidence(e: Evidence, channel: str) -> Chart | None:
    if "confidence" not in e.semantic.metrics:
        return None
    lines = _layer_lines(e, channel, e.semantic.name, "confidence")
    note = "Mean of the largest class probability; above the accuracy it is overconfidence."
    title = f"Confidence about {e.semantic.name}, {channel}"
    return Chart(title, _DB, "mean confidence", tuple(lines), note, channel)


def _ablations(e: Evidence, channel: str) -> Chart:
    """PSNR of every arm over the layers' uses, at the middle SNR."""
    where = {"channel": channel, "snr_db": e.middle}
    lines = []
    for arm in dict.fromkeys(run.method for run in e.runs):
        of_arm = [r for r in e.runs if r.method == arm and r.point["channel"] == channel]
        if any(PICTURE in r.metrics and r.point["snr_db"] == e.middle for r in of_arm):
            runs = [r for r in of_arm if PICTURE in r.metrics]
            style = "dashed" if arm in map(arm_of, COUNTS) else "line"
            lines.append(chart_series(runs, arm, "uses", PICTURE, "PSNR", where, style=style, group=arm))
    title = f"All arms at {e.middle:g} dB, {channel}"
    return Chart(title, "channel uses so far", "PSNR in dB", tuple(lines), section=channel)


def sheets(bench: Bench, digital: Digital, networks: dict[str, StagedLearner]) -> Iterator[SampleSheet]:
    """A sheet of received pictures for each channel.

    Args:
        bench: What the arms share.
        digital: The digital chain.
        networks: Channel -> the joint network of seed 0, trained.
    """
    snrs_db = bench.settings.link.test_values
    batch = first_pictures(bench.data.test, 1)
    original = batch.inputs[0]
    for number, (channel, learner) in enumerate(networks.items()):
        rows = [("original", [original] * len(snrs_db))]
        points = [OperatingPoint(snr_db=float(snr_db)) for snr_db in snrs_db]
        received = [decoded_predictions(learner, batch, bench.runtime, point) for point in points]
        for goal in (goal for goal in bench.goals if goal.task.name == PICTURE):
            uses = bench.settings.totals[goal.stage - 1]
            rows.append((f"layer {goal.stage}, {uses} uses", [found[goal.name][0] for found in received]))
        for count in COUNTS:
            rows += _digital_rows(bench, digital, channel, count)
        captions = {
            (r, c): f"{_psnr(shown, original):.1f} dB"
            for r, (_, pictures) in enumerate(rows)
            for c, shown in enumerate(pictures)
            if r and shown is not None and shown.shape == original.shape
        }
        path = bench.study.out / f"received-{number + 1}.png"
        draw_image_grid(path, rows, [f"{snr_db:g} dB" for snr_db in snrs_db], captions=captions)
        title = f"{channel}: one test picture as received, seed 0"
        alt = f"One picture as received over {channel} after each layer and by the digital chain, by SNR"
        yield SampleSheet(JOINT, path.name, title, alt)


def _digital_rows(bench: Bench, digital: Digital, channel: str, count: str) -> Sequence[tuple[str, list]]:
    draw = torch.rand((), generator=torch.Generator().manual_seed(0)).item()  # the same luck everywhere
    uses, snrs_db = bench.settings.totals[-1], bench.settings.link.test_values
    shown = [digital.picture(channel, uses, count, snr_db, 0, draw) for snr_db in snrs_db]
    return [(f"digital, {uses} uses, {count}", shown)] if any(p is not None for p in shown) else []


def _psnr(shown: torch.Tensor, original: torch.Tensor) -> float:
    return -10 * math.log10(max(1e-10, float((shown.double() - original.double()).square().mean())))
