"""Published methods, one file for each: a builder that makes its network, and the learner that teaches it.

    controllable             one network for every budget: encoder and heads run at any width
    multires_jscc            pictures and labels sent in layers, each of which refines the last
    multi_receiver           one transmission for several receivers, each with a task and a channel of its own
    multi_round              the transmitter adds channel uses until the receiver is sure
    preference_conditioned   one network whose task preference is an input; what `controllable` is compared with

Gradient split is a descent: `umbel.descent.GradSplit`. Files called "..._ablations" hold what a method is compared with
in its study. A study builds its networks by these names, so what is measured is what a user gets.
"""

from umbel.methods.controllable import ControllableLearner, controllable, is_controllable, slimmable_model
from umbel.methods.controllable_ablations import fresh_dense_model
from umbel.methods.multi_receiver import ReusedTransmitter, multi_receiver
from umbel.methods.multi_round import multi_round
from umbel.methods.multi_round_ablations import CutModel, PrefixLearner
from umbel.methods.multires_ablations import GreedyStage, joint_again, truncated
from umbel.methods.multires_jscc import (
    LayeredUser,
    attribute_first,
    layered_users,
    multires_goals,
    multires_jscc,
    semantic_first,
)
from umbel.methods.preference_conditioned import PreferenceLearner, conditioned_model, preference_conditioned

__all__ = [
    "ControllableLearner",
    "CutModel",
    "GreedyStage",
    "LayeredUser",
    "PreferenceLearner",
    "PrefixLearner",
    "ReusedTransmitter",
    "attribute_first",
    "conditioned_model",
    "controllable",
    "fresh_dense_model",
    "is_controllable",
    "joint_again",
    "layered_users",
    "multi_receiver",
    "multi_round",
    "multires_goals",
    "multires_jscc",
    "preference_conditioned",
    "semantic_first",
    "slimmable_model",
    "truncated",
]
