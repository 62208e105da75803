"""`umbel run physical_proxies`: do tasks that physics knows help a liveness detector where it was never trained?"""

from umbel.recipes.physical_proxies.settings import QUICK, PhysicalProxiesSettings
from umbel.recipes.recipe import Recipe

PHYSICAL_PROXIES = Recipe(
    name="physical_proxies",
    title="Physical proxy tasks for liveness in unseen places",
    settings=PhysicalProxiesSettings,
    quick=QUICK,
    study="umbel.recipes.physical_proxies.study:physical_proxies_study",
    findings="umbel.recipes.physical_proxies.findings:findings",
    about=(
        "Trains liveness detectors on all cameras and lights but one, and tests them on the one held out and on a kind "
        "of attack that no training had. Proxy tasks (depth, reflection, material) feed the detector through an "
        "attention that knows its uncertainty; compared with the detector alone, single proxies, other attentions, "
        "plain multi-task learning, central differences, single-side domain losses and hand-made colour textures."
    ),
)

__all__ = ["PHYSICAL_PROXIES", "QUICK", "PhysicalProxiesSettings"]
