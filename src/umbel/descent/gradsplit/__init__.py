"""Gradient split: the descent, its engines, and the measuring of conflicts."""

from umbel.descent.gradsplit.accept import StreamPlan, accept_matrix, stream_plan
from umbel.descent.gradsplit.affinity import Affinity, Measured, look_ahead
from umbel.descent.gradsplit.after_warm_up import AfterWarmUp, random_matrix
from umbel.descent.gradsplit.descent import GradSplit
from umbel.descent.gradsplit.groups import channel_groups, split_layers

__all__ = [
    "Affinity",
    "AfterWarmUp",
    "GradSplit",
    "Measured",
    "StreamPlan",
    "accept_matrix",
    "channel_groups",
    "look_ahead",
    "random_matrix",
    "split_layers",
    "stream_plan",
]
