"""`umbel audit`: what others could learn from the features that a trained network releases."""

from umbel.recipes.auditing.settings import AuditSettings, EncoderSettings
from umbel.recipes.recipe import Recipe

AUDIT = Recipe(
    name="audit",
    title="What others could learn from the features that a trained network releases",
    settings=AuditSettings,
    quick=AuditSettings(effort="quick", seeds=1),
    study="umbel.recipes.auditing.study:audit",
    findings="umbel.recipes.auditing.findings:findings",
    about=(
        "Attackers are trained on what the frozen network releases of the training split, chosen on validation and "
        "tested on the test split: they infer every task from what every other task gets, and rebuild the input. "
        "Prints scores beside floors (what is known without any feature) and ceilings (what features meant for the "
        "task tell)."
    ),
)

__all__ = ["AUDIT", "AuditSettings", "EncoderSettings"]
