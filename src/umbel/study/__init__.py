"""What every study shares: arms, jobs, a bench that trains and remembers them, a table of numbers, claims by interval.

A library, no framework: a study is a function that makes jobs, runs them and gives a results file; its findings are a
function of that file alone. See "Add a study" in CONTRIBUTING.
"""

from umbel.study.bench import Bench
from umbel.study.findings import Findings, chart, claim, concluded, improvement, settings_of
from umbel.study.folder import Outcome, Study
from umbel.study.job import Arm, Job, safe_name
from umbel.study.table import Table, Values, average, least, line
from umbel.study.training import Measurement, Trained, Training, on_test_split

__all__ = [
    "Arm",
    "Bench",
    "Findings",
    "Job",
    "Measurement",
    "Outcome",
    "Study",
    "Table",
    "Trained",
    "Training",
    "Values",
    "average",
    "chart",
    "claim",
    "concluded",
    "improvement",
    "least",
    "line",
    "on_test_split",
    "safe_name",
    "settings_of",
]
