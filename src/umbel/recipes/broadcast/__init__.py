"""`umbel run broadcast`: one transmitter, sent in stages to receivers that want different things."""

from umbel.recipes.broadcast.settings import QUICK, BroadcastSettings, ReceiverSpec
from umbel.recipes.recipe import Recipe

BROADCAST = Recipe(
    name="broadcast",
    title="One transmission in stages for receivers with tasks, channels and patience of their own",
    settings=BroadcastSettings,
    quick=QUICK,
    study="umbel.recipes.broadcast.study:broadcast_study",
    findings="umbel.recipes.broadcast.findings:findings",
    about=(
        "Composes multi-resolution, multi-receiver and multi-round transmission in one network: stages are broadcast, "
        "each receiver decodes what it has heard over its own channel, and leaves when it is sure of its classes "
        "(thresholds chosen on validation) or, where it wants a picture, after the last stage. Compared with one "
        "network for each receiver that share the same channel uses."
    ),
)

__all__ = ["BROADCAST", "QUICK", "BroadcastSettings", "ReceiverSpec"]
