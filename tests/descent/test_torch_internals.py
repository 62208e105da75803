"""What Umbel knows of torch's private names, against what torch does."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd.graph import GradientEdge
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import umbel
from umbel.descent import torch_internals as internals

PLACES = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}


def nodes_below(tensor):
    """All nodes of a tensor's graph, the top first."""
    order, pending = [], [tensor.grad_fn]
    while pending:
        node = pending.pop(0)
        if node is not None and node not in order:
            order.append(node)
            pending += [child for child, _ in node.next_functions]
    return order


def layer_of(tensor):
    (layer,) = [node for node in nodes_below(tensor) if internals.is_layer(node)]
    return layer


def convolution(inputs=None):
    layer = nn.Conv2d(3, 5, (3, 2), **PLACES)
    inputs = torch.randn(4, 3, 9, 8) if inputs is None else inputs
    return layer, inputs, layer(inputs)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_a_product_with_its_input_and_its_turned_weight(bias):
    linear, inputs = nn.Linear(6, 4, bias=bias), torch.randn(3, 6)
    layer = layer_of(linear(inputs))
    assert not internals.is_convolution(layer) and internals.is_ordinary_layer(layer)
    assert torch.equal(internals.kept_input(layer), inputs)
    turned = internals.weight_node(layer)
    assert internals.is_transposition(turned) and internals.passes_weight_on(turned)
    leaf = turned.next_functions[0][0]
    assert not internals.passes_weight_on(leaf)
    assert internals.tensor_of_leaf(leaf) is linear.weight


