"""Discrete latent sites summed out exactly: every value of each is tried at once, in a tensor axis of its own.

    log p(x, y) = log sum_k p(x, k, y)          x: continuous sites, k: discrete sites, y: data

Pyro's enumeration runs the program once with all values, and its plated contraction orders the sum: sites that no
discrete site connects stay apart, and plates are products of independent sums (Obermeyer et al. 2019, "Tensor variable
elimination for plated factor graphs"). Each single sum is a log-sum-exp over the terms that mention the site, added up
before: no term is exponentiated by itself, so that terms which are thousands of nats apart leave no -inf behind.

The sums run backwards draw the discrete sites given everything else: the one summed out last is drawn first, and each
given those before it (forward filtering, backward sampling, in any order of elimination).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property, reduce
from itertools import takewhile
from operator import add, sub
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops import packed
from pyro.ops.contract import contract_to_tensor
from pyro.ops.rings import LogRing
from pyro.poutine.enum_messenger import EnumMessenger
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

# goes before what a program says itself: no value after the other, no Monte Carlo sum
ALL_VALUES = {"enumerate": "parallel", "expand": False, "num_samples": None}
Node = Mapping[str, Any]


def values_of(fn: Any) -> Tensor | None:
    """Every value of a discrete distribution, `(K, *event shape)`; None where they cannot be listed."""
    if not fn.has_enumerate_support:
        return None
    try:
        return fn.enumerate_support(expand=False).reshape(-1, *fn.event_shape)
    except NotImplementedError:
        return None  # totals that differ from element to element; events of several discrete elements


class AllValues(EnumMessenger):
    """Pyro's enumeration, which remembers shapes without `Tensor.data`: `torch.vmap` does not have it."""

    def _pyro_post_sample(self, msg: Any) -> None:
        name, fn, value = msg["name"], msg["fn"], msg["value"]
        if isinstance(fn, TorchDistributionMixin):
            shape = value.shape[: value.dim() - fn.event_dim]
            ids = {**msg["infer"].get("_dim_to_id", {}), **self._param_dims.get(name, {})}
            msg["infer"]["_dim_to_id"] = ids
            self._value_dims[name] = {dim: i for dim, i in ids.items() if -dim <= len(shape) and shape[dim] > 1}


class Misshapen(ValueError):
    """A site's density has an axis that is neither a plate's nor a discrete site's."""


