"""Who is paired with whom: planted cases, missing attributes, and what the losses are by hand."""

import pytest
import torch

from umbel.core import UmbelError
from umbel.losses import MinedPairs, attribute_mining, group_triplets, mined_pairs

NONE = torch.zeros(5, 0, dtype=torch.long)


def unit(*degrees):
    radians = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
    return torch.stack([radians.cos(), radians.sin()], 1)


def pairs_of(embeddings, classes, attributes):
    pairs = mined_pairs(embeddings, torch.tensor(classes), torch.as_tensor(attributes))
    return {
        anchor: (positive, negative) for anchor, positive, negative in zip(*(x.tolist() for x in pairs), strict=True)
    }


def test_planted_pairs_are_chosen_by_attributes_where_all_are_equally_far():
    """Person, camera. The attack on person 7 with camera 1 is the hard one for its live picture."""
    attributes = [[7, 1], [7, 1], [8, 2], [7, 2], [9, 3]]
    chosen = pairs_of(torch.ones(5, 3), [0, 1, 0, 0, 1], attributes)
    assert chosen[0] == (2, 1), "the attack that shares all, the live one that shares nothing"
    assert chosen[1] == (4, 0)


def test_distance_decides_between_equals():
    """q = s - d: the nearest of other classes, the farthest of the same one."""
    embeddings = unit(0, 10, 40, 20, 90)
    chosen = pairs_of(embeddings, [0, 0, 0, 1, 1], NONE)
    assert chosen[0] == (2, 3)
    assert chosen[3] == (4, 1), "1 is 10 degrees away, 2 is 20"


def test_distance_outweighs_a_small_difference_of_attributes():
    """A negative that shares half but is at the opposite side loses to a near one that shares nothing."""
    embeddings = unit(0, 5, 180, 5)
    chosen = pairs_of(embeddings, [0, 0, 1, 1], [[1, 1], [1, 1], [1, 2], [3, 4]])
    assert chosen[0][1] == 3


def test_missing_attributes_say_nothing():
    """Of attributes known of both, 2 shares all with 0; -1 beside -1 is no agreement."""
    classes = [0, 0, 1, 1]
    chosen = pairs_of(torch.ones(4, 2), classes, [[1, -1], [2, 3], [1, 5], [2, -1]])
    assert chosen[0][1] == 2
    assert chosen[1][1] == 3
    unknown = [[-1, -1], [1, 1], [2, 2], [1, 2]]
    assert 0 in pairs_of(torch.ones(4, 2), classes, unknown), "a sample without attributes has pairs, too"


def test_samples_of_unknown_class_take_no_part():
    embeddings, attributes = torch.randn(5, 3), torch.zeros(5, 1, dtype=torch.long)
    classes = torch.tensor([0, -1, 0, 1, -1])
    pairs = mined_pairs(embeddings, classes, attributes)
    assert isinstance(pairs, MinedPairs)
    assert pairs.anchors.tolist() == [0, 2], "3 has no other of its class"
    assert set(pairs.positives.tolist() + pairs.negatives.tolist()) == {0, 2, 3}


def test_the_loss_is_the_mean_over_anchors_that_have_both():
    embeddings = unit(0, 10, 40, 20, 90).requires_grad_()
    classes = torch.tensor([0, 0, 0, 1, -1])
    pairs = mined_pairs(embeddings, classes, NONE)
    assert pairs.anchors.tolist() == [0, 1, 2]
    e = embeddings.detach()
    each = [
        ((e[a] - e[p]).square().sum() - (e[a] - e[n]).square().sum() + 0.3).clamp(min=0)
        for a, p, n in zip(*(x.tolist() for x in pairs), strict=True)
    ]
    loss = attribute_mining(embeddings, classes, NONE, margin=0.3)
    torch.testing.assert_close(loss, torch.stack(each).mean())
    loss.backward()
    assert embeddings.grad[4].abs().sum() == 0
    assert embeddings.grad[3].abs().sum() > 0


@pytest.mark.parametrize("classes", [[0, 0, 0, 0, 0], [0, 1, 2, 3, 4], [-1] * 5])
def test_without_a_pair_the_loss_is_0_and_so_is_its_gradient(classes):
    for loss in (attribute_mining, lambda e, c, _: group_triplets(e, c)):
        embeddings = torch.randn(5, 3, requires_grad=True)
        value = loss(embeddings, torch.tensor(classes), NONE)
        value.backward()
        assert value == 0
        assert torch.equal(embeddings.grad, torch.zeros(5, 3))


def test_an_empty_batch_has_no_pairs():
    empty = torch.zeros(0, dtype=torch.long)
    assert attribute_mining(torch.zeros(0, 3), empty, empty.view(0, 1)) == 0


def test_triplets_of_groups_are_those_of_an_explicit_loop():
    embeddings, groups = torch.randn(7, 3), torch.tensor([0, 0, 1, 1, 2, -1, 0])
    values = []
    for a in range(7):
        for p in range(7):
            for n in range(7):
                known = min(groups[a], groups[p], groups[n]) >= 0
                if known and a != p and groups[a] == groups[p] != groups[n]:
                    near, far = (embeddings[a] - embeddings[p]).norm(), (embeddings[a] - embeddings[n]).norm()
                    values.append(near - far + 0.1)
    violated = [value for value in values if value > 0]
    torch.testing.assert_close(group_triplets(embeddings, groups, 0.1), torch.stack(violated).mean())


def test_live_of_all_domains_is_gathered_and_attacks_of_each_stay_apart():
    """The asymmetry: live samples of two domains attract each other, attacks of two domains push each other away."""
    embeddings = torch.tensor([[0.0], [1.0], [4.0], [4.5], [5.0], [5.5]], requires_grad=True)
    groups = torch.tensor([0, 0, 1, 1, 2, 2])  # live, live, attacks of domains 0 and 1
    group_triplets(embeddings, groups, 1.0).backward()
    step = -embeddings.grad.squeeze()
    assert step[3] < 0 < step[4], "attacks of different domains, next to each other, part"
    embeddings = torch.tensor([[0.0], [3.0], [4.0], [4.0]], requires_grad=True)
    group_triplets(embeddings, torch.tensor([0, 0, 1, 2]), 0.1).backward()
    assert -embeddings.grad[1] < 0, "a live sample of a strange domain goes to the others, away from attacks"


def test_what_cannot_be_is_refused():
    embeddings, classes = torch.randn(5, 3), torch.zeros(5, dtype=torch.long)
    for call, message in (
        (lambda: attribute_mining(embeddings, classes, NONE, margin=-1.0), "margin is -1; give at least 0"),
        (lambda: group_triplets(embeddings, classes, float("nan")), "margin is nan"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()
