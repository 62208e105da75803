"""What is written on the command line inside one flag."""

from importlib.util import find_spec

import pytest

from umbel.core import UmbelError
from umbel.recipes import ELEVEN, RECIPES, Method, Recipe
from umbel.recipes.settings import ControllableModelSettings, names, options


@pytest.mark.parametrize(
    ("text", "parts"),
    [("", ()), (" , ,", ()), ("a", ("a",)), ("a, b c ,d,", ("a", "b c", "d"))],
)
def test_names(text, parts):
    assert names(text) == parts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-2", -2),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("16/32/64", (16, 32, 64)),
        ("a/0.5/true", ("a", 0.5, True)),
        ("group", "group"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("a=b", "a=b"),
        ("a/", ("a",)),
    ],
)
def test_values_of_options(text, value):
    found = options(f"x={text}", "--flag")["x"]
    assert found == value
    assert type(found) is type(value)


def test_several_options():
    assert options(" widths = 4/8 , norm=group,", "--flag") == {"widths": (4, 8), "norm": "group"}
    assert options("", "--flag") == {}


@pytest.mark.parametrize("text", ["widths", "=3", "a=1,b"])
def test_an_option_without_a_name_or_value_is_shown_with_its_flag(text):
    with pytest.raises(UmbelError, match=r"--encoder-options: .* is not of the form name=value"):
        options(text, "--encoder-options")


def test_options_run_no_code():
    """Text stays text, whatever it looks like."""
    assert options("x=__import__('os').getcwd()", "--flag") == {"x": "__import__('os').getcwd()"}


def test_the_eleven_methods():
    assert len({method.key for method in ELEVEN}) == 11
    assert all(isinstance(method, Method) for method in ELEVEN)
    for method in ELEVEN:  # what is said to work has a study of that name, and a file
        works = method.key in RECIPES
        assert method.implemented == works
        parts = ("methods", "descent")  # a method that is a way to descend is at home there
        assert any(find_spec(f"umbel.{part}.{method.key}") for part in parts) == works
    assert all(method.title and method.paper for method in ELEVEN)


def test_each_recipe_has_its_name_and_two_kinds_of_settings():
    for name, recipe in RECIPES.items():
        assert isinstance(recipe, Recipe)
        assert recipe.name == name
        assert isinstance(recipe.quick, recipe.settings)
        assert recipe.settings() != recipe.quick


@pytest.mark.parametrize("widths", ["1/0.5", "0.5", "0/1", "a/1", "0.5/0.5/1"])
def test_widths_that_cannot_be_are_refused(widths):
    with pytest.raises(UmbelError, match="--widths"):
        ControllableModelSettings(widths=widths)


def test_other_settings_of_networks_that_cannot_be_are_refused():
    with pytest.raises(UmbelError, match="hidden is 0"):
        ControllableModelSettings(hidden=0)
    with pytest.raises(UmbelError, match="strength is -1"):
        ControllableModelSettings(strength=-1)
    assert ControllableModelSettings().grid == []
    assert ControllableModelSettings(widths="0.25/1").grid == [0.25, 1.0]
