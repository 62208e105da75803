import torch

from umbel.core.seeding import own_randomness, seed_default

CPU = torch.device("cpu")


def test_inside_numbers_depend_on_the_seed_and_outside_nothing_has_moved():
    seed_default(5, CPU)
    wanted = torch.rand(4)
    seed_default(5, CPU)
    drawn = []
    for seed in (0, 0, 1):
        with own_randomness(seed, CPU):
            drawn.append(torch.rand(4))
    assert torch.equal(torch.rand(4), wanted)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
