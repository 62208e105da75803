"""Moved to `umbel.study`; this name is for recipes that were not ported yet."""

from umbel.study.folder import Outcome, Study

__all__ = ["Outcome", "Study"]
