"""A network as the graph of its operations, so that structure is read from it, not guessed from names.

torch.export traces the network without computing: every node is an operation of torch's core library with the shape of
its result. Convolutions, linear maps and norms are identified by the parameters that they read.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.fx import Node

_WEIGHTED = ("conv2d", "linear", "batch_norm")
# Element-wise, in place as well, but not tagged so in every supported version of torch: before 2.13, no activation in
# place was, so that networks of ReLU6 would have had almost no removable channels.
_ELEMENT_WISE = frozenset(
    [
        *("dropout", "clone", "contiguous", "alias", "detach"),
        *("celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_sigmoid", "mish"),
        *("relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh", "threshold"),
    ]
)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Suppress the exporter's notes on progress and deprecations."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def operation(node: Node) -> str:
    """Name of the operation, such as `conv2d` or `relu_`; empty for inputs and outputs."""
    return node.target._opname if isinstance(node.target, torch._ops.OpOverload) else ""


def shape(node: Node) -> tuple[int, ...]:
    """Shape of the node's result."""
    return tuple(int(size) for size in node.meta["val"].shape)


class Graph:
    """Operations of a network in evaluation mode, in order.

    Args:
        network: modules have the names of its `named_modules`.
        example: argument of the traced call.
    """

    def __init__(self, network: nn.Module, example: torch.Tensor) -> None:
        training = network.training
        with quiet_exporter():
            program = torch.export.export(network.eval(), (example,))
        network.train(training)
        signature = program.graph_signature
        owners = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.nodes: list[Node] = list(program.graph.nodes)
        self._stored = {node for node in self.nodes if node.name in owners}
        named: dict[Node, str] = {}
        for node in self.nodes:
            if operation(node) in _WEIGHTED:
                weight = node.args[1]
                owner = owners.get(weight.name, "") if isinstance(weight, Node) else ""
                if owner.endswith(".weight"):
                    named[node] = owner.removesuffix(".weight")
        calls = Counter(named.values())
        self._modules = {node: name for node, name in named.items() if calls[name] == 1}

    def module(self, node: Node) -> str | None:
        """Name of a node's convolution, linear layer or batch norm; None if that is called more than once."""
        return self._modules.get(node)

    def place(self, node: Node) -> str:
        """Innermost module in which an operation is called; empty for the network itself."""
        paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
        return str(paths[-1]) if paths else ""

    def inside(self, nodes: Container[Node]) -> list[str]:
        """Outermost modules whose operations are all among the nodes, in order of use."""
        called = [node for node in self.nodes if operation(node)]
        stacks = {node: [path for path, _ in node.meta["nn_module_stack"].values()] for node in called}
        outside = {path for node, stack in stacks.items() if node not in nodes for path in stack}
        found = [next((path for path in stack if path not in outside), None) for stack in stacks.values()]
        return list(dict.fromkeys(filter(None, found)))

    def sources(self, node: Node) -> list[Node]:
        """Nodes that a node depends on, without parameters."""
        return [source for source in node.all_input_nodes if source not in self._stored]

    def element_wise(self, node: Node) -> bool:
        """Whether a node changes each element of one input independently, as activations do."""
        if len(node.all_input_nodes) != 1 or not isinstance(node.target, torch._ops.OpOverload):
            return False
        return operation(node).removesuffix("_") in _ELEMENT_WISE or torch.Tag.pointwise in node.target.tags

    def gives_tensor(self, node: Node) -> bool:
        """Whether a node returns one tensor, and not a list of them as splitting does."""
        return isinstance(node.meta.get("val"), torch.Tensor)

    def pads_zeros(self, node: Node) -> int:
        """Number of last axes that a node pads with zeros; 0 if it pads with anything else."""
        if operation(node) not in ("pad", "constant_pad_nd"):
            return 0
        sizes, rest = node.args[1], [value for value in node.args[2:] if not isinstance(value, str)]
        constant = operation(node) != "pad" or len(node.args) < 3 or node.args[2] == "constant"
        return len(sizes) // 2 if constant and not any(rest) else 0  # type: ignore[arg-type]

    def keeps_zero(self, node: Node) -> bool:
        """Whether an element-wise node maps zero to zero, by evaluating it."""
        (source,) = node.all_input_nodes
        zero = torch.zeros(1)
        arguments = [zero if argument is source else argument for argument in node.args]
        return bool(node.target(*arguments, **node.kwargs) == 0)  # type: ignore[operator]
