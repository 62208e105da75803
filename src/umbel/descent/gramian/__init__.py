"""Gramians of the tasks' gradients, and weighted sums of those, by engines that do without most of the gradients."""

from umbel.descent.gramian.choice import ENGINES, Engine, EngineChoice
from umbel.descent.gramian.measure import measure_gramian
from umbel.descent.gramian.passes import DIRECTIONS, Ghost, GramianPass, gramian_pass

__all__ = ["DIRECTIONS", "ENGINES", "Engine", "EngineChoice", "Ghost", "GramianPass", "gramian_pass", "measure_gramian"]
