"""Hidden Markov model: sequences whose observations depend on a state that is not seen and moves from row to row.

    mu[k]          ~ mean_prior for each channel                    emission: gaussian; k = 1..K states
    sigma[k]       ~ sd_prior for each channel                      emission: gaussian
    rate[k]        ~ rate_prior for each channel                    emission: poisson, negative_binomial
    phi[k]         ~ dispersion_prior for each channel              emission: negative_binomial
    stick[k]       ~ Beta(b, b times the levels after) for each level but a channel's last
    emission[k]    ~ symbol_prior, dirichlet(b) over the levels of each channel, broken off by stick[k]
    transition[i]  ~ Dirichlet(a + sticky [i = j]), dirichlet(a) being transition_prior
    start          ~ start_prior over the states                    start: free
    z[s, 1]        ~ Categorical(start)                             s = 1..S sequences
    z[s, t]        ~ Categorical(transition[z[s, t - 1]])           t = 2..T[s] rows
    y              ~ F(parameters[z[s, t]]) for each channel

The states z are summed out (Rabiner 1989), and come back: filtered, smoothed, most likely and drawn states and
forecasts, for one vector of parameters (`models.hidden_states`) or over all draws (`decode`, `draw_states`,
`forecast`). Rows are in time order; the column `sequence`, where there is one, says which sequence a row is in. An
empty cell leaves its factor out of the row: the chain moves on, and nothing is learnt.

F is by `emission`: `categorical` over the labels of the channel; `gaussian` with mean mu and standard deviation sigma;
`poisson` with mean rate; `negative_binomial` with mean rate and variance rate + rate^2 / phi. Several channels are
independent of each other given the state. With `start: uniform` every state is as likely to be the first; with
`stationary` the first state follows the law that the transitions leave as it is; `start` is that law, then.

With `standardise: true` the priors of a gaussian channel hold for its values less their mean over their population
standard deviation, those of counts for counts over their mean; the same posterior on the channels' own scale is
`mu_raw`, `sigma_raw` and `rate_raw`. `sticky` adds rows' worth of evidence that a state stays (Fox et al. 2011 on such
priors). The labels of states are arbitrary, unless `order: emission` numbers them by their mean in the first channel,
or `state_priors` give every state a prior of its own for its mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from models import decoding
from models.base import Data, Dims, Quantities
from models.channels import cells_of, channels_of, unknown
from models.columns import Column, Table
from models.decoding import Chains, Decoded, Forecast
from models.errors import InputError
from models.features import labels_in
from models.hidden_states import stationary, stationary_weights
from models.priors import PRIORS, Prior, on
from models.sequences import sequences_of
from models.settings import SETTINGS

if TYPE_CHECKING:
    from pyro.distributions.torch_distribution import TorchDistribution
    from torch import Tensor

Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]  # a YAML list
Priors = Annotated[tuple[Prior, ...], Field(strict=False)]


@dataclass(frozen=True, config=SETTINGS)
class HiddenMarkov:
    """`states` hidden states behind the columns that `channels` names, all of one kind of `emission`."""

    states: Annotated[int, Field(ge=2, le=100, description="K, how many hidden states there are")] = 2
    emission: Annotated[
        Literal["categorical", "gaussian", "poisson", "negative_binomial"],
        Field(description="what a channel is drawn from, given the state"),
    ] = "gaussian"
    channels: Annotated[Names, Field(description="the observed columns, empty where missing")] = ("y",)
    start: Annotated[Literal["uniform", "stationary", "free"], Field(description="the law of the first state")] = (
        "uniform"
    )
    order: Annotated[
        Literal["none", "emission"], Field(description="emission: states by their mean in the first channel")
    ] = "none"
    standardise: Annotated[bool, Field(description="priors hold on the channels' standard scale")] = True
    sticky: Annotated[float, Field(ge=0, description="added to the prior's mass on staying")] = 0.0
    sd: Annotated[float | None, Field(gt=0, description="every state's standard deviation, if known")] = None
    transition_prior: Annotated[Prior, on("simplex"), Field(description="prior of the moves from each state")] = Prior(
        "dirichlet", (1.0,)
    )
    start_prior: Annotated[Prior, on("simplex"), Field(description="prior of the first state (start: free)")] = Prior(
        "dirichlet", (1.0,)
    )
    mean_prior: Annotated[Prior, on("real"), Field(description="prior of a state's mean (gaussian)")] = Prior(
        "normal", (0.0, 1.5)
    )
    sd_prior: Annotated[Prior, on("positive"), Field(description="prior of a state's sd (gaussian)")] = Prior(
        "lognormal", (-0.5, 1.0)
    )
    rate_prior: Annotated[Prior, on("positive"), Field(description="prior of a state's mean count")] = Prior(
        "exponential", (0.5,)
    )
    dispersion_prior: Annotated[Prior, on("positive"), Field(description="prior of phi (negative_binomial)")] = Prior(
        "exponential", (0.1,)
    )
    symbol_prior: Annotated[Prior, on("simplex"), Field(description="prior of a state's labels (categorical)")] = Prior(
        "dirichlet", (1.0,)
    )
    state_priors: Annotated[
        Priors, Field(description="one prior a state, in place of mean_prior or rate_prior; all of one name")
    ] = ()

    dims: ClassVar[Dims] = {
        "mu": ("state", "channel"),
        "sigma": ("state", "channel"),
        "rate": ("state", "channel"),
        "phi": ("state", "channel"),
        "stick": ("state", "split"),
        "emission": ("state", "level"),
        "transition": ("state", "next_state"),
        "start": ("state",),
        "mu_raw": ("state", "channel"),
        "sigma_raw": ("state", "channel"),
        "rate_raw": ("state", "channel"),
        "y": ("sequence", "time", "channel"),
    }
    outcomes: ClassVar[tuple[str, ...]] = ("y",)
    exchangeable: ClassVar[str | None] = "state"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "(channels)", "number", "what is observed: numbers, counts or labels by `emission`; empty where missing"
        ),
        Column("sequence", "category", "which sequence a row is in; without it all rows are one", required=False),
    )

    @model_validator(mode="after")
    def fits_together(self) -> HiddenMarkov:
        """Settings that contradict each other are refused where they are made."""
        contradiction = next(self.contradictions(), None)
        if contradiction:
            raise PydanticCustomError("settings", "{s}", {"s": contradiction})
        if self.order == "emission" or self.state_priors:
            # labels that an order or priors give are not arbitrary: here the model's value differs from its class's
            object.__setattr__(self, "exchangeable", None)
        return self

    def contradictions(self) -> Iterator[str]:
        """One sentence for everything in the settings that contradicts something else."""
        for name in self.channels:
            if self.channels.count(name) > 1:
                yield f"`{name}` is there twice among the channels; name every column once"
            if name == "sequence":
                yield "`sequence` labels the sequences and is no channel; map the column to another name"
        if self.sd is not None and self.emission != "gaussian":
            yield f"a known `sd` goes with `emission: gaussian` alone, got `{self.emission}`; leave it out"
        if self.emission == "categorical" and self.order == "emission":
            yield "`order: emission` needs means, which categories do not have; leave `order` out: draws are aligned"
        if not self.state_priors:
            return
        names = ", ".join(f"`{prior}`" for prior in self.state_priors)
        if self.emission == "categorical":
            yield "`state_priors` are of means, which categories do not have; leave them out"
        if self.order == "emission":
            yield "`state_priors` tell the states apart, and so does `order: emission`; leave one of them out"
        if len(self.state_priors) != self.states:
            got = f"{len(self.state_priors)}; add or remove some"
            yield f"`state_priors` must be one for each of {self.states} states, got {got}"
        if len({prior.name for prior in self.state_priors}) > 1:
            yield f"`state_priors` must all have one name, got {names}; write for instance all as `normal(...)`"
        if self.state_priors[0].support != self.location_prior.support:
            fitting = ", ".join(
                f"`{name}`" for name, rule in PRIORS.items() if rule.support == self.location_prior.support
            )
            yield f"`state_priors` must be on the {self.location_prior.support}, got {names}; use {fitting}"

    @property
    def location_prior(self) -> Prior:
        return self.mean_prior if self.emission == "gaussian" else self.rate_prior

    def __call__(
        self,
        lengths: Tensor,
        there: Tensor,
        center: Tensor | None = None,
        scale: Tensor | None = None,
        levels_after: Tensor | None = None,
        is_before: Tensor | None = None,
        is_level: Tensor | None = None,
        place: Tensor | None = None,
    ) -> None:
        import pyro
        import pyro.distributions as dist
        import torch

        from models.distributions.hidden_markov import HiddenMarkov as Chain

        if center is None or scale is None:
            cells = self.symbols(levels_after, is_before, is_level, place)
        else:
            cells = self.numbers(center, scale)
        mass = self.transition_prior.arguments[0] + self.sticky * torch.eye(self.states)
        with pyro.plate("state", self.states):
            transition = pyro.sample("transition", dist.Dirichlet(mass))
        smallest = torch.finfo(transition.dtype).tiny
        start = torch.full((self.states,), 1 / self.states)
        if self.start == "free":
            start = pyro.sample("start", self.start_prior.distribution(self.states))
        if self.start == "stationary":
            weights = torch.stack(stationary_weights(transition), -1)
            start = pyro.deterministic("start", weights / weights.sum(-1, keepdim=True), event_dim=1)
        with pyro.plate("sequence", len(lengths)):
            logarithms = (start.clamp(min=smallest).log(), transition.clamp(min=smallest).log())
            pyro.sample("y", Chain(*logarithms, cells, there))

    def numbers(self, center: Tensor, scale: Tensor) -> TorchDistribution:
        """Distributions of numbers by state and channel, `(K, C)`, on the channels' own scale."""
        import pyro
        import pyro.distributions as dist

        from models.distributions import counts

        channels = len(center)
        if self.emission == "gaussian":
            mu = center + scale * self.locations("mu", channels)
            if self.sd is None:
                sigma = scale * self.of_state("sigma", self.sd_prior, channels)
            else:
                sigma = mu.new_full((), self.sd).expand(mu.shape)
            if self.standardise:
                pyro.deterministic("mu_raw", mu, event_dim=2)
                if self.sd is None:
                    pyro.deterministic("sigma_raw", sigma, event_dim=2)
            return dist.Normal(mu, sigma)
        rate = scale * self.locations("rate", channels)
        phi = None if self.emission == "poisson" else self.of_state("phi", self.dispersion_prior, channels)
        if self.standardise:
            pyro.deterministic("rate_raw", rate, event_dim=2)
        return counts.Poisson(rate.log()) if phi is None else counts.NegativeBinomial(rate.log(), phi)

    def locations(self, name: str, channels: int) -> Tensor:
        """The states' means `(K, C)` on the priors' scale."""
        import pyro
        import torch

        from models.distributions.rising import Rising

        if self.order == "emission":
            return pyro.sample(name, Rising(self.location_prior.distribution(), self.states, channels))
        if not self.state_priors:
            return self.of_state(name, self.location_prior, channels)
        kind = type(self.state_priors[0].distribution())
        arguments = torch.tensor([prior.arguments for prior in self.state_priors]).T
        prior = kind(*arguments[..., None]).expand((self.states, channels)).to_event(1)
        with pyro.plate(f"{name}_state", self.states):
            return pyro.sample(name, prior)

    def of_state(self, name: str, prior: Prior, channels: int) -> Tensor:
        """A parameter of every state and channel, `(K, C)`."""
        import pyro

        with pyro.plate(f"{name}_state", self.states):
            return pyro.sample(name, prior.distribution().expand((channels,)).to_event(1))

    def symbols(self, levels_after: Any, is_before: Any, is_level: Any, place: Any) -> TorchDistribution:
        """Distributions of symbols by state and channel, `(K, C)`; channels of few levels are filled up with levels
        that never occur."""
        import pyro
        import pyro.distributions as dist
        import torch

        from models.distributions.hidden_markov import Symbols

        first = torch.full_like(levels_after, self.symbol_prior.arguments[0])
        with pyro.plate("stick_state", self.states):
            stick = pyro.sample("stick", dist.Beta(first, first * levels_after).to_event(1))
        log_emission = stick.log() @ is_level + torch.log1p(-stick) @ is_before
        emission = pyro.deterministic("emission", log_emission.exp(), event_dim=2)
        return Symbols((emission @ place.flatten(1)).reshape(self.states, *place.shape[1:]))

    def no_maximum(self, data: Data) -> str:
        if self.emission != "gaussian" or self.sd is not None:
            return ""
        way = "a state keeps to one row, closes in on it, and its `sigma` goes to 0"
        return f"The likelihood has no maximum: it grows without bound as {way}."

    def data(self, table: Table, *, observed: bool = True) -> Data:
        """y `(sequence, time, channel)` holds 0 where a cell is empty or its sequence has ended; `there` says where it
        is not. Scales and labels come from the channels' columns; numbers without such columns have scale 1."""
        found = sequences_of(table, "sequence")
        coords: dict[str, Any] = {
            "state": range(self.states),
            "next_state": range(self.states),
            "sequence": found.labels,
            "time": range(int(found.lengths.max())),
            "channel": list(self.channels),
        }
        known = observed or self.emission == "categorical" or all(name in table for name in self.channels)
        channels = channels_of(table, self.channels, self.emission) if known else unknown(table, self.channels)
        inputs: dict[str, Any] = {"lengths": found.lengths, "there": found.filled(channels.there)}
        if self.emission == "categorical":
            inputs |= channels.levels()
            coords |= channels.level_names()
        else:
            inputs |= channels.scales(table, self.emission, self.standardise and known)
        dims = {
            "lengths": ("sequence",),
            "there": ("sequence", "time", "channel"),
            "center": ("channel",),
            "scale": ("channel",),
            "levels_after": ("split",),
            "is_before": ("split", "level"),
            "is_level": ("split", "level"),
        }
        return Data(inputs, {"y": found.filled(channels.values)} if observed else {}, coords, dims)

    def chains(self, draws: Mapping[str, np.ndarray], data: Data) -> Chains:
        """The parameters in `draws (chain, draw, *shape)` on the channels' own scale, draws of all chains in a row."""
        flat = {name: np.asarray(v, dtype=float).reshape(-1, *np.shape(v)[2:]) for name, v in draws.items()}
        transition = flat["transition"]
        start = np.full(transition.shape[:2], 1 / self.states)
        if self.start == "free":
            start = flat["start"]
        if self.start == "stationary":
            start = stationary(transition)
        if self.emission == "categorical":
            return Chains(self.emission, start, transition, flat["emission"], None, data.inputs["place"])
        center, scale = data.inputs["center"], data.inputs["scale"]
        if self.emission == "gaussian":
            mu = center + scale * flat["mu"]
            sigma = scale * flat["sigma"] if self.sd is None else np.full(mu.shape, self.sd)
            return Chains(self.emission, start, transition, mu, sigma)
        return Chains(self.emission, start, transition, scale * flat["rate"], flat.get("phi"))

    def decode(self, draws: Mapping[str, np.ndarray], data: Data, mass: float = 0.9) -> Decoded:
        """The states of the sequences in `data`, averaged over the draws; of one draw, what its parameters say.

        draws: `(chain, draw, *shape)` by site, their labels aligned. mass: what the intervals hold.
        """
        inputs = data.inputs
        return decoding.decode(self.chains(draws, data), data.observed["y"], inputs["there"], inputs["lengths"], mass)

    def draw_states(self, draws: Mapping[str, np.ndarray], data: Data, seed: int = 0) -> np.ndarray:
        """For every draw of the parameters one of all states, `(chain, draw, sequence, time)`."""
        y, there = data.observed["y"], data.inputs["there"]
        paths = decoding.draw_states(self.chains(draws, data), y, there, np.random.default_rng(seed))
        return paths.reshape(*draws["transition"].shape[:2], *paths.shape[1:])

    def forecast(self, draws: Mapping[str, np.ndarray], data: Data, steps: int, seed: int = 0) -> Forecast:
        """States and observations 1..steps rows after the end of every sequence in `data`."""
        if steps < 1:
            raise InputError("steps", f"must be 1 or more, got {steps}", "write how many rows to look ahead")
        chains, rng = self.chains(draws, data), np.random.default_rng(seed)
        last = decoding.last_states(chains, data.observed["y"], data.inputs["there"], data.inputs["lengths"])
        found = decoding.forecast(chains, last, steps, rng)
        shape = draws["transition"].shape[:2]
        return Forecast(*(values.reshape(*shape, *values.shape[1:]) for values in found))

    def until(self, data: Data, steps: int) -> Data:
        """The sequences as they are known after `steps` rows of each: later cells are missing. Scales and labels stay
        those of all rows."""
        there = np.array(data.inputs["there"])
        there[:, steps:] = False
        return dataclasses.replace(data, inputs={**data.inputs, "there": there})

    def one_step_ahead(self, draws: Mapping[str, np.ndarray], data: Data) -> np.ndarray:
        """log p(row t | the rows before it in its sequence, parameters), `(chain * draw, sequence, time)`."""
        return decoding.one_step_ahead(self.chains(draws, data), data.observed["y"], data.inputs["there"])

    def quantities(self, draws: Mapping[str, np.ndarray], data: Data) -> Quantities:
        """Free of labels: `stay`, the probabilities of staying, largest first, whose state lasts 1 / (1 - stay) rows
        on average; `occupancy`, the stationary law, largest first; `entropy_rate` of the chain of states, in nats a
        row, 0 where the next state is certain and log K where nothing is known of it."""
        transition = np.asarray(draws["transition"])
        law = stationary(transition)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(transition > 0, transition * np.log(transition), 0.0)
        found = {
            "stay": -np.sort(-np.diagonal(transition, axis1=-2, axis2=-1), axis=-1),
            "occupancy": -np.sort(-law, axis=-1),
            "entropy_rate": -(law[..., None] * terms).sum(axis=(-2, -1)),
        }
        dims = {"stay": ("rank",), "occupancy": ("rank",), "entropy_rate": ()}
        return Quantities(found, dims, {"rank": range(1, self.states + 1)})

    def predict(
        self, draws: Mapping[str, np.ndarray], fitted: Table, table: Table, mass: float = 0.9
    ) -> dict[str, np.ndarray]:
        """For every row of `table` the state that most draws' most likely paths have there; for each state its
        probability given the row's whole sequence, with an interval over the draws; and what is expected of the
        channels in these states, which is the prediction where a cell is empty.

        Rows with empty cells at the end of a sequence are forecasts. Sequences are decoded as they stand in `table`,
        whether they were fitted or not. A label that no fitted row has counts as missing.
        """
        known = self.data(fitted, observed=False)
        labels = labels_in(fitted, self.channels) if self.emission == "categorical" else ()
        found, channels = sequences_of(table, "sequence"), cells_of(table, self.channels, self.emission, labels)
        inputs = {**known.inputs, "lengths": found.lengths, "there": found.filled(channels.there)}
        new = Data(inputs, {"y": found.filled(channels.values)})
        decoded = self.decode(draws, new, mass)
        columns: dict[str, np.ndarray] = {"state": found.rows(decoded.path)}
        for k in range(self.states):
            name = f"P(state={k})"
            parts = {name: decoded.smoothed, f"{name} lower": decoded.lower, f"{name} upper": decoded.upper}
            columns |= {key: found.rows(part[..., k]) for key, part in parts.items()}
        chains, rng = self.chains(draws, new), np.random.default_rng(0)
        expected = decoding.expect(chains, new.observed["y"], new.inputs["there"], mass, rng)
        if self.emission == "categorical":
            levels = enumerate(known.coords["level"])
            return columns | {f"P({level})": found.rows(expected.mean[..., i]) for i, level in levels}
        for c, channel in enumerate(self.channels):
            of = f" {channel}" if len(self.channels) > 1 else ""
            columns |= {f"{key}{of}": found.rows(part[..., c]) for key, part in expected._asdict().items()}
        return columns
