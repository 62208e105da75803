"""Rows dealt out to parts at random: each by itself, within classes, or in groups that stay together.

Everything is a function of the seeds, of the classes and of the groups, the same on every machine. All random numbers
are random orders, which torch's generator gives; sums are rounded once, whatever the order of their terms.
"""

from collections.abc import Sequence
from math import fsum

import numpy as np
import torch

from umbel.data.source import seeded

_TRIES, _WORK = 50, 20_000  # random orders of the groups of which the best is taken; groups that may be placed in all
_CLASSES = 50  # that groups are balanced for; rarer ones count as one


def deal_rows(count: int, shares: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
    """The part of each row, int64 [count], where every row is dealt out by itself.

    Args:
        count: Number of rows.
        shares: Of the parts; they add up to 1.
        seeds: Of the random order.
    """
    shuffled = _order(count, seeds)
    part = np.zeros(count, dtype=np.int64)
    if len(set(shares)) == 1:  # equal parts, whose sizes differ by at most 1
        part[shuffled] = np.arange(count) * len(shares) // max(1, count)
        return part
    start = 0
    for number in range(len(shares) - 1, 0, -1):  # what is left is the first part's
        size = round(shares[number] * count)
        part[shuffled[start : start + size]] = number
        start += size
    return part


def deal_classes(classes: np.ndarray, shares: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
    """The part of each row, int64 [rows], where every part gets its share of every class.

    Where the parts are not equal, each gets a row of every class as far as there are rows, the first part first, then
    the last.

    Args:
        classes: Class of each row, from 0; int64 [rows].
        shares: Of the parts.
        seeds: Of the random orders.
    """
    part = np.zeros(len(classes), dtype=np.int64)
    order, sizes = np.argsort(classes, kind="stable"), np.bincount(classes)
    of_class = np.split(order, np.cumsum(sizes)[:-1])
    filled, wanted = np.zeros(len(shares)), np.zeros(len(shares))
    for number in sorted(range(len(sizes)), key=lambda c: (sizes[c], c)):  # the largest make up for the others
        rows = of_class[number]
        wanted += np.multiply(shares, len(rows))
        portions = _portions(len(rows), shares, wanted - filled)
        filled += portions
        part[rows[_order(len(rows), (*seeds, number))]] = np.repeat(np.arange(len(shares)), portions)
    return part


def _portions(count: int, shares: Sequence[float], needs: np.ndarray) -> np.ndarray:
    """How many of the rows of a class each part gets, int64 [parts]."""
    equal = len(set(shares)) == 1
    if count < len(shares) and not equal:
        first = (0, *range(len(shares) - 1, 0, -1))[:count]
        return np.isin(np.arange(len(shares)), first).astype(np.int64)
    portions = np.floor(np.multiply(shares, count) + 1e-9).astype(np.int64)
    for _ in range(count - int(portions.sum())):
        portions[np.argmax(needs - portions)] += 1
    while not equal and not portions.all():
        portions[np.argmax(portions)] -= 1
        portions[np.argmin(portions)] += 1
    return portions


def deal_groups(groups: np.ndarray, classes: np.ndarray, shares: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
    """The part of each row, int64 [rows], where rows of one group stay together.

    Groups come in a random order, each to the part that then lacks most of what the group holds; of several such
    orders, the one that comes nearest to the shares is taken. No part is empty.

    Args:
        groups: Group of each row, from 0; int64 [rows]; at least as many groups as parts.
        classes: Class of each row, from 0; int64 [rows]; all 0 where only the number of rows matters.
        shares: Of the parts.
        seeds: Of the random orders.
    """
    by_size = np.argsort(np.argsort(-np.bincount(classes), kind="stable"), kind="stable")
    kept = np.minimum(by_size, _CLASSES - 1)[classes]
    table = np.zeros((groups.max() + 1, kept.max() + 1))
    np.add.at(table, (groups, kept), 1)
    best, least = np.zeros(len(table), dtype=np.int64), np.inf
    for trial in range(max(1, min(_TRIES, _WORK // len(table)))):
        order = _order(len(table), (*seeds, trial))
        part, distance = _placed(table[order], shares)
        if distance < least:
            least = distance
            best[order] = part
    return best[groups]


def _placed(table: np.ndarray, shares: Sequence[float]) -> tuple[np.ndarray, float]:
    """The part of each group in turn, and how far the parts end from their shares.

    Args:
        table: Rows of each group by class, [groups, classes].
        shares: Of the parts.
    """
    total = table.sum(0)
    lacks = np.multiply.outer(shares, total)  # [parts, classes]; negative where a part has too much
    part = np.zeros(len(table), dtype=np.int64)
    empty = set(range(len(shares)))
    for number, group in enumerate(table):
        growth = np.array([fsum(terms) for terms in group * (group - 2 * lacks) / total])  # of the squared distance
        if len(empty) >= len(table) - number:  # the last groups go to parts that have none
            growth[[p for p in range(len(shares)) if p not in empty]] = np.inf
        chosen = int(growth.argmin())
        part[number] = chosen
        lacks[chosen] -= group
        empty.discard(chosen)
    return part, fsum((lacks * lacks / total).ravel())


def _order(count: int, seeds: Sequence[int]) -> np.ndarray:
    return torch.randperm(count, generator=seeded(*seeds)).numpy()
