"""Modules that know no method: encoders, heads, whole models, slimmable ones, norms over processes, a teacher."""

from umbel.nn.attention import TaskAttention, with_attention
from umbel.nn.build import ENCODERS, EncoderChoice, build_encoder, build_model, default_encoder, seeded_start
from umbel.nn.central_difference import CentralDifferenceConv2d, CentralDifferenceEncoder
from umbel.nn.conditioning import PreferenceConditioned, preferences_at
from umbel.nn.cross_attention import (
    CrossTaskExcitation,
    CrossTaskGates,
    FlatProjection,
    GatedEncoder,
    GatedFeatures,
    TaskProjection,
)
from umbel.nn.ema import ExponentialMovingAverage
from umbel.nn.encoders import ConvEncoder, GRUEncoder, MLPEncoder, ResidualBlock, ResNetEncoder, Standardise
from umbel.nn.fixed import fixed_model
from umbel.nn.heads import ConvHead, MapHead, VectorHead, build_head
from umbel.nn.pixel import PictureHead, PixelEncoder, PooledHead, SmoothBlock
from umbel.nn.pretrained import FeatureMaps, torchvision_encoder
from umbel.nn.release import FeatureRelease, ReleasingLink
from umbel.nn.reversal import reversed_gradient
from umbel.nn.ridge import LinearMap, principal_components, ridge
from umbel.nn.slimming import (
    WIDTH_NAMES,
    WIDTHS,
    Cost,
    ModelCost,
    Slimmable,
    active_channels,
    check_widths,
    cost_of,
    count_macs,
    dense,
    dense_copy,
    dense_model,
    model_cost,
    recalibrate,
    slimmable,
)
from umbel.nn.sync_norm import synchronise_norms
from umbel.nn.uncertainty import (
    AttentionKind,
    Fused,
    GaussianAttention,
    GaussianWeights,
    TaskFusion,
    kl_to_standard_normal,
)
from umbel.nn.without_batch_norm import without_batch_norm

__all__ = [
    "ENCODERS",
    "WIDTHS",
    "WIDTH_NAMES",
    "AttentionKind",
    "CentralDifferenceConv2d",
    "CentralDifferenceEncoder",
    "ConvEncoder",
    "ConvHead",
    "Cost",
    "CrossTaskExcitation",
    "CrossTaskGates",
    "EncoderChoice",
    "ExponentialMovingAverage",
    "FeatureMaps",
    "FeatureRelease",
    "FlatProjection",
    "Fused",
    "GRUEncoder",
    "GatedEncoder",
    "GatedFeatures",
    "GaussianAttention",
    "GaussianWeights",
    "LinearMap",
    "MLPEncoder",
    "MapHead",
    "ModelCost",
    "PictureHead",
    "PixelEncoder",
    "PooledHead",
    "PreferenceConditioned",
    "ReleasingLink",
    "ResNetEncoder",
    "ResidualBlock",
    "Slimmable",
    "SmoothBlock",
    "Standardise",
    "TaskAttention",
    "TaskFusion",
    "TaskProjection",
    "VectorHead",
    "active_channels",
    "build_encoder",
    "build_head",
    "build_model",
    "check_widths",
    "cost_of",
    "count_macs",
    "default_encoder",
    "dense",
    "dense_copy",
    "dense_model",
    "fixed_model",
    "kl_to_standard_normal",
    "model_cost",
    "preferences_at",
    "principal_components",
    "recalibrate",
    "reversed_gradient",
    "ridge",
    "seeded_start",
    "slimmable",
    "synchronise_norms",
    "torchvision_encoder",
    "with_attention",
    "without_batch_norm",
]
