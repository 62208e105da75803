"""Umbel: one shared encoder, many task heads.

The contracts are in `umbel.core`, kinds of task in `umbel.tasks`, data in `umbel.data`, ways to settle
conflicts in `umbel.descent`, the training loop in `umbel.engine`, studies in `umbel.recipes`.
Importing `umbel` itself loads nothing heavy.
"""

__version__ = "0.1.0"
