"""Machine code of traced graphs: elementary functions against SciPy, every operation against PyTorch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from llvmlite import binding as llvm
from llvmlite import ir
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from inference.lanes import reader, recorder
from inference.lanes.kernel import Kernel, Unsupported
from inference.lanes.vector import WORD, Vectors
from models.distributions.hidden_markov import hmm_log_likelihood

LANES = 4


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def applied(name: str, x: np.ndarray) -> np.ndarray:
    """A function of `Vectors` at every element of x."""
    module = ir.Module()
    vectors = Vectors(module, LANES)
    pointer = vectors.numbers.as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, WORD]), "loop")
    entry, body, end = (function.append_basic_block(block) for block in ("entry", "body", "end"))
    b = vectors.builder
    b.position_at_end(entry)
    b.branch(body)
    b.position_at_end(body)
    i = b.phi(WORD)
    i.add_incoming(ir.Constant(WORD, 0), entry)
    value = getattr(vectors, name)(b.load(b.gep(function.args[0], [i]), align=8))
    b.store(value, b.gep(function.args[1], [i]), align=8)
    following = b.add(i, ir.Constant(WORD, 1))
    i.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, function.args[2]), body, end)
    b.position_at_end(end)
    b.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(engine.get_function_address("loop"))
    x = np.concatenate([x, np.zeros(-len(x) % LANES)])
    result = np.empty_like(x)
    call(x.ctypes.data, result.ctypes.data, len(x) // LANES)
    return result


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 1e-310, 5e-324])
RNG = np.random.default_rng(0)
WIDE = np.exp(RNG.uniform(-700, 700, 4000))
FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, float]] = {
    "exp": (np.exp, np.r_[RNG.uniform(-708, 709.7, 4000), RNG.normal(size=4000), 709.9, -745.2, -1e9, 1e9], 6e-16),
    "log": (np.log, np.r_[WIDE, 1 + 1e-3 * RNG.normal(size=4000), -1.0], 3e-16),
    "log1p": (np.log1p, np.r_[np.exp(RNG.uniform(-40, 40, 4000)), RNG.uniform(-1, 1, 4000), -1.0, -2.0], 5e-16),
    "log1p_of_positive": (np.log1p, np.exp(RNG.uniform(-740, 709, 4000)), 5e-16),
    "expm1": (np.expm1, np.r_[RNG.uniform(-40, 700, 4000), 0.5 * RNG.normal(size=4000)], 1e-15),
    "sigmoid": (scipy.special.expit, 20 * RNG.normal(size=4000), 1e-15),
    "tanh": (np.tanh, 2 * RNG.normal(size=4000), 1e-15),
    "lgamma": (scipy.special.gammaln, np.exp(RNG.uniform(-5, 20, 4000)), 1e-14),
    "digamma": (scipy.special.digamma, np.exp(RNG.uniform(-5, 20, 4000)), 1e-14),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_exact_to_the_last_digits(name):
    function, x, tolerance = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        expected = function(x)
    found = applied(name, x)[: len(x)]
    normal = np.isfinite(expected) & (np.abs(expected) > 2.3e-308)
    assert normal.mean() > 0.9
    # near their zeros lgamma and digamma keep digits of the order of their terms, which are about one
    scale = np.maximum(np.abs(expected), 1.0 if name in ("lgamma", "digamma") else 0.0)
    assert (np.abs(found[normal] - expected[normal]) / scale[normal]).max() < tolerance
    # infinities and not-a-number are the same; what has fewer digits than a normal number may be nought
    small = np.isfinite(expected) & ~normal
    assert np.abs(found[small]).max(initial=0) <= 2.3e-308
    np.testing.assert_array_equal(found[~np.isfinite(expected)], expected[~np.isfinite(expected)])


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "expm1", "sigmoid", "tanh"])
def test_elementary_functions_at_the_borders(name):
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name][0](SPECIAL)
    np.testing.assert_allclose(applied(name, SPECIAL), expected, rtol=1e-14, atol=1e-320)


def matrix(*shape: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def whole(high: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).integers(0, high, shape))


def linear(z: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return -torch.nn.functional.binary_cross_entropy_with_logits(x @ z[1:] + z[0], y, reduction="sum")


def two_matrices(z: Tensor, x: Tensor) -> Tensor:
    logits = x @ z.reshape(x.shape[1], -1)
    return torch.log_softmax(logits, -1)[:, 1].sum() - 0.5 * (z**2).sum()


def grouped(z: Tensor, group: Tensor, y: Tensor) -> Tensor:
    scale = z[-1].exp()
    return -0.5 * ((y - scale * z[group]) ** 2).sum() - 0.5 * (z**2).sum()


def pairs(z: Tensor, first: Tensor, second: Tensor, y: Tensor) -> Tensor:
    table = z.reshape(5, 4)
    return (torch.sigmoid(table[first, second]) * y).sum() - (z**2).sum()


def mixture(z: Tensor, y: Tensor) -> Tensor:
    terms = torch.log_softmax(z[:3], 0) - 0.5 * ((y[:, None] - z[3:6]) / z[6:9].exp()) ** 2 - z[6:9]
    return torch.logsumexp(terms, -1).sum()


def walk(z: Tensor, y: Tensor) -> Tensor:
    return -0.5 * ((y - torch.cumsum(z, 0)) ** 2).sum() - 0.5 * (z[1:] - z[:-1]).square().sum()


def simplex(z: Tensor) -> Tensor:
    p = torch.distributions.biject_to(torch.distributions.constraints.simplex)(z)
    return ((p + 0.01).log() * torch.arange(1.0, len(p) + 1)).sum()


def table(z: Tensor, x: Tensor) -> Tensor:
    """Long loops inside long loops."""
    eta = z[0] + z[1] * x
    return (torch.exp(-eta.square()) * x).sum() + torch.cumsum(eta, 1).tanh().sum()


def rows_of_sums(z: Tensor, x: Tensor) -> Tensor:
    return (torch.softmax(x * z[0], 1) * x).sum(1).log1p().sum() + (x * z[1]).amax(1).sum()


def pieces(z: Tensor) -> Tensor:
    joined = torch.cat([z[:3].flip(0), z[5:] * 2, torch.stack([z[0], z[1]])])
    padded = torch.nn.functional.pad(joined, (1, 2), value=0.5)
    return (padded[::2].sigmoid() * torch.arange(1.0, len(padded[::2]) + 1)).sum() + padded.roll(1)[3] * z.prod()


def branches(z: Tensor, y: Tensor) -> Tensor:
    mean = z[0].exp()
    zero = torch.where(y == 0, torch.logaddexp(z[1], -mean), y * z[0] - mean - torch.lgamma(y + 1))
    return zero.sum() + torch.maximum(z, z.flip(0)).sum() + z.clamp(-0.5, 0.5).sum() + (z > 0).double().sum() * z[0]


def gammas(z: Tensor, y: Tensor) -> Tensor:
    shape, mean = z[0].exp(), (z[1] * y).exp()
    return (torch.lgamma(y + shape) - torch.lgamma(shape) + shape * torch.log(shape / (shape + mean))).sum()


def powers(z: Tensor) -> Tensor:
    p = z.abs() + 0.1
    return (p**3 + p**-2 + p**0.5 + p**z + p.rsqrt() + torch.expm1(z) + p.reciprocal() + 2**z).sum()


def chain(z: Tensor, y: Tensor) -> Tensor:
    transition = torch.log_softmax(z[:9].reshape(3, 3), -1)
    emission = -0.5 * (y[..., None] - z[9:12]) ** 2
    return hmm_log_likelihood(torch.log_softmax(z[12:15], 0), transition, emission).sum()


def forbidden(z: Tensor, y: Tensor) -> Tensor:
    """Moves of probability zero."""
    transition = torch.where(torch.eye(2, dtype=torch.bool), 0.0, -torch.inf) + 0 * z[0]
    return hmm_log_likelihood(torch.log_softmax(z[:2], 0), transition, -0.5 * (y[:, None] - z[2:4]) ** 2)


def one_rate(z: Tensor, y: Tensor) -> Tensor:
    """Linear in the data: y counts by its sums alone."""
    return (y * z[0] - torch.nn.functional.softplus(z[0])).sum() - (z**2).sum()


def rates_of_rows(z: Tensor, y: Tensor, masked: Tensor) -> Tensor:
    """The same in every row of a table, with a choice, a product of sums and a division."""
    logits = z[:, None].clamp(-1.5, 1.5)
    likelihood = -torch.nn.functional.binary_cross_entropy_with_logits(logits.expand(y.shape), y, reduction="none")
    return (likelihood * masked).sum() + ((y - logits.sigmoid()) * (masked + logits.exp()) / (2 + logits.exp())).sum()


def constant_gradient(z: Tensor) -> Tensor:
    return z[2] * 3.0


GRAPHS: dict[str, tuple[Callable[..., Tensor], int, list[Tensor]]] = {
    "few covariates": (linear, 4, [matrix(50, 3), (matrix(50) > 0).double()]),
    "many covariates, rows that fill no tile": (linear, 31, [matrix(101, 30), (matrix(101) > 0).double()]),
    "more covariates than are written out": (linear, 151, [matrix(43, 150), (matrix(43) > 0).double()]),
    "fewer rows than columns": (linear, 41, [matrix(12, 40), (matrix(12) > 0).double()]),
    "fewer rows than a tile": (linear, 21, [matrix(5, 20), (matrix(5) > 0).double()]),
    "several columns of coefficients": (two_matrices, 60, [matrix(37, 20)]),
    "many columns of coefficients": (two_matrices, 120, [matrix(37, 10)]),
    "groups": (grouped, 13, [whole(12, 200), matrix(200)]),
    "few groups": (grouped, 4, [whole(3, 200), matrix(200)]),
    "groups and few rows": (grouped, 13, [whole(12, 6), matrix(6)]),
    "two factors": (pairs, 20, [whole(5, 90), whole(4, 90), matrix(90)]),
    "mixture": (mixture, 9, [matrix(77)]),
    "random walk": (walk, 60, [matrix(60)]),
    "short random walk": (walk, 5, [matrix(5)]),
    "simplex": (simplex, 3, []),
    "long simplex": (simplex, 20, []),
    "a table": (table, 2, [matrix(30, 25)]),
    "a wide table": (table, 2, [matrix(12, 100)]),
    "a small table": (table, 2, [matrix(3, 5)]),
    "sums along rows": (rows_of_sums, 2, [matrix(40, 15).abs()]),
    "sums along short rows": (rows_of_sums, 2, [matrix(40, 4).abs()]),
    "pieces": (pieces, 9, []),
    "long pieces": (pieces, 40, []),
    "branches": (branches, 4, [whole(3, 60).double()]),
    "gamma functions": (gammas, 2, [whole(9, 70).double()]),
    "one rate": (one_rate, 2, [(matrix(90) > 0).double()]),
    "a rate for every row": (rates_of_rows, 7, [(matrix(7, 30) > 0).double(), (matrix(7, 30, seed=6) > 0).double()]),
    "powers": (powers, 5, []),
    "hidden Markov chain": (chain, 15, [matrix(40)]),
    "hidden Markov chains": (chain, 15, [matrix(6, 11)]),
    "one step of a chain": (chain, 15, [matrix(1)]),
    "a chain with forbidden moves": (forbidden, 4, [matrix(20)]),
    "a gradient that is mostly zero": (constant_gradient, 12, []),
}


def with_gradient(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    def value_and_gradient(z: Tensor, *data: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = function(z, *data)
            (gradient,) = torch.autograd.grad(value, z)
        return value.detach(), gradient

    return value_and_gradient


def recorded(function: Callable[..., Tensor], size: int, data: list[Tensor]) -> Any:
    return recorder.record(with_gradient(function), size, data, torch.zeros(size))


def traced(function: Callable[..., Tensor], size: int, data: list[Tensor]) -> Any:
    return reader.read(make_fx(with_gradient(function))(torch.zeros(size), *data), size, data)


@pytest.mark.parametrize("way", [recorded, traced])
@pytest.mark.parametrize("name", GRAPHS)
def test_code_computes_what_the_function_computes(name, way):
    function, size, data = GRAPHS[name]
    z = np.random.default_rng(3).normal(size=(11, size))
    expected = [with_gradient(function)(torch.from_numpy(row), *data) for row in z]
    value, gradient = Kernel(way(function, size, data), size, data, rows=11, num_threads=1)(z)
    np.testing.assert_allclose(value, [float(v) for v, _ in expected], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient, np.stack([g.numpy() for _, g in expected]), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["one rate", "a rate for every row"])
def test_data_that_count_by_their_sums_are_summed_once(name):
    """No loop over the data is left: the code for twice as many is no longer, and reads no more."""
    function, size, data = GRAPHS[name]
    twice = [torch.cat([value, value], -1) for value in data]
    short, long = (Kernel(recorded(function, size, own), size, own, rows=8, num_threads=1) for own in (data, twice))
    assert [value.shape for value in short.kept] == [value.shape for value in long.kept]
    assert all(value.numel() <= size for value in short.kept)


@pytest.mark.parametrize("size", [1, 4, 7, 12])
def test_a_step_in_the_coordinates_of_a_metric(size):
    """z = F u, and the gradient by u, for a triangle and a diagonal F."""
    rng = np.random.default_rng(0)

    def cubic(z: Tensor) -> Tensor:
        return (z**3).sum() * z[0]

    kernel = Kernel(recorded(cubic, size, []), size, [], rows=8, num_threads=1)
    step = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)(kernel.address)
    scratch, value = np.zeros(kernel.scratch_size), np.zeros(kernel.width)
    for factor in (np.tril(rng.normal(size=(size, size))), rng.normal(size=size)):
        lanes = np.zeros((4, size, kernel.width))
        lanes[0] = u = rng.normal(size=(size, kernel.width))
        dense = np.diag(factor) if factor.ndim == 1 else factor
        places = [array.ctypes.data for array in (lanes, value, scratch)]
        step(*places, kernel.table_address, factor.ctypes.data, factor.ndim == 2)
        z = dense @ u
        expected, gradient = kernel(z.T)
        np.testing.assert_allclose(lanes[1], z, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(value, expected, rtol=1e-9)
        np.testing.assert_allclose(lanes[2], gradient.T, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(lanes[3], dense.T @ gradient.T, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rows", [1, 3, 8, 70])
def test_any_number_of_rows_on_any_number_of_threads(rows):
    function, size, data = GRAPHS["many covariates, rows that fill no tile"]
    nodes = recorded(function, size, data)
    z = np.random.default_rng(4).normal(size=(rows, size))
    one = Kernel(nodes, size, data, rows=rows, num_threads=1)(z)
    two = Kernel(nodes, size, data, rows=rows, num_threads=2)(z)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    alone = [Kernel(nodes, size, data, rows=1, num_threads=1)(row[None]) for row in z[:3]]
    np.testing.assert_allclose(one[0][:3], [value[0] for value, _ in alone], rtol=1e-13)


def test_a_row_that_is_not_finite_stays_alone():
    function, size, data = GRAPHS["mixture"]
    kernel = Kernel(recorded(function, size, data), size, data, rows=8, num_threads=1)
    z = np.random.default_rng(5).normal(size=(8, size))
    clean = kernel(z)
    spoilt = z.copy()
    spoilt[3] = np.nan
    value, gradient = kernel(spoilt)
    others = np.arange(8) != 3
    assert np.isnan(value[3]) and np.isnan(gradient[3]).any()
    assert np.array_equal(value[others], clean[0][others]) and np.array_equal(gradient[others], clean[1][others])


def through_cholesky(z: Tensor, x: Tensor) -> Tensor:
    return torch.linalg.cholesky(x @ x.T + z[0].exp() * torch.eye(len(x))).diagonal().log().sum()


def looked_up(z: Tensor, x: Tensor) -> Tensor:
    return x.gather(0, z.argmax()[None]).sum() * z.sum()


@pytest.mark.parametrize("function, why", [(through_cholesky, "cholesky"), (looked_up, "argmax")])
def test_an_operation_without_translation_is_named(function, why):
    data = [matrix(4, 4) if function is through_cholesky else matrix(4)]
    for way in (recorded, traced):
        with pytest.raises(Unsupported, match=why):
            way(function, 4, data)


def endless(z: Tensor) -> Tensor:
    for _ in range(1500):
        z = z.tanh() + 1
    return z.sum()


@pytest.mark.parametrize("way", [recorded, traced])
def test_a_loop_over_time_is_left_to_the_plain_way(way):
    with pytest.raises(Unsupported, match=r"operations, as a loop over time"):
        way(endless, 2, [])


def jumping(z: Tensor) -> Tensor:
    return z.sum() if z[0] > 0 else -z.sum()


def selecting(z: Tensor) -> Tensor:
    return z[z > 0].sum()


def changing_a_view(z: Tensor) -> Tensor:
    rows = z * 2
    rows[0] = 1.0
    return rows.sum()


def counting(z: Tensor) -> Tensor:
    counts = torch.zeros(3)
    counts.index_put_((torch.tensor([0, 2, 2]),), z.exp(), accumulate=True)
    return (counts * torch.arange(1.0, 4.0)).sum()


def test_what_is_added_in_place_is_added_once():
    z = np.random.default_rng(7).normal(size=(5, 3))
    value, gradient = Kernel(traced(counting, 3, []), 3, [], rows=5, num_threads=1)(z)
    weights = np.array([1.0, 3.0, 3.0])
    np.testing.assert_allclose(value, (np.exp(z) * weights).sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(gradient, np.exp(z) * weights, rtol=1e-13)


def adding_up(z: Tensor) -> Tensor:
    total = torch.zeros(())
    for i in range(3):
        total += z[i].exp()
    return total


def changing_what_was_read(z: Tensor) -> Tensor:
    scale = torch.tensor([2.0, 3.0, 4.0])
    first = (scale * z).sum()
    scale.mul_(2)
    return first + (scale * z).sum()


@pytest.mark.parametrize("function", [jumping, selecting, changing_a_view, changing_what_was_read, counting, adding_up])
def test_a_record_is_refused_where_it_would_tell_of_one_point_alone(function):
    with pytest.raises(Unsupported):
        recorded(function, 3, [])


def test_a_change_in_place_is_read_from_the_graph():
    z = np.random.default_rng(6).normal(size=(5, 3))
    kernel = Kernel(traced(changing_a_view, 3, []), 3, [], rows=5, num_threads=1)
    np.testing.assert_allclose(kernel(z)[0], 1 + 2 * z[:, 1:].sum(axis=1))
