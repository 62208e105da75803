"""Arms of a comparison that name a descent, with options or without."""

import pytest

from umbel.core import UmbelError
from umbel.recipes.bench import about_descent, descent_of, joint_key


def test_an_arm_may_name_a_descent_with_options():
    descent = descent_of("upgrad:engine=sketched:directions=8")
    assert (descent.directions, type(descent.aggregator).__name__) == (8, "ProjectedRows")
    assert about_descent("upgrad:engine=sketched").endswith("; engine=sketched")
    assert about_descent("upgrad") in about_descent("upgrad:engine=sketched")


def test_a_wrong_option_is_named_and_so_is_what_is_none():
    with pytest.raises(UmbelError, match="engines"):
        descent_of("upgrad:engines=sketched")
    with pytest.raises(UmbelError, match="sketched"):
        descent_of("upgrad:engine=sketch")
    with pytest.raises(UmbelError, match="name=value"):
        descent_of("upgrad:sketched")


def test_the_folder_of_an_arm_can_be_made_anywhere():
    assert not set(':*?"<>|') & set(joint_key("upgrad:engine=sketched", 0))
