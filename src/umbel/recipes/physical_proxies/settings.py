"""Settings of the study of physical proxies. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, replace

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError, unknown
from umbel.recipes.settings import check_seeds, chosen_arms, names

LIVENESS, PROXIES = "liveness", ("depth", "reflection", "material")
"""The main task, and what serves it."""
OURS, BINARY, AUXILIARY, SINGLE_SIDE = "proxies", "binary", "auxiliary", "single-side"
DEPTH, REFLECTION, MATERIAL = "depth-only", "reflection-only", "material-only"
NO_ATTENTION, SIGMOID, SOFTMAX, LEARNT = "no-attention", "sigmoid", "softmax", "learnt-weights"
NO_MINING, NO_REGULARISER, MINED = "without-mining", "without-regulariser", "binary-mining"
CHANGED, BINARY_CHANGED = "proxies-camera-changes", "binary-camera-changes"
CENTRAL, TEXTURE = "central-difference", "colour-texture"
REPEATED = (OURS, BINARY, AUXILIARY, SINGLE_SIDE, BINARY_CHANGED, CHANGED)
"""Arms that are trained with every seed; all others with `ablation_seeds` of them."""
ARMS = (
    OURS, BINARY, AUXILIARY, SINGLE_SIDE, BINARY_CHANGED, CHANGED, CENTRAL, TEXTURE, DEPTH, REFLECTION, MATERIAL,
    NO_ATTENTION, SIGMOID, SOFTMAX, LEARNT, NO_MINING, NO_REGULARISER, MINED,
)  # fmt: skip
"""Every arm, in the order of the tables."""
NEEDED = (OURS, BINARY)
"""Arms that every claim reads."""
DOMAINS = ("A", "B", "C", "D")
"""Places that networks learn from, of which each is held out once."""
DEVELOPMENT = ("E", "F")
"""Places by which settings are chosen, so that the others stay unseen; no network learns from them."""
EACH = "each in turn"
"""What runs have as `held_out` that are means over the places."""

_WEIGHTS = (
    "depth_weight", "reflection_weight", "material_weight", "kl", "mining", "triplet", "adversary", "camera_changes",
)  # fmt: skip
FIT = FitSettings(
    steps=500, batch_size=64, learning_rate=3e-3, weight_decay=1e-2, schedule="one-cycle", clip_norm=5.0,
    validate_every=100, channels_last=True, monitor="loss", tensorboard=False,
)  # fmt: skip
"""How each network of the full study is trained."""


@dataclass(frozen=True)
class PhysicalProxiesSettings:
    """A liveness detector in places where it was never trained, with and without proxy tasks."""

    size: int = 2000
    """Training pictures of all places that are learnt from, together."""
    evaluation_size: int = 600
    """Pictures that choose checkpoints and thresholds, and again as many for each test."""
    resolution: int = 48
    """Height and width of the pictures in pixels."""
    textures: str = "drawn"
    """Skin of the rendered faces: drawn, or lfw (from photographs, where that set is there)."""
    camera_changes: float = 1.0
    """Arms with camera changes: how much exposure, colours, focus and noise of training pictures are changed."""
    held_out: str = ",".join(DOMAINS)
    """Places that are held out, one at a time, with commas between."""
    encoder: str = "conv"
    """Encoder of every network but that of central differences; `umbel list` shows them."""
    encoder_options: str = "widths=16/32/64,downsample=8"
    """Options of the encoder: "widths=16/32/64,norm=group"."""
    branch: int = 32
    """Channels of each task's branch."""
    hidden: int = 16
    """Width of the heads' hidden layers."""
    depth_weight: float = 3.0
    """Weight of the depth's loss."""
    reflection_weight: float = 1.0
    """Weight of the reflection's loss."""
    material_weight: float = 0.1
    """Weight of the material's loss."""
    kl: float = 1e-4
    """Weight of the attention's regulariser."""
    mining: float = 0.5
    """Weight of the loss over hard pairs."""
    triplet: float = 1.0
    """Single-side rival: weight of its triplets."""
    adversary: float = 0.1
    """Single-side rival: factor of its reversed gradient."""
    arms: str = ",".join(ARMS)
    """What is compared, with commas between."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..., each with rendered pictures of its own."""
    ablation_seeds: int = 1
    """Repetitions of the arms that no claim reads (single proxies, attentions, ...); at most as many as seeds."""
    ablation_places: str = "C,D"
    """Places that are held out of those arms, with commas between, of the ones that are held out at all."""
    fit: FitSettings = FIT

    def __post_init__(self) -> None:
        check_numbers(
            self, {"size": 24, "evaluation_size": 24, "resolution": 16, "branch": 1, "hidden": 1, "ablation_seeds": 1}
        )
        check_seeds(self.seeds, self.fit.seed)
        _ = self.chosen_arms
        for name in (
            "depth_weight",
            "reflection_weight",
            "material_weight",
            "kl",
            "mining",
            "triplet",
            "adversary",
            "camera_changes",
        ):
            if getattr(self, name) < 0:
                raise UmbelError(f"{name} is {getattr(self, name):g}; give a number of at least 0")
        for flag, places in (("held-out", self.places), ("ablation-places", names(self.ablation_places))):
            for place in places:
                if place not in (*DOMAINS, *DEVELOPMENT):
                    raise unknown(f"place of --{flag}", place, (*DOMAINS, *DEVELOPMENT))
        if not self.places:
            raise UmbelError("--held-out names no place; give some of A,B,C,D")

    @property
    def chosen_arms(self) -> tuple[str, ...]:
        """The arms that are trained, in the order of the tables."""
        return chosen_arms(self.arms, ARMS, NEEDED)

    @property
    def places(self) -> tuple[str, ...]:
        """Those that are held out, each once."""
        return tuple(dict.fromkeys(names(self.held_out)))

    def places_of(self, arm: str) -> tuple[str, ...]:
        """Those that are held out of an arm's networks."""
        wanted = self.places if arm in REPEATED else names(self.ablation_places)
        return tuple(place for place in self.places if place in wanted)

    def repeats(self, arm: str) -> int:
        """How many seeds an arm is trained with."""
        return self.seeds if arm in REPEATED else min(self.seeds, self.ablation_seeds)


QUICK = PhysicalProxiesSettings(
    size=600,
    evaluation_size=200,
    held_out="B,D",
    arms=",".join((OURS, BINARY, AUXILIARY)),
    seeds=2,
    fit=replace(FIT, steps=120, validate_every=60),
)
"""Two places, two seeds, short trainings."""