def test_under_autocast_a_change_of_precision_lies_between_the_weight_and_its_layer():
    linear = nn.Linear(6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        layer = layer_of(linear(torch.randn(3, 6)))
    node, passed = internals.weight_node(layer), 0
    while internals.passes_weight_on(node):
        node, passed = node.next_functions[0][0], passed + 1
    assert passed == 2 and internals.tensor_of_leaf(node) is linear.weight


def test_a_convolution_says_how_it_was_computed():
    module, inputs, output = convolution()
    layer = layer_of(output)
    assert internals.is_convolution(layer) and internals.is_ordinary_layer(layer)
    assert torch.equal(internals.kept_input(layer), inputs)
    assert torch.equal(internals.kept_weight(layer), module.weight)
    assert internals.tensor_of_leaf(internals.weight_node(layer)) is module.weight
    known = internals.convolution_of(layer)
    assert {name: getattr(known, name) for name in PLACES} == PLACES
    assert (known.output_padding, known.groups, known.is_transposed) == ((0, 0), 1, False)
    assert known.positions(inputs.shape[2:], module.weight.shape[2:]) == output[0, 0].numel()
    assert torch.equal(
        torch.ops.aten.convolution(inputs, module.weight, module.bias, *known.arguments), output.detach()
    )


def test_an_input_that_no_trained_weight_needs_is_not_kept():
    linear = nn.Linear(6, 4).requires_grad_(False)
    layer = layer_of(linear(torch.randn(3, 6, requires_grad=True)))
    assert internals.kept_input(layer) is None


@pytest.mark.parametrize(
    "module", [nn.Conv2d(4, 4, 1, groups=2), nn.ConvTranspose2d(4, 4, 1)], ids=["groups", "transposed"]
)
def test_other_convolutions_are_not_ordinary(module):
    assert not internals.is_ordinary_layer(layer_of(module(torch.randn(2, 4, 3, 3))))


def test_a_scaled_product_is_not_ordinary():
    weight = torch.randn(6, 4, requires_grad=True)
    assert not internals.is_ordinary_layer(layer_of(torch.addmm(torch.zeros(4), torch.randn(3, 6), weight, alpha=2)))


def test_what_has_to_be_unpacked_first_is_not_at_hand():
    linear, inputs = nn.Linear(6, 4), torch.randn(3, 6)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        layer = layer_of(linear(inputs))
    assert not internals.is_ordinary_layer(layer)
    assert not list(internals.kept_tensors(layer))


def test_kept_tensors_are_what_a_node_holds():
    linear, inputs = nn.Linear(6, 4), torch.randn(3, 6)
    places = {tensor.data_ptr() for tensor in internals.kept_tensors(layer_of(linear(inputs)))}
    assert inputs.data_ptr() in places


def test_what_was_overwritten_is_passed_over():
    given = torch.randn(3, requires_grad=True)
    kept = given.exp()
    kept.add_(1)  # exp keeps its result
    assert not [tensor for node in nodes_below(kept) for tensor in internals.kept_tensors(node)]


def test_the_two_kinds_of_checkpoint_are_told_apart():
    linear, inputs = nn.Linear(6, 6), torch.randn(3, 6, requires_grad=True)
    for reentrant in (True, False):
        top = checkpoint(linear, inputs, use_reentrant=reentrant).sum()
        assert any(map(internals.is_reentrant_checkpoint, nodes_below(top))) == reentrant


def test_hooks_are_seen():
    linear, inputs = nn.Linear(6, 6), torch.randn(3, 6, requires_grad=True)
    assert not any(map(internals.is_module_hook, nodes_below(linear(inputs))))
    assert not internals.has_forward_hooks(linear) and not internals.has_gradient_hooks(linear.weight)
    linear.weight.register_hook(lambda gradient: None)
    assert internals.has_gradient_hooks(linear.weight) and not internals.has_gradient_hooks(linear.bias)
    handle = linear.register_forward_pre_hook(lambda *_: None)
    assert internals.has_forward_hooks(linear)
    handle.remove()
    assert not internals.has_forward_hooks(linear)
    linear.register_full_backward_hook(lambda *_: None)
    assert any(map(internals.is_module_hook, nodes_below(linear(inputs))))


def test_a_place_says_what_its_gradient_looks_like():
    _, _, output = convolution(torch.randn(4, 3, 9, 8, dtype=torch.float32))
    place = internals.place_of(GradientEdge(output.grad_fn, output.output_nr))
    assert place == internals.Place(output.shape, torch.float32, torch.device("cpu"), False)


def test_parts_of_a_module_are_its_own():
    norm = nn.BatchNorm1d(3)
    outer = nn.Sequential(norm)
    assert isinstance(norm, internals.BatchNorm) and isinstance(nn.InstanceNorm2d(3), internals.InstanceNorm)
    assert not internals.own_buffers(outer) and not internals.own_parameters(outer)
    assert internals.own_buffers(norm)["running_mean"] is norm.running_mean
    assert internals.own_parameters(norm)["weight"] is norm.weight
    internals.own_buffers(norm)["running_mean"] = torch.ones(3)
    assert torch.equal(norm.running_mean, torch.ones(3))


def test_compiled_modules_are_seen_and_their_call_can_be_exchanged():
    plain, compiled = nn.Linear(2, 2), nn.Linear(2, 2)
    compiled.compile(backend="eager")
    assert internals.is_compiled(compiled) and internals.is_compiled(torch.compile(plain, backend="eager"))
    assert not internals.is_compiled(plain) and internals.compiled_call(plain) is None
    internals.set_compiled_call(compiled, lambda inputs: "exchanged")
    assert compiled(torch.zeros(1, 2)) == "exchanged"


def test_the_compiler_can_be_told_to_keep_what_it_saved():
    import torch._functorch.config as settings

    with settings.patch(donated_buffer=True):  # monkeypatch would leave the setting deleted for the tests after it
        internals.keep_for_several_walks()
        assert settings.donated_buffer is False


def test_trees_of_tensors_are_mapped():
    assert internals.tree_map(lambda part: part + 1, {"a": [1, (2,)]}) == {"a": [2, (3,)]}


def test_functional_layers_are_layers_too():
    weight = torch.randn(5, 3, 2, 2, requires_grad=True)
    assert internals.is_convolution(layer_of(functional.conv2d(torch.randn(1, 3, 4, 4), weight)))


def private_names(tree: ast.AST) -> set[str]:
    """Attributes with an underscore that are not the file's own, names of nodes, imports of private names."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            mine = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names |= set() if mine else {node.attr}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_name = node.value.isidentifier()
            names |= {node.value} if is_name and ("Backward" in node.value or node.value.startswith("_")) else set()
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch."):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            names |= {part for part in parts if part.startswith("_")}
    return names - own


def test_no_other_file_of_the_descents_knows_private_names_of_torch():
    of_torchjd = {"_combine", "_init_optim_problem", "_MatrixWeighting", "_Composition"}
    public = {"_load_from_state_dict", "_"}  # an extension point of nn.Module; a separator
    folder = Path(umbel.__path__[0]) / "descent"
    for path in sorted(folder.rglob("*.py")):
        known = private_names(ast.parse(path.read_text()))
        if path.name == "torch_internals.py":
            assert known
        else:
            assert not known - of_torchjd - public, f"{path.name} knows {sorted(known - of_torchjd - public)}"


def test_the_version_of_a_tensor_counts_writes():
    tensor = torch.zeros(2)
    before = internals.version_of(tensor)
    assert (tensor + 1).sum() == 2 and internals.version_of(tensor) == before
    tensor.add_(1)
    assert internals.version_of(tensor) != before
