"""What Gaussian noise of a size guarantees: to one input over several releases, and to the samples of a training."""

from umbel.privacy.gaussian import gaussian_delta, gaussian_epsilon, gaussian_sigma
from umbel.privacy.releases import NEIGHBOURS, Guarantee, Release, guarantee, sensitivity
from umbel.privacy.sampled import (
    ACCOUNTANTS,
    TrainingGuarantee,
    most_found,
    sampled_epsilon,
    sampled_noise,
    training_guarantee,
    usual_delta,
)
from umbel.privacy.zcdp import gaussian_zcdp, zcdp_epsilon

__all__ = [
    "ACCOUNTANTS",
    "NEIGHBOURS",
    "Guarantee",
    "Release",
    "TrainingGuarantee",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_sigma",
    "gaussian_zcdp",
    "guarantee",
    "most_found",
    "sampled_epsilon",
    "sampled_noise",
    "sensitivity",
    "training_guarantee",
    "usual_delta",
    "zcdp_epsilon",
]
