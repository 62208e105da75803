"""Modules that know no method: encoders, heads, whole models, normalisation over processes, a following teacher."""

from umbel.nn.build import ENCODERS, EncoderChoice, build_encoder, build_model, default_encoder, seeded_start
from umbel.nn.ema import ExponentialMovingAverage
from umbel.nn.encoders import ConvEncoder, GRUEncoder, MLPEncoder, ResidualBlock, ResNetEncoder, Standardise
from umbel.nn.heads import MapHead, VectorHead, build_head
from umbel.nn.pixel import PictureHead, PixelEncoder, PooledHead, SmoothBlock
from umbel.nn.pretrained import FeatureMaps, torchvision_encoder
from umbel.nn.sync_norm import synchronise_norms

__all__ = [
    "ENCODERS",
    "ConvEncoder",
    "EncoderChoice",
    "ExponentialMovingAverage",
    "FeatureMaps",
    "GRUEncoder",
    "MLPEncoder",
    "MapHead",
    "PictureHead",
    "PixelEncoder",
    "PooledHead",
    "ResNetEncoder",
    "ResidualBlock",
    "SmoothBlock",
    "Standardise",
    "VectorHead",
    "build_encoder",
    "build_head",
    "build_model",
    "default_encoder",
    "seeded_start",
    "synchronise_norms",
    "torchvision_encoder",
]
