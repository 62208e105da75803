"""What came of the study, from its results file alone."""

from umbel.report import Results
from umbel.study import Findings


def findings(results: Results) -> Findings:
    """All that follows from the results file."""
    return Findings()
