"""`umbel run multi_receiver`: may several receivers with tasks of their own share one transmission?"""

from umbel.recipes.multi_receiver.settings import QUICK, MultiReceiverSettings
from umbel.recipes.recipe import Recipe

MULTI_RECEIVER = Recipe(
    name="multi_receiver",
    title="One transmission for several receivers against one for each",
    settings=MultiReceiverSettings,
    quick=QUICK,
    study="umbel.recipes.multi_receiver.study:multi_receiver_study",
    findings="umbel.recipes.multi_receiver.findings:findings",
    about=(
        "Trains one transmitter for several receivers, each with a task of its own, and compares it with single-task "
        "networks of the same total of channel uses and of the same uses each, with transmitters made for another "
        "task, and with digital links (the label alone; the coded picture). Sweeps channel uses, SNRs and task "
        "weights over several channels."
    ),
)

__all__ = ["MULTI_RECEIVER", "QUICK", "MultiReceiverSettings"]
