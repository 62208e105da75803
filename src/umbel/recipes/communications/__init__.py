"""What the studies of communications share: settings of the link, and networks measured over SNRs."""

from umbel.recipes.communications.settings import LinkSettings, numbers, whole_numbers

__all__ = ["LinkSettings", "numbers", "whole_numbers"]
