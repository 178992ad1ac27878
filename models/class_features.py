"""Features of several kinds given the class of their row: the sample statements of naive Bayes, and how columns of
different numbers of levels share one site."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Parameters(NamedTuple):
    """What the features of a row depend on; parts that no feature needs are None. phi: `(C, columns, most levels)`."""

    pi: Tensor
    theta: Tensor | None = None
    phi: Tensor | None = None
    psi: Tensor | None = None
    mu: Tensor | None = None
    sd: Tensor | None = None


def sample_features(
    part: str,
    given: Parameters,
    y: Tensor,
    total: Tensor | None,
    has_binary: Tensor | None,
    has_category: Tensor | None,
    has_number: Tensor | None,
) -> None:
    """The features of rows of class `y`; names of their sites end with `part`."""
    import pyro
    import pyro.distributions as dist

    from models.distributions.categorical import Categorical, of_class
    from models.distributions.class_bernoulli import ClassBernoulli
    from models.distributions.multinomial import Multinomial

    if given.theta is not None:
        pyro.sample(f"x_binary{part}", ClassBernoulli(given.theta, y, has_binary))
    if given.phi is not None:
        fn = Categorical(of_class(given.phi, y))
        pyro.sample(f"x_category{part}", (fn if has_category is None else fn.mask(has_category)).to_event(1))
    if given.psi is not None and total is not None:
        pyro.sample(f"x_count{part}", Multinomial(total, of_class(given.psi, y)))
    if given.mu is not None and given.sd is not None:
        fn = dist.Normal(of_class(given.mu, y), of_class(given.sd, y))
        pyro.sample(f"x_number{part}", (fn if has_number is None else fn.mask(has_number)).to_event(1))


def sticks(sizes: list[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """How columns of `sizes` levels share one row of sticks: log phi = log(stick) @ is_level + log(1 - stick) @
    is_before. Gives the level that each stick breaks off, and the program's inputs.

    place `(levels, columns, most levels)`: one where a level is its column's own level of that number.
    """
    owner = np.repeat(np.arange(len(sizes)), sizes)
    position = np.arange(len(owner))
    last = np.cumsum(sizes) - 1
    split = np.setdiff1d(position, last)
    place = np.zeros((len(owner), len(sizes), max(sizes)))
    place[position, owner, position - (last + 1 - sizes)[owner]] = 1
    parts = {
        "levels_after": (last[owner[split]] - split).astype(float),
        "is_before": ((owner[split][:, None] == owner) & (split[:, None] < position)).astype(float),
        "is_level": (split[:, None] == position).astype(float),
        "place": place,
    }
    return split, parts
