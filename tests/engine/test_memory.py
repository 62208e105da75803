"""The peak of a piece of work: what was alive at once, not what was allocated in all."""

import torch

from umbel.engine import peak_bytes

MEGA = 1 << 20


def _floats(mega: int) -> torch.Tensor:
    return torch.ones(mega * MEGA // 4)


def test_what_is_alive_at_once_counts_not_the_sum():
    def work():
        for _ in range(5):
            first = _floats(2)
            del first

    assert 2 * MEGA <= peak_bytes(work) < 2.1 * MEGA


def test_two_at_once_add_up():
    def work():
        first, second = _floats(2), _floats(3)
        del first, second

    assert 5 * MEGA <= peak_bytes(work) < 5.1 * MEGA


def test_what_lived_before_does_not_count():
    before = _floats(4)

    def work():
        return before.mul_(2).sum()

    assert peak_bytes(work) < MEGA


def test_the_graph_of_a_backward_pass_is_counted():
    weight = torch.ones(MEGA // 4, requires_grad=True)

    def work():
        value = weight
        for _ in range(6):
            value = value.sin()
        value.sum().backward()

    assert peak_bytes(work) >= 6 * MEGA  # each sine keeps what went in: five of them new, and their gradients
