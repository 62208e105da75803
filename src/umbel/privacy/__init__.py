"""Accounting for the Gaussian mechanism: what noise of a size guarantees, alone and over several releases."""

from umbel.privacy.gaussian import gaussian_delta, gaussian_epsilon, gaussian_sigma
from umbel.privacy.releases import NEIGHBOURS, Guarantee, Release, guarantee, sensitivity
from umbel.privacy.zcdp import gaussian_zcdp, zcdp_epsilon

__all__ = [
    "NEIGHBOURS",
    "Guarantee",
    "Release",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_sigma",
    "gaussian_zcdp",
    "guarantee",
    "sensitivity",
    "zcdp_epsilon",
]