class Enumerated:
    """One run of a program with discrete sites at all of their values.

    nodes: sample statements by name, without plates; their `log_prob` has an axis for each discrete site that it
    depends on, left of the axes that plates use. terms: the same with axes named by letters, one for each plate and
    each discrete site.
    """

    def __init__(self, run: Callable[[], Any], sites: Collection[str], depth: int) -> None:
        """sites: those to enumerate. depth: how many axes plates (and batches without a plate) use at most."""
        chosen = poutine.infer_config(run, config_fn=lambda site: ALL_VALUES if site["name"] in sites else {})
        with AllValues(first_available_dim=-1 - depth):
            trace = prune_subsample_sites(poutine.trace(chosen).get_trace())
        trace.compute_log_prob()
        trace.symbolize_dims()
        self.depth = depth
        self.nodes: dict[str, Node] = {name: node for name, node in trace.nodes.items() if node["type"] == "sample"}
        self.letters: dict[str, str] = {name: self.nodes[name]["infer"]["_enumerate_symbol"] for name in sites}
        self.axes, self.plates = trace.symbol_to_dim, trace.plate_to_symbol

    @cached_property
    def terms(self) -> dict[str, Tensor]:
        return {name: self.packed(name, node["log_prob"]) for name, node in self.nodes.items()}

    def packed(self, name: str, log_prob: Tensor) -> Tensor:
        """A site's `log_prob` with named axes. Those of no plate are summed: elements of one site are independent."""
        known = self.nodes[name]["infer"]["_dim_to_symbol"]
        loose = [axis for axis in range(-min(self.depth, log_prob.dim()), 0) if axis not in known]
        try:
            return packed.pack(log_prob.sum(loose, keepdim=True) if loose else log_prob, known)
        except ValueError:
            raise Misshapen(f"site `{name}` has an axis too many") from None

    def plates_of(self, name: str) -> dict[str, int]:
        """Letters and sizes of the plates around a site, as their axes lie from the left."""
        frames = [frame for frame in self.nodes[name]["cond_indep_stack"] if frame.vectorized]
        return {self.plates[frame.name]: frame.size for frame in sorted(frames, key=lambda frame: frame.dim)}

    def sums(self, name: str) -> set[str]:
        """Letters of the discrete sites that a site's density depends on."""
        return set(letters_of(self.terms[name])) - set(self.plates.values())

    def contract(self, names: Iterable[str], keep: Collection[str] = ()) -> tuple[Tensor, Elimination]:
        """The terms of `names` added up, with their discrete sites summed out and plates multiplied, save those of
        `keep`, which lie around all of them."""
        tree: OrderedDict[frozenset[str], list[Tensor]] = OrderedDict()
        sums: set[str] = set()
        plates: dict[str, int] = {}
        for name in names:
            tree.setdefault(frozenset(self.plates_of(name)), []).append(self.terms[name])
            sums |= self.sums(name)
            plates |= self.plates_of(name)
        ring = Elimination(plates)
        return contract_to_tensor(tree, sums, target_ordinal=frozenset(keep), ring=ring), ring

    def log_sum(self) -> Tensor:
        """log p of all that is not summed out, a scalar."""
        return self.contract(self.nodes)[0]

    def draw(self) -> dict[str, Tensor]:
        """One joint draw of the discrete sites given everything else; values that broadcast to the sites' shapes."""
        drawn: dict[str, Tensor] = {}
        for letter, table in reversed(self.contract(self.nodes)[1].steps):
            for other in sorted(drawn.keys() & set(letters_of(table))):
                table = packed.gather(table, drawn[other], other)
            noise = -(-torch.rand_like(table).log()).log()  # Gumbel's: the largest sum is a draw from the softmax
            axis = letters_of(table).index(letter)
            drawn[letter] = named((table + noise).argmax(axis), letters_of(table).replace(letter, ""))
        return {name: self.value(name, drawn.get(letter)) for name, letter in self.letters.items()}

    def value(self, name: str, index: Tensor | None) -> Tensor:
        """A discrete site's value at an index with named axes. (None: it has one value, which needs no axis.)"""
        values = values_of(self.nodes[name]["fn"])
        assert values is not None
        return values[0] if index is None else values[packed.unpack(index, self.axes)]

    def groups(self) -> list[list[str]]:
        """Names of the sites that discrete sites tie together; groups are independent of each other."""
        found: list[tuple[set[str], list[str]]] = []
        for name in self.nodes:
            if sums := self.sums(name):
                tied = [group for group in found if group[0] & sums]
                found = [group for group in found if not group[0] & sums]
                found.append(
                    (sums.union(*(group[0] for group in tied)), [n for group in tied for n in group[1]] + [name])
                )
        return [[name for name in self.nodes if name in group] for _, group in found]

    def likelihood(self, group: list[str], observed: Collection[str]) -> Tensor:
        """log p(observed sites of a group | everything else), with the group's discrete sites summed out.

        One value for each element of the plates that lie around the whole group. Where one site alone is observed,
        these are its leading axes: the value keeps plates from the left up to the first that is not around the group.
        """
        seen = [name for name in group if name in observed]
        around = set.intersection(*(set(self.plates_of(name)) for name in group))
        kept = [letter for letter in self.plates_of(seen[0]) if letter in around]
        if len(seen) == 1:
            kept = list(takewhile(around.__contains__, self.plates_of(seen[0])))
        parts = [self.contract(names, kept)[0] for names in (group, [n for n in group if n not in observed]) if names]
        return reduce(sub, [part.permute([letters_of(part).index(letter) for letter in kept]) for part in parts])

    def disagreement(self, plain: Mapping[str, Node]) -> str | None:
        """The first site whose density among all values is not what a `plain` run with one value of each gives it."""
        chosen = {}
        for name, letter in self.letters.items():
            values, value, event = values_of(self.nodes[name]["fn"]), plain[name]["value"], plain[name]["fn"].event_dim
            assert values is not None
            same = value == values.reshape(-1, *[1] * (value.dim() - event), *values.shape[1:])
            while same.dim() > 1 + value.dim() - event:
                same = same.all(-1)
            chosen[letter] = packed.pack(same.int().argmax(0), self.nodes[name]["infer"]["_dim_to_symbol"])
        for name, term in self.terms.items():
            for letter in sorted(self.sums(name)):
                term = packed.gather(term, chosen[letter], letter)
            expected = self.packed(name, plain[name]["log_prob"])
            if set(letters_of(term)) != set(letters_of(expected)):
                return name
            term, expected = packed.broadcast_all(term, expected)
            if not torch.allclose(term, expected, rtol=1e-8, atol=1e-8, equal_nan=True):
                return name
        return None


class Elimination(LogRing):
    """Sums in log space, one letter after the other; `steps` keeps the table that each was summed out of."""

    def __init__(self, plates: Mapping[str, int]) -> None:
        super().__init__(dim_to_size=dict(plates))
        self.steps: list[tuple[str, Tensor]] = []

    def sumproduct(self, terms: Iterable[Tensor], dims: Collection[str]) -> Tensor:
        """log sum exp of the added terms over `dims`, the letter with the smallest table first."""
        left, waiting = list(terms), sorted(dims)
        while waiting:
            letter = min(waiting, key=lambda letter: table_size(left, letter))
            waiting.remove(letter)
            table = self.added([term for term in left if letter in letters_of(term)])
            left = [term for term in left if letter not in letters_of(term)]
            self.steps.append((letter, table))
            summed = table.logsumexp(letters_of(table).index(letter))
            left.append(named(summed, letters_of(table).replace(letter, "")))
        return self.added(left)

    def added(self, terms: list[Tensor]) -> Tensor:
        """The sum of terms with named axes; those of plates last, which is how they lie in memory."""
        if len(terms) == 1:
            return terms[0]
        letters = {letter for term in terms for letter in letters_of(term)}
        order = "".join(sorted(letters, key=lambda letter: (letter in self._dim_to_size, letter)))
        return named(reduce(add, packed.broadcast_all(*terms, dims=order)), order)


def table_size(terms: Iterable[Tensor], letter: str) -> int:
    """Numbers in the sum of those terms that have the letter."""
    sizes: dict[str, int] = {}
    for term in terms:
        if letter in letters_of(term):
            sizes |= zip(letters_of(term), term.shape, strict=True)
    return math.prod(sizes.values())


def named(tensor: Tensor, letters: str) -> Tensor:
    """A tensor whose axes have letters, as Pyro's `packed` functions take it."""
    tensor._pyro_dims = letters  # type: ignore[attr-defined]
    return tensor


def letters_of(tensor: Tensor) -> str:
    return tensor._pyro_dims  # type: ignore[attr-defined]
