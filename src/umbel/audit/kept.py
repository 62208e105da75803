"""Audits in a results file."""

from collections.abc import Sequence
from typing import Any

from umbel.audit.records import Audit
from umbel.core import UmbelError
from umbel.report import Results
from umbel.report.schema import build, finite_again, plain

_NAME = "audits"


def kept_audits(audits: Sequence[Audit]) -> dict[str, Any]:
    """Audits as `Results.facts` keeps them."""
    return {_NAME: [plain(audit) for audit in audits]}


def audits_of(results: Results) -> tuple[Audit, ...]:
    """The audits that a results file holds, one for each operating point.

    Raises:
        UmbelError: It holds none, or they are damaged.
    """
    if not isinstance(kept := results.facts.get(_NAME), list) or not kept:
        raise UmbelError(f"the results of {results.study!r} hold no audit")
    built = [build(Audit, one, f"facts.{_NAME}[{i}]: ") for i, one in enumerate(kept)]
    for audit in built:
        audit.point.update(finite_again(audit.point))
    return tuple(built)
