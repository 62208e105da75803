"""Published methods, one file for each: a builder that makes its network, and the learner that teaches it.

    controllable             one network for every budget: encoder and heads run at any width
    multires_jscc            pictures and labels sent in layers, each of which refines the last
    multi_receiver           one transmission for several receivers, each with a task and a channel of its own
    multi_round              the transmitter adds channel uses until the receiver is sure
    physical_proxies         a main task reads what tasks with a physical meaning see, weighed by how sure they are
    power_flow               voltages of a grid from what is injected: a linear part, a network, chord steps
    preference_conditioned   one network whose task preference is an input; what `controllable` is compared with
    private_features         each task's receiver is sent features that serve its task and little else
    source_free_detection    a detector adapted to pictures without labels, without the source's data

Gradient split is a descent: `umbel.descent.GradSplit`. Files called "..._ablations" ("..._adversaries", "..._min_max")
hold what a method is compared with in its study. A study builds its networks by these names, so what is measured is
what a user gets.
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
from umbel.methods.physical_proxies import ProxyLearner, physical_proxies
from umbel.methods.physical_proxies_model import BranchLink, ProxyEncoder, ProxyReading
from umbel.methods.physical_proxies_rivals import (
    MapEncoder,
    Mapped,
    MappedLink,
    MeanOfMap,
    SingleSideLearner,
    UnitEmbedding,
    central_difference,
    single_side,
)
from umbel.methods.power_flow import PowerFlowModel, power_flow
from umbel.methods.power_flow_ablations import MeanState, QuadraticModel, ridge_alone
from umbel.methods.power_flow_frame import PowerFlowFrame, power_flow_frame
from umbel.methods.power_flow_predictor import PowerFlowPredictor, StepsFromMean, predictor
from umbel.methods.preference_conditioned import PreferenceLearner, conditioned_model, preference_conditioned
from umbel.methods.private_features import PrivateFeaturesLearner, private_features, private_model
from umbel.methods.private_features_ablations import (
    PrincipalComponents,
    noise_only,
    plain_links,
    single_encoders,
    universal,
    without_decorrelation,
    without_gates,
)
from umbel.methods.private_features_adversaries import Adversaries, ReversalLearner, gradient_reversal
from umbel.methods.private_features_min_max import AlternatingSteps, MinMaxLearner, min_max
from umbel.methods.source_free_alignment import Alignment, Discriminators, maps_at
from umbel.methods.source_free_detection import SelfTraining, SourceFreeLearner, per_class
from umbel.methods.source_free_target import TargetPictures, divide
from umbel.methods.source_free_watch import Alarm, Signals, Watch, agreement

__all__ = [
    "Adversaries",
    "Alarm",
    "Alignment",
    "AlternatingSteps",
    "BranchLink",
    "ControllableLearner",
    "CutModel",
    "Discriminators",
    "GreedyStage",
    "LayeredUser",
    "MapEncoder",
    "Mapped",
    "MappedLink",
    "MeanOfMap",
    "MeanState",
    "MinMaxLearner",
    "PowerFlowFrame",
    "PowerFlowModel",
    "PowerFlowPredictor",
    "PreferenceLearner",
    "PrefixLearner",
    "PrincipalComponents",
    "PrivateFeaturesLearner",
    "ProxyEncoder",
    "ProxyLearner",
    "ProxyReading",
    "QuadraticModel",
    "ReusedTransmitter",
    "ReversalLearner",
    "SelfTraining",
    "Signals",
    "SingleSideLearner",
    "SourceFreeLearner",
    "StepsFromMean",
    "TargetPictures",
    "UnitEmbedding",
    "Watch",
    "agreement",
    "attribute_first",
    "central_difference",
    "conditioned_model",
    "controllable",
    "divide",
    "fresh_dense_model",
    "gradient_reversal",
    "is_controllable",
    "joint_again",
    "layered_users",
    "maps_at",
    "min_max",
    "multi_receiver",
    "multi_round",
    "multires_goals",
    "multires_jscc",
    "noise_only",
    "per_class",
    "physical_proxies",
    "plain_links",
    "power_flow",
    "power_flow_frame",
    "predictor",
    "preference_conditioned",
    "private_features",
    "private_model",
    "ridge_alone",
    "semantic_first",
    "single_encoders",
    "single_side",
    "slimmable_model",
    "truncated",
    "universal",
    "without_decorrelation",
    "without_gates",
]
