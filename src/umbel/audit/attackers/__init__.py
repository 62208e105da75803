"""Ways to infer a task from features; `umbel.audit.infer` takes the best of them."""

from umbel.audit.attackers.convolutional import Convolutional
from umbel.audit.attackers.linear import Linear
from umbel.audit.attackers.mlp import MLP
from umbel.audit.attackers.neighbours import Neighbours
from umbel.audit.attackers.trees import Trees
from umbel.audit.problem import Attacker

ATTACKERS: dict[str, Attacker] = {
    attacker.name: attacker for attacker in (Linear(), Neighbours(), Trees(), MLP(), Convolutional())
}
"""By name, in the order of `umbel.audit.settings.ATTACKER_NAMES`."""
