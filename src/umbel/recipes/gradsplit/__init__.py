"""`umbel run gradsplit`: does it pay to let groups of filters refuse the gradients of some tasks?"""

from umbel.recipes.gradsplit.settings import QUICK, GradSplitSettings
from umbel.recipes.recipe import Recipe

GRADSPLIT = Recipe(
    name="gradsplit",
    title="Groups of filters that learn only from tasks that agree, against joint training and other ways",
    settings=GradSplitSettings,
    quick=QUICK,
    study="umbel.recipes.gradsplit.study:gradsplit_study",
    findings="umbel.recipes.gradsplit.findings:findings",
    about=(
        "Trains one network for each task alone, and one for all tasks: jointly, with GradSplit whose accept matrix is "
        "measured in a warm-up, with GradSplit where each group learns from its own task or from a random choice of "
        "tasks, with other descents, and with an attention for each task; same encoder, same steps, several seeds. "
        "Reports every task's metric, the mean change against the single-task references, accuracy on another set, "
        "the measured matrix, multiply-accumulates, parameters and time."
    ),
)

__all__ = ["GRADSPLIT", "QUICK", "GradSplitSettings"]
