"""The eleven published methods that Umbel is built around, and which of them work today."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A published method.

    Attributes:
        key: Name in Umbel.
        title: What it does, in a few words.
        paper: Authors, place, year, arXiv number.
        implemented: Whether it can be used today.
    """

    key: str
    title: str
    paper: str
    implemented: bool = False


ELEVEN = (
    Method(
        "multires_jscc",
        "Semantic multi-resolution communications: hierarchical joint source-channel coding",
        "Mortaheb et al. 2023, arXiv 2308.11604",
        implemented=True,
    ),
    Method(
        "controllable",
        "Controllable multi-task architectures: one network for every budget and preference",
        "Aich et al., ICCV 2023, arXiv 2308.11744",
        implemented=True,
    ),
    Method(
        "source_free_detection",
        "Source-free object detection by adversarial alignment",
        "Chu et al., AAAI 2023, arXiv 2301.04265",
        implemented=True,
    ),
    Method(
        "gradsplit",
        "Gradient split: groups of filters learn from tasks that agree",
        "Deng et al., WACV 2023",
        implemented=True,
    ),
    Method("recurrent_modular", "Recurrent modules that tasks route through at every step", "Xu et al., AAAI 2021"),
    Method(
        "physical_proxies",
        "Face anti-spoofing by uncertainty-aware physical proxy tasks",
        "Wu et al. 2020, arXiv 2011.14054",
        implemented=True,
    ),
    Method(
        "intermediate_concepts",
        "Deep supervision of hidden layers with intermediate concepts",
        "Li et al., TPAMI 2018, arXiv 1801.03399",
    ),
    Method(
        "private_features",
        "MetaMorphosis: features that serve one task and hide the rest",
        "Arefeen et al., IoTDI 2023, arXiv 2305.07815",
        implemented=True,
    ),
    Method(
        "multi_receiver",
        "One transmitter, several receivers, each with its own task",
        "Sagduyu et al. 2023, arXiv 2308.06884",
        implemented=True,
    ),
    Method(
        "power_flow",
        "Variation-cognizant probabilistic power flow",
        "Chen & Zhang 2022, arXiv 2205.00598",
        implemented=True,
    ),
    Method(
        "multi_round",
        "Low-latency communications in several rounds, until the receiver is sure",
        "Sagduyu et al. 2024, arXiv 2411.10385",
        implemented=True,
    ),
)
"""The eleven methods, in the order in which they are listed."""
