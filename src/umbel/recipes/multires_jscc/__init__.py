"""`umbel run multires_jscc`: pictures and labels in layers, against ablations and a real digital chain."""

from umbel.recipes.multires_jscc.settings import QUICK, MultiresSettings
from umbel.recipes.recipe import Recipe

MULTIRES_JSCC = Recipe(
    name="multires_jscc",
    title="Pictures and labels sent in layers, against ablations and a real digital chain",
    settings=MultiresSettings,
    quick=QUICK,
    study="umbel.recipes.multires_jscc.study:multires_study",
    findings="umbel.recipes.multires_jscc.findings:findings",
    about=(
        "Trains a hierarchical joint source-channel code on each channel, and what it is compared with: no past "
        "layers, layers trained one after the other, an independent network for each number of channel uses, a single "
        "code cut short, and separate source and channel coding (codec, CRC, LDPC, QAM). Prints picture quality, "
        "accuracy and confidence of every layer over the SNR, and which claims are shown."
    ),
)

__all__ = ["MULTIRES_JSCC", "QUICK", "MultiresSettings"]
