"""PyTorch's arithmetic and sums, in terms of few elementwise operations, reductions and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from inference.lanes import views
from inference.lanes.factored import factored
from inference.lanes.nodes import (
    Node,
    Shape,
    Unsupported,
    as_node,
    axes_of,
    axis_of,
    constant,
    expanded,
    literal,
    point,
    shrunk,
)
from inference.lanes.views import lookup, op_expand, op_select, op_unsqueeze, op_view, short

# name in ATen -> elementwise operation of `emit`; a mask comes out of those in MASKS
POINT = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "neg": "neg", "exp": "exp", "log": "log", "log1p": "log1p",
    "expm1": "expm1", "sigmoid": "sigmoid", "tanh": "tanh", "sqrt": "sqrt", "abs": "abs", "lgamma": "lgamma",
    "digamma": "digamma", "reciprocal": "reciprocal", "maximum": "largest", "minimum": "smallest", "floor": "floor",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "where": "where", "isnan": "is_nan",
    "logical_and": "and", "bitwise_and": "and", "logical_or": "or", "bitwise_or": "or", "logical_not": "not",
    "bitwise_not": "not", "isinf": "is_inf", "sign": "sign", "sgn": "sign",
}  # fmt: skip
SAME = {"alias", "detach", "clone", "lift_fresh_copy", "lift_fresh", "contiguous"}


# elementwise operations that are made of others


def op_copy(x: Node, source: Node, *_: Any) -> Node:
    return expanded(source, x.shape)


def op_fill(x: Node, value: Any) -> Node:
    return expanded(as_node(value), x.shape)


def op_like(value: float) -> Callable[..., Node]:
    return lambda x, *_, **__: literal(value, x.shape)


def op_new(value: float) -> Callable[..., Node]:
    return lambda x, sizes, **_: literal(value, tuple(sizes))


def op_new_full(x: Node, sizes: Sequence[int], value: float, **_: Any) -> Node:
    return literal(float(value), tuple(sizes))


def op_softplus(x: Node, beta: float = 1, threshold: float = 20) -> Node:
    scaled = point("mul", x, literal(float(beta)))
    soft = point("div", point("log1p", point("exp", scaled)), literal(float(beta)))
    return point("where", point(">", scaled, literal(float(threshold))), x, soft)


def op_softplus_backward(upstream: Node, x: Node, beta: float, threshold: float) -> Node:
    scaled = point("mul", x, literal(float(beta)))
    slope = point("where", point(">", scaled, literal(float(threshold))), literal(1.0), point("sigmoid", scaled))
    return point("mul", upstream, slope)


def log_of_sigmoid(x: Node) -> Node:
    below = point("smallest", x, literal(0.0))
    return point("sub", below, point("log1p", point("exp", point("neg", point("abs", x)))))


def op_log_sigmoid(x: Node) -> tuple[Node, Node]:
    return log_of_sigmoid(x), literal(0.0)


def op_log_sigmoid_backward(upstream: Node, x: Node, buffer: Node) -> Node:
    return point("mul", upstream, point("sigmoid", point("neg", x)))


def op_cross_entropy(x: Node, y: Node, weight: Any = None, positive: Any = None, reduction: int = 1) -> Node:
    if weight is not None or positive is not None:
        raise Unsupported("binary_cross_entropy_with_logits with weights")
    losses = point("sub", point("mul", point("sub", literal(1.0), y), x), log_of_sigmoid(x))
    return (losses, op_mean(losses), op_sum(losses))[reduction]


def op_sigmoid_backward(upstream: Node, y: Node) -> Node:
    return point("mul", upstream, point("mul", y, point("sub", literal(1.0), y)))


def op_tanh_backward(upstream: Node, y: Node) -> Node:
    return point("mul", upstream, point("sub", literal(1.0), point("mul", y, y)))


def op_threshold_backward(upstream: Node, x: Node, threshold: float) -> Node:
    return point("where", point("<=", x, literal(float(threshold))), literal(0.0), upstream)


def op_xlogy(a: Any, b: Any) -> Node:
    a, b = as_node(a), as_node(b)
    found = point("where", point("==", a, literal(0.0)), literal(0.0), point("mul", a, point("log", b)))
    return point("where", point("is_nan", b), literal(math.nan), found)


def op_logaddexp(a: Node, b: Node) -> Node:
    high = point("largest", a, b)
    gap = point("neg", point("abs", point("sub", a, b)))
    same = point("and", point("==", a, b), point("is_inf", a))
    return point("where", same, a, point("add", high, point("log1p", point("exp", gap))))


def op_polygamma(order: int, x: Node) -> Node:
    if order != 0:
        raise Unsupported(f"polygamma of order {order}")
    return point("digamma", x)


def op_clamp_max(x: Node, high: Any) -> Node:
    return point("smallest", x, as_node(high))


def op_slice_backward(upstream: Node, sizes: Sequence[int], dim: int, start: int, end: int, step: int) -> Node:
    return views.op_slice_scatter(literal(0.0, tuple(sizes)), upstream, dim, start, end, step)


def op_select_backward(upstream: Node, sizes: Sequence[int], dim: int, index: int) -> Node:
    return views.op_select_scatter(literal(0.0, tuple(sizes)), upstream, dim, index)


def op_triangle(lower: bool) -> Callable[..., Node]:
    def cut(x: Node, diagonal: int = 0) -> Node:
        ones = torch.ones(x.shape[-2:], dtype=torch.bool)
        return point("where", constant(ones.tril(diagonal) if lower else ones.triu(diagonal)), x, literal(0.0))

    return cut


def op_rsub(x: Node, other: Any, alpha: float = 1) -> Node:
    return point("sub", as_node(other), point("mul", x, as_node(alpha)))


def op_pow(x: Any, exponent: Any) -> Node:
    base, power = as_node(x), as_node(exponent)
    number = power.value if power.kind == "literal" else None
    if number is not None and number == int(number) and abs(number) <= 8:
        if number == 0:
            return literal(1.0, base.shape)
        result = base
        for _ in range(int(abs(number)) - 1):
            result = point("mul", result, base)
        return result if number > 0 else point("reciprocal", result)
    if number in (0.5, -0.5):
        root = point("sqrt", base)
        return root if number == 0.5 else point("reciprocal", root)
    return point("exp", point("mul", power, point("log", base)))


def op_clamp(x: Node, low: Any = None, high: Any = None) -> Node:
    x = x if low is None else point("largest", x, as_node(low))
    return x if high is None else point("smallest", x, as_node(high))


def op_square(x: Node) -> Node:
    return point("mul", x, x)


def op_rsqrt(x: Node) -> Node:
    return point("reciprocal", point("sqrt", x))


def op_relu(x: Node) -> Node:
    return point("largest", x, literal(0.0))


def op_to(x: Node, *args: Any, dtype: torch.dtype | None = None, **_: Any) -> Node:
    kind = dtype or next((a for a in args if isinstance(a, torch.dtype)), None)
    if kind is torch.bool and not x.boolean:
        return point("!=", x, literal(0.0))
    if kind is not None and not kind.is_floating_point and kind is not torch.bool and not x.boolean:
        raise Unsupported("whole numbers that depend on latent values")
    return point("where", x, literal(1.0), literal(0.0)) if x.boolean and kind is not torch.bool else x


def op_masked_fill(x: Node, mask: Node, value: Any) -> Node:
    return point("where", mask, as_node(value), x)


def op_full_like(x: Node, value: float | bool, **_: Any) -> Node:
    return literal(value if isinstance(value, bool) else float(value), x.shape)


# sums and their like


def op_max(x: Node, dim: int | None = None, keep: bool = False) -> Any:
    """The largest element; along an axis, with its first place."""
    if dim is None:
        return op_amax(x)
    axis = axis_of(dim, len(x.shape))
    x = number(x)
    best, at = op_select(x, axis, 0), literal(0.0)
    for position in range(1, short(x.shape[axis])):
        element = op_select(x, axis, position)
        higher = point(">", element, best)
        best, at = point("where", higher, element, best), point("where", higher, literal(float(position)), at)
    at = expanded(at, best.shape)
    return (op_unsqueeze(best, axis), op_unsqueeze(at, axis)) if keep else (best, at)


def number(x: Node) -> Node:
    return point("where", x, literal(1.0), literal(0.0)) if x.boolean else x


def reduced(work: str, x: Node, axes: tuple[int, ...], keep: bool) -> Node:
    x = number(x)
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    if x.size == 0:
        raise Unsupported("a reduction of nothing")
    if work == "add" and (once := factored(x, axes)) is not None:
        x = once
    count = math.prod(n for a, n in enumerate(x.shape) if a in axes and not x.varying[a])
    node = shrunk(x, small(x))
    summed = tuple(a for a in axes if node.shape[a] > 1)
    kept = tuple(n for a, n in enumerate(node.shape) if a not in summed)
    if summed:
        node = Node("reduce", kept, (node,), (work, summed))
    # elements along an axis without variation are one and the same: their sum is a product
    node = op_view(node, [1 if a in axes else n for a, n in enumerate(small(x))])
    if work == "add" and count != 1:
        node = point("mul", node, literal(float(count)))
    if work == "mul" and count != 1:
        node = op_pow(node, literal(float(count)))
    node = expanded(node, shape)
    return node if keep else op_view(node, [n for a, n in enumerate(shape) if a not in axes])


def small(x: Node) -> Shape:
    """The shape without the axes along which x does not vary."""
    return tuple(n if v else 1 for n, v in zip(x.shape, x.varying, strict=True))


def op_sum(x: Node, dims: Any = None, keep: bool = False, **_: Any) -> Node:
    return reduced("add", x, axes_of(dims, len(x.shape)), keep)


def op_mean(x: Node, dims: Any = None, keep: bool = False, **_: Any) -> Node:
    axes = axes_of(dims, len(x.shape))
    return point("div", op_sum(x, dims, keep), literal(float(math.prod(x.shape[a] for a in axes))))


def op_amax(x: Node, dims: Any = None, keep: bool = False) -> Node:
    return reduced("largest", x, axes_of(dims, len(x.shape)), keep)


def op_amin(x: Node, dims: Any = None, keep: bool = False) -> Node:
    return reduced("smallest", x, axes_of(dims, len(x.shape)), keep)


def op_prod(x: Node, dims: Any = None, keep: bool = False, **_: Any) -> Node:
    return reduced("mul", x, axes_of(dims, len(x.shape)), keep)


def op_log_softmax(x: Node, dim: int, half_to_float: bool) -> Node:
    shifted = point("sub", x, op_amax(x, dim, True))
    return point("sub", shifted, point("log", op_sum(point("exp", shifted), dim, True)))


def op_softmax(x: Node, dim: int, half_to_float: bool) -> Node:
    raised = point("exp", point("sub", x, op_amax(x, dim, True)))
    return point("div", raised, op_sum(raised, dim, True))


def op_hidden_markov(start: Node, transition: Node, emission: Node) -> tuple[Node, ...]:
    """The four results of `models.distributions.hidden_markov.hmm_parts`, parts of one operation."""
    whole = Node("operation", (), (start, transition, emission), "hidden_markov")
    shapes = (emission.shape[:1], start.shape, transition.shape, emission.shape)
    return tuple(Node("part", shape, (whole,), i) for i, shape in enumerate(shapes))


def op_log_softmax_backward(upstream: Node, output: Node, dim: int, _: Any) -> Node:
    return point("sub", upstream, point("mul", point("exp", output), op_sum(upstream, dim, True)))


def op_softmax_backward(upstream: Node, output: Node, dim: int, _: Any) -> Node:
    weighted = point("mul", upstream, output)
    return point("sub", weighted, point("mul", output, op_sum(weighted, dim, True)))


def op_logsumexp(x: Node, dims: Any, keep: bool = False) -> Node:
    peak = op_amax(x, dims, True)
    shift = point("where", point("is_inf", peak), literal(0.0), peak)
    total = point("log", op_sum(point("exp", point("sub", x, shift)), dims, True))
    found = point("add", total, shift)
    return found if keep else views.op_squeeze(found, list(axes_of(dims, len(x.shape))))


def op_index_add(x: Node, dim: int, index: Node, source: Node, alpha: float = 1) -> Node:
    if len(x.shape) != 1 or alpha != 1:
        raise Unsupported("index_add along one of several axes")
    return op_index_put(x, [index], source, True)


def op_mm(a: Node, b: Node) -> Node:
    return op_sum(point("mul", op_unsqueeze(a, 2), op_unsqueeze(b, 0)), [1])


def op_bmm(a: Node, b: Node) -> Node:
    return op_sum(point("mul", op_unsqueeze(a, 3), op_unsqueeze(b, 1)), [2])


def op_mv(a: Node, b: Node) -> Node:
    return op_sum(point("mul", a, op_unsqueeze(b, 0)), [1])


def op_dot(a: Node, b: Node) -> Node:
    return op_sum(point("mul", a, b), [0])


def op_cumsum(x: Node, dim: int, **_: Any) -> Node:
    return Node("scan", x.shape, (number(x),), ("add", axis_of(dim, len(x.shape))))


def op_cumprod(x: Node, dim: int, **_: Any) -> Node:
    return Node("scan", x.shape, (number(x),), ("mul", axis_of(dim, len(x.shape))))


def op_index_put(x: Node, indices: Sequence[Node | None], values: Node, accumulate: bool = False) -> Node:
    if not accumulate or any(index is None for index in indices) or len(indices) != len(x.shape):
        raise Unsupported("index_put that does not add, or with whole axes")
    places = [lookup(index, x.shape[axis]) for axis, index in enumerate(indices) if index is not None]
    common = tuple(np.broadcast_shapes(*(index.shape for index in places)))
    node = Node("scatter", x.shape, (x, expanded(values, common)), [op_expand(index, common) for index in places])
    node.varying = (True,) * len(x.shape)
    return node


OPERATIONS: dict[str, Callable[..., Any]] = {
    "expand": views.op_expand, "view": views.op_view, "_unsafe_view": views.op_view, "reshape": views.op_view,
    "permute": views.op_permute, "t": views.op_t, "transpose": views.op_transpose, "unsqueeze": views.op_unsqueeze,
    "squeeze": views.op_squeeze, "slice": views.op_slice, "select": views.op_select, "flip": views.op_flip,
    "index": views.op_index, "index_select": views.op_index_select, "gather": views.op_gather, "cat": views.op_cat,
    "stack": views.op_stack, "constant_pad_nd": views.op_pad, "slice_scatter": views.op_slice_scatter,
    "select_scatter": views.op_select_scatter, "rsub": op_rsub, "pow": op_pow, "clamp": op_clamp,
    "clamp_min": op_clamp, "square": op_square, "rsqrt": op_rsqrt, "relu": op_relu, "_to_copy": op_to,
    "convert_element_type": op_to, "masked_fill": op_masked_fill, "full_like": op_full_like, "sum": op_sum,
    "mean": op_mean, "amax": op_amax, "amin": op_amin, "prod": op_prod, "mm": op_mm, "bmm": op_bmm, "mv": op_mv,
    "dot": op_dot, "cumsum": op_cumsum, "max": op_max, "scatter": views.op_scatter, "cumprod": op_cumprod,
    "_log_softmax": op_log_softmax, "_softmax": op_softmax, "hmm_parts": op_hidden_markov, "index_put": op_index_put,
    "copy": op_copy, "fill": op_fill, "zero": op_like(0.0), "roll": views.op_roll, "zeros_like": op_like(0.0),
    "ones_like": op_like(1.0),
    "new_zeros": op_new(0.0), "new_ones": op_new(1.0),
    "new_full": op_new_full, "softplus": op_softplus, "softplus_backward": op_softplus_backward,
    "log_sigmoid_forward": op_log_sigmoid, "log_sigmoid_backward": op_log_sigmoid_backward,
    "binary_cross_entropy_with_logits": op_cross_entropy, "sigmoid_backward": op_sigmoid_backward,
    "tanh_backward": op_tanh_backward, "threshold_backward": op_threshold_backward, "xlogy": op_xlogy,
    "logaddexp": op_logaddexp, "polygamma": op_polygamma, "clamp_max": op_clamp_max,
    "slice_backward": op_slice_backward, "select_backward": op_select_backward, "tril": op_triangle(True),
    "triu": op_triangle(False), "_log_softmax_backward_data": op_log_softmax_backward,
    "_softmax_backward_data": op_softmax_backward, "logsumexp": op_logsumexp, "index_add": op_index_add,
}  # fmt: skip


def translated(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The node, or nodes, of an operation of ATen by its name; Unsupported where there is none."""
    if name in OPERATIONS:
        return OPERATIONS[name](*args, **kwargs)
    if name in SAME:
        return args[0]
    if name in POINT:
        alpha = kwargs.get("alpha", args[2] if name in ("add", "sub") and len(args) > 2 else 1)
        if name in ("add", "sub") and alpha != 1:
            args = (args[0], point("mul", as_node(args[1]), as_node(alpha)))
        if name == "div" and kwargs.get("rounding_mode"):
            raise Unsupported("div with a rounding mode")
        count = 3 if name == "where" else 2
        return point(POINT[name], *(as_node(a) for a in args[:count]))
    raise Unsupported(name)
