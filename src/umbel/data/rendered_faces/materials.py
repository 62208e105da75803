"""What there is to be seen, and how it mirrors light."""

import torch

MATERIALS = ("background", "skin", "hair", "eye", "lip", "paper", "screen", "plastic")
"""Classes of the target "material"."""
BACKGROUND, SKIN, HAIR, EYE, LIP, PAPER, SCREEN, PLASTIC = range(len(MATERIALS))
MIRRORED = torch.tensor([0.0, 0.10, 0.06, 0.35, 0.16, 0.03, 0.40, 0.36])
"""Share of the light that the gloss of each material mirrors."""
SHININESS = torch.tensor([1.0, 14.0, 9.0, 70.0, 24.0, 5.0, 140.0, 34.0])
"""How narrow its highlight is: the exponent of Blinn and Phong."""
