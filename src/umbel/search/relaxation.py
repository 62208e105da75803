"""Bounds on what the heads that are still to be chosen can add, by Lagrangian relaxation of the budget."""

from dataclasses import dataclass

import numpy as np

from umbel.search.order_rule import Moves

ROUNDS, COARSE, FINE = 4, 16, 8
SPREAD = (0.0, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0)
ROUNDING = 2.0**-46


@dataclass(frozen=True)
class Problem:
    """Choose one encoder and one head for each task, in whole numbers, so that every sum is exact.

    Attributes:
        encoder: Costs [We], int64.
        heads: Costs [T, We, Wd], int64, tasks in the order of `moves`.
        values: What each head adds [T, We, Wd], int64, tasks in the order of `moves`.
        limit: The most that encoder and heads may cost together.
        moves: Which widths are allowed after which.
    """

    encoder: np.ndarray
    heads: np.ndarray
    values: np.ndarray
    limit: int
    moves: Moves


@dataclass(frozen=True)
class Relaxation:
    """What is known of every rest of the choice.

    Attributes:
        cheapest: For each step, the least cost of the heads still to come [We, S_k], int64.
        multipliers: Prices of a unit of cost [M, We].
        best: For each step and price, the most of (value - price * cost) of the heads still to come [M, We, S_k].
        rounding: What rounding may have taken from a bound [M, We].
    """

    cheapest: list[np.ndarray]
    multipliers: np.ndarray
    best: list[np.ndarray]
    rounding: np.ndarray

    def bound(
        self, step: int, encoder: np.ndarray, state: np.ndarray, value: np.ndarray, room: np.ndarray
    ) -> np.ndarray:
        """Upper bounds [N] on the value of completed labels.

        value + min over prices of (price * room + best rest): weak duality, so it holds for every price.

        Args:
            step: Heads chosen so far.
            encoder: Place of the encoder width of each label [N].
            state: [N].
            value: So far [N].
            room: Budget that is left [N].
        """
        prices = self.multipliers[:, encoder]
        rest = self.best[step][:, encoder, state] + self.rounding[:, encoder]
        return value + (prices * room + rest).min(0)


def relax(problem: Problem) -> Relaxation:
    """Prices near the best one for each encoder, with the rests that belong to them."""
    best_price = _best_prices(problem)
    multipliers = np.array(SPREAD)[:, None] * best_price
    most = problem.values.max((1, 2), initial=0).sum() - problem.values.min((1, 2), initial=0).sum()
    rounding = ROUNDING * (float(most) + multipliers * (float(problem.limit) + problem.heads.max((1, 2)).sum()))
    return Relaxation(_cheapest(problem), multipliers, _rests(problem, multipliers), rounding)


def _rests(problem: Problem, prices: np.ndarray) -> list[np.ndarray]:
    """Backwards over the steps: best[k][s] = max over widths of (value - price * cost) + best[k + 1][next state]."""
    best = [np.zeros((*prices.shape, problem.moves.states[-1]))]
    for values, costs, following in zip(
        problem.values[::-1], problem.heads[::-1], problem.moves.following[::-1], strict=True
    ):
        gain = values - prices[:, :, None] * costs
        total = np.where(following >= 0, gain[:, :, None, :] + best[-1][:, :, following], -np.inf)
        best.append(total.max(-1))
    return best[::-1]


def _cheapest(problem: Problem) -> list[np.ndarray]:
    """The same with costs alone, in whole numbers."""
    never = np.iinfo(np.int64).max // 4
    least = [np.zeros((len(problem.encoder), problem.moves.states[-1]), dtype=np.int64)]
    for costs, following in zip(problem.heads[::-1], problem.moves.following[::-1], strict=True):
        total = np.where(following >= 0, costs[:, None, :] + least[-1][:, following], never)
        least.append(total.min(-1))
    return least[::-1]


def _best_prices(problem: Problem) -> np.ndarray:
    """For each encoder the price [We] with (nearly) the least bound, which is convex in it."""
    more = problem.heads[..., :, None] - problem.heads[..., None, :]
    gain = problem.values[..., :, None] - problem.values[..., None, :]
    slopes = gain[(more > 0) & (gain > 0)] / more[(more > 0) & (gain > 0)]
    encoders = len(problem.encoder)
    if not len(slopes):
        return np.zeros(encoders)
    ladder = np.concatenate([[0.0], np.geomspace(slopes.min(), slopes.max() * 1.01, COARSE)])
    prices = np.repeat(ladder[:, None], encoders, 1)
    columns = np.arange(encoders)
    for _ in range(ROUNDS - 1):
        place = _least_bound(problem, prices)
        low = prices[np.maximum(place - 1, 0), columns]
        high = prices[np.minimum(place + 1, len(prices) - 1), columns]
        prices = np.linspace(low, high, FINE)
    return prices[_least_bound(problem, prices), columns]


def _least_bound(problem: Problem, prices: np.ndarray) -> np.ndarray:
    """For each encoder the place [We] of the price, of [M, We], that gives the least bound."""
    bounds = _rests(problem, prices)[0][..., 0] + prices * (problem.limit - problem.encoder)
    return bounds.argmin(0)
