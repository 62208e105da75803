"""The digital chain: a picture codec, a check, a 5G LDPC code and QAM; and what it delivers.

Codecs beyond WebP and JPEG, and sending for real, need the `[comms]` extra; evaluation by the shipped table of block
error rates does not. SNR is Es/N0 for each complex channel use everywhere.
"""

from umbel.channels.digital.block_errors import SHIPPED_TABLE, BlockErrors, BlockErrorTable, Decoder, shipped_table
from umbel.channels.digital.codecs import CODECS, LOSSLESS, Codec, find_codec, floor_bytes, why_unusable
from umbel.channels.digital.coded_link import ITERATIONS, CodedLink, through_noise
from umbel.channels.digital.judge import Classifier, Judge
from umbel.channels.digital.label_combinations import LabelCombinations
from umbel.channels.digital.label_genie import LabelGenie
from umbel.channels.digital.mcs import CRC_BITS, MCS, ModulationCoding, find_mcs
from umbel.channels.digital.picture_link import CodedPictures, Coding, PictureJudge, PictureLink, Received
from umbel.channels.digital.rate_table import RateTable
from umbel.channels.digital.separate import FADINGS, Delivery, SeparateChain, mean_colour, mean_psnr

__all__ = [
    "CODECS",
    "CRC_BITS",
    "FADINGS",
    "ITERATIONS",
    "LOSSLESS",
    "MCS",
    "SHIPPED_TABLE",
    "BlockErrorTable",
    "BlockErrors",
    "Classifier",
    "Codec",
    "CodedLink",
    "CodedPictures",
    "Coding",
    "Decoder",
    "Delivery",
    "Judge",
    "LabelCombinations",
    "LabelGenie",
    "ModulationCoding",
    "PictureJudge",
    "PictureLink",
    "RateTable",
    "Received",
    "SeparateChain",
    "find_codec",
    "find_mcs",
    "floor_bytes",
    "mean_colour",
    "mean_psnr",
    "shipped_table",
    "through_noise",
    "why_unusable",
]
