"""Slimmable modules: one set of weights, any width, chosen by the operating point at each pass."""

from umbel.nn.slimming.convert import slimmable
from umbel.nn.slimming.cost import Cost, ModelCost, cost_of, count_macs, model_cost
from umbel.nn.slimming.dense import dense, dense_copy, dense_model
from umbel.nn.slimming.grid import WIDTH_NAMES, WIDTHS, active_channels
from umbel.nn.slimming.model import Slimmable
from umbel.nn.slimming.statistics import check_widths, recalibrate

__all__ = [
    "WIDTHS",
    "WIDTH_NAMES",
    "Cost",
    "ModelCost",
    "Slimmable",
    "active_channels",
    "check_widths",
    "cost_of",
    "count_macs",
    "dense",
    "dense_copy",
    "dense_model",
    "model_cost",
    "recalibrate",
    "slimmable",
]
