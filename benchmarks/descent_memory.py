"""Peak memory of one step by every side, against a plain step, as on a machine whose memory is short.

With memory to spare rows are kept up to a share of it, whatever a plain step takes; here that share is 0.
"""

from unittest import mock

from benchmarks.descent_nets import CONV, Setting, resnet, runtime_of
from benchmarks.descent_peers import ENGINES, PLAIN, TORCHJD, sides_of, working
from benchmarks.descents import LONG, NARROW_RESNET, SHORT, TRUE_RESNET
from benchmarks.measure import Note, Row, compare, say
from umbel.descent.gramian import plan
from umbel.engine import peak_bytes

TASKS, TARGET = 16, 1.5
SETTINGS = (CONV, TRUE_RESNET, NARROW_RESNET, resnet(16, 64), SHORT, LONG)


def of_setting(setting: Setting) -> list[Row | Note]:
    """Every side's peak in a step that is not its first."""
    sides, rows = working(sides_of(setting, ENGINES, tuple(TORCHJD)), str(setting))
    device = runtime_of(setting).device
    peaks = {name: [peak_bytes(side, device)] for name, side in sides.items()}
    told = ", ".join(f"{name} {peak / peaks[PLAIN][0]:.2f}" for name, (peak,) in peaks.items() if name != PLAIN)
    say(f"{setting}: peak of a plain step {peaks[PLAIN][0] / 1e6:.1f} MB; in those: {told}")
    for name, peak in peaks.items():
        if name != PLAIN:
            target = TARGET if name == "auto" else None
            rows.append(compare(f"peak memory: {setting}: {name}", peak, peaks[PLAIN], PLAIN, target, 1e-6, "MB"))
    return rows


def measure() -> list[Row | Note]:
    with mock.patch.object(plan, "memory_of", lambda _: 0):
        return [row for setting in SETTINGS for row in of_setting(setting.but(tasks=TASKS))]
