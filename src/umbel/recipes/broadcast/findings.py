"""What came of the broadcast study: claims, charts and sentences from its runs."""

from umbel.recipes.broadcast.settings import BroadcastSettings
from umbel.recipes.broadcast.study import AIR, ALL, AT_STOP, JOINT, OWN
from umbel.report import Chart, Claim, Results, TaskInfo
from umbel.study import Findings, Table, Values, chart, claim, settings_of

_NOTE = "Both arms take the same total of channel uses; a network of its own has the receiver's share of them."


def findings(results: Results) -> Findings:
    """All that follows from the runs."""
    settings, table = settings_of(results, BroadcastSettings), Table(results.runs)
    total = sum(settings.stages)
    return Findings(
        claims=tuple(_gain(table, info) for info in results.tasks),
        charts=tuple(_over_snr(table, info, len(settings.stages)) for info in results.tasks),
        verdict=(*(_said(table, info, total) for info in results.tasks), *_air(results, total)),
    )


def _gain(table: Table, info: TaskInfo) -> Claim:
    ours, own = (table(arm, info.metric, task=info.name, rule=ALL) for arm in (JOINT, OWN))
    scale, unit = (100, "points") if info.metric == "accuracy" else (1, info.unit)
    statement = f"{info.name}: the broadcast is no worse than a network of its own with its share of the uses"
    gain = scale * (ours - own) if info.higher_is_better else scale * (own - ours)
    return claim(f"gain {info.name}", statement, gain, at_least=0.0, unit=unit)


def _over_snr(table: Table, info: TaskInfo, stages: int) -> Chart:
    """A task of a receiver over its SNR, after every stage."""
    lines = [
        table.series(
            arm,
            "snr_db",
            info.metric,
            task=info.name,
            label=f"{title}, stage {stage}",
            style=style,
            stage=stage,
        )
        for arm, title, style, first in ((JOINT, "broadcast", "line", 1), (OWN, "own network", "dashed", stages))
        for stage in range(first, stages + 1)
    ]
    unit = f" in {info.unit}" if info.unit else ""
    return chart(info.name, "SNR in dB", f"{info.metric}{unit}", lines, _NOTE, info.name.split("/")[0])


def _said(table: Table, info: TaskInfo, total: int) -> str:
    ours, own = (table(arm, info.metric, task=info.name, rule=ALL).mean for arm in (JOINT, OWN))
    early, uses = (table(JOINT, metric, task=info.name, rule=AT_STOP).mean for metric in (info.metric, "uses"))
    text = f"{info.name}: {info.metric} {ours:.3g}{info.unit and ' ' + info.unit} after all {total} uses"
    if uses < total:
        text += f", {early:.3g} when it leaves after {uses:.3g} on average"
    return f"{text}; a network of its own with its share of the uses: {own:.3g}."


def _air(results: Results, total: int) -> list[str]:
    """When the broadcast may end."""
    uses = {p.repeat: p.columns["uses"][0] for p in results.profiles if (p.method, p.name) == (JOINT, AIR)}
    mean = Values(uses).mean
    said = f"The last receiver has left after {mean:.3g} of {total} uses on average; then nothing more is sent."
    return [said] if mean < total else []
