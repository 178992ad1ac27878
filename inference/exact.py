"""Exact inference: a posterior whose form is recognised from gradients and proved by certificate, in any program.

For a latent site z whose prior has a conjugate form, the gradient of the log joint is linear in a few known functions
of z, with the posterior's own parameters as coefficients:

    Beta       d log p / dz = (a - 1) / z - (b - 1) / (1 - z)
    Gamma      d log p / dz = (a - 1) / z - b
    InvGamma   d log p / dz = -(a + 1) / z + b / z^2
    Normal     d log p / dz = h - L z           (all normal sites jointly where they are correlated: L a matrix)
    Dirichlet  d log p / dz_k = (a_k - 1) / z_k + c
    Normal and InvGamma together, the normal's precision being k / v with v the other site (Normal-Inverse-Gamma):
               d log p / dz = k (m - z) / v
               d log p / dv = -(a + 1) / v + b / v^2 - 1 / (2 v) + k (z - m)^2 / (2 v^2)

so evaluations at two points give the parameters of a candidate q, whatever the program looks like inside. The
candidate is then held to the identity log p(z, y) - log q(z) = log p(y) at fresh random points: where the left side is
one and the same number, q is the posterior and the number is the log evidence. (Hoffman, Johnson & Tran 2018,
"Autoconj", recognise conjugacy symbolically; the certificate needs no symbols.) The proof is for densities that are
analytic in their sites; one that is pieced together (a clamp, a `where`) can hide a piece from the points.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import biject_to

from inference.conjugate import FAMILIES, Family, InverseGamma, Normal, Parameters, student_t
from inference.posterior import Marginal, Posterior
from inference.predict import derived
from inference.program import Program, Site, refuse_discrete
from inference.progress import Progress
from inference.settings import Exact
from inference.statements import distribution_name
from models.errors import InputError

FRESH_POINTS = 24
TOLERANCE = 1e-10  # of the log joint's size: sums of many terms round at about 1e-15 of it
MOST_ROUNDING = 1e-4  # nats: a difference from the posterior that nothing would show
MOST_JOINT_NORMALS = 2000


# Normal sites each alone, each with the inverse-gamma site that is its variance, all in one normal.
Arrangement = Literal["apart", "scaled", "joint"]
ARRANGEMENTS: tuple[Arrangement, ...] = ("apart", "scaled", "joint")


class Unproved(Exception):
    """The candidate is not the posterior; `refusal` finds out why."""


def run(settings: Exact, program: Program, progress: Progress) -> Posterior:
    """The posterior with analytic marginals, its log evidence, and independent draws; InputError names the site
    in the way."""
    began = time.perf_counter()
    refuse_discrete("exact", program)
    for site in program.latent:
        if family_of(site) is None:
            raise InputError(
                f"`exact` cannot fit {program.name}",
                f"site `{site.name}` ({site.distribution}) has no conjugate form",
                "use `nuts` or `svi`",
            )
    for arrangement in ARRANGEMENTS:
        try:
            candidate = Candidate.recognise(program, arrangement)
            log_evidence = candidate.prove()
            break
        except Unproved:
            continue
    else:
        raise refusal(program)
    proved = time.perf_counter()
    shape = (settings.num_chains, settings.num_samples)
    draws = candidate.sample(shape[0] * shape[1])
    draws |= derived(program, draws)
    progress("exact", 1, 1, "proved")
    return Posterior(
        backend="exact",
        draws={name: value.numpy().reshape(*shape, *value.shape[1:]) for name, value in draws.items()},
        dims=program.dims,
        marginals=candidate.marginals(),
        facts={
            "log_evidence": log_evidence,
            "estimates": candidate.estimates(),
            "held_parameters": list(program.parameters),
        },
        seconds={"setup": proved - began, "warmup": 0.0, "sampling": time.perf_counter() - proved},
    )


def family_of(site: Site) -> Family | None:
    """The conjugate form of a site's prior; a uniform on the unit interval is a beta(1, 1)."""
    if site.distribution == "Uniform":
        support: Any = site.support
        unit = bool(
            torch.all(torch.as_tensor(support.lower_bound) == 0) & torch.all(torch.as_tensor(support.upper_bound) == 1)
        )
        return FAMILIES["Beta"] if unit else None
    return FAMILIES.get(site.distribution)


def points(program: Program, centre: float = 0.0) -> dict[str, Tensor]:
    """A random point inside every site's support, about `centre` on the unconstrained scale."""
    values = {}
    for site in program.latent:
        transform = biject_to(site.support)
        values[site.name] = transform(centre + 0.5 * torch.randn(transform.inverse_shape(torch.Size(site.shape))))
    return values


def gradients(program: Program, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradient of the log joint by every latent site, on the site's own scale."""
    free = {name: value.detach().requires_grad_() for name, value in values.items()}
    # 0 times the values: a program need not mention them in a density (a uniform prior does not)
    total = program.log_joint(free) + sum(0.0 * value.sum() for value in free.values())
    return dict(zip(free, torch.autograd.grad(total, list(free.values())), strict=True))


def own_slope(fn: Any, value: Tensor) -> Tensor:
    """Gradient of a distribution's log density at `value`, 0 where it is flat."""
    free = value.detach().requires_grad_()
    return torch.autograd.grad(fn.log_prob(free).sum() + 0.0 * free.sum(), free)[0]


class Candidate:
    """A product of conjugate forms over the sites of a program, with normal sites arranged in one of three ways.

    scaled: the variance of every normal site that has one, by name; its parameters are those at variance 1.
    """

    def __init__(self, program: Program, parameters: Mapping[str, Parameters]) -> None:
        self.program, self.parameters = program, dict(parameters)
        self.scaled: dict[str, str] = {}
        self.joint: tuple[list[Site], Tensor, Tensor] | None = None

    @classmethod
    def recognise(cls, program: Program, arrangement: Arrangement) -> Candidate:
        """Read every site's parameters off gradients at two points; Unproved where they are no parameters at all."""
        low, high = points(program, -1.0), points(program, 1.0)
        slopes = gradients(program, low), gradients(program, high)
        candidate = cls(program, {})
        for site, family in candidate.sites():
            at = torch.stack([low[site.name], high[site.name]])
            candidate.parameters[site.name] = family.solve(
                at, torch.stack([slopes[0][site.name], slopes[1][site.name]])
            )
        normal = [site for site, family in candidate.sites() if isinstance(family, Normal)]
        if arrangement == "scaled":
            candidate.scale(normal, low, high)
        if arrangement == "joint" and sum(int(np.prod(site.shape)) for site in normal) <= MOST_JOINT_NORMALS and normal:
            candidate.join(normal, low)
        if not all(family.proper(candidate.parameters[site.name]) for site, family in candidate.sites()):
            raise Unproved
        return candidate

    def sites(self) -> list[tuple[Site, Family]]:
        return [(site, family) for site in self.program.latent if (family := family_of(site)) is not None]

    def scale(self, sites: list[Site], low: Mapping[str, Tensor], high: Mapping[str, Tensor]) -> None:
        """Give every normal site its variance: the inverse-gamma site of its shape whose product with the normal's
        precision is the same at both points. What the normals say about the variances is taken off these' slopes."""
        variances = [site for site, family in self.sites() if isinstance(family, InverseGamma)]
        if not variances or not sites:
            raise Unproved
        moved = {site.name for site in sites}
        slopes, precisions = [], []
        for here, there in ((low, high), (high, low)):
            slopes.append(gradients(self.program, here))
            other = gradients(self.program, {name: (there if name in moved else here)[name] for name in here})
            precisions.append({name: (slopes[-1][name] - other[name]) / (there[name] - here[name]) for name in moved})
        own = {site.name: torch.stack([slope[site.name] for slope in slopes]) for site in variances}
        for site in sites:
            for variance in variances:
                v = torch.stack([low[variance.name], high[variance.name]])
                precision = torch.stack([found[site.name] for found in precisions])
                if site.shape != variance.shape or not torch.allclose(precision[0] * v[0], precision[1] * v[1], 1e-6):
                    continue
                weight = precision[0] * v[0]
                mean = low[site.name] + slopes[0][site.name] / precision[0]
                distance = torch.stack([low[site.name], high[site.name]]) - mean
                own[variance.name] = own[variance.name] + 0.5 / v - 0.5 * weight * distance.square() / v.square()
                self.scaled[site.name] = variance.name
                self.parameters[site.name] = Parameters(weight * mean, weight)
                break
        for variance in variances:
            at = torch.stack([low[variance.name], high[variance.name]])
            self.parameters[variance.name] = FAMILIES["InverseGamma"].solve(at, own[variance.name])

    def join(self, sites: list[Site], elsewhere: Mapping[str, Tensor]) -> None:
        """One normal over all elements of `sites`, z = mean + root u with u ~ Normal(0, I) and root upper triangular.

        In u, the gradient at 0 is h and its change along axis j is column j of the precision. Read once with root = I,
        and again with the root found: where sites nearly cancel (an intercept and the slope of a calendar year), the
        rounded entries of the precision say little about them until they are measured along its own axes.
        """
        sizes = [int(np.prod(site.shape)) for site in sites]

        def slope(flat: Tensor) -> Tensor:
            parts = {site.name: part.reshape(site.shape) for site, part in zip(sites, flat.split(sizes), strict=True)}
            found = gradients(self.program, {**elsewhere, **parts})
            return torch.cat([found[site.name].reshape(-1) for site in sites])

        mean, root = torch.zeros(sum(sizes)), torch.eye(sum(sizes))
        for _ in range(2):
            origin = root.T @ slope(mean)
            precision = torch.stack([origin - root.T @ slope(mean + axis) for axis in root.T])
            factor, failed = torch.linalg.cholesky_ex((precision + precision.T) / 2)
            if bool(failed):
                raise Unproved
            mean = mean + root @ torch.cholesky_solve(origin[:, None], factor)[:, 0]
            root = torch.linalg.solve_triangular(factor.T, root, upper=True, left=False)
        self.joint = sites, mean, root
        variance = root.square().sum(dim=1)
        for site, centre, spread in zip(sites, mean.split(sizes), variance.split(sizes), strict=True):
            first, second = (value.reshape(site.shape) for value in (centre / spread, 1 / spread))
            self.parameters[site.name] = Parameters(first, second)

    def sample(self, num: int) -> dict[str, Tensor]:
        """Independent draws, `(num, *shape)` by site."""
        draws = {
            site.name: family.distribution(self.parameters[site.name]).sample((num,)) for site, family in self.sites()
        }
        for name, variance in self.scaled.items():
            draws[name] = self.given_variance(name, draws[variance]).sample()
        if self.joint is not None:
            sites, mean, root = self.joint
            flat = mean + torch.randn(num, len(mean)) @ root.T
            parts = flat.split([int(np.prod(site.shape)) for site in sites], dim=1)
            draws |= {site.name: part.reshape(num, *site.shape) for site, part in zip(sites, parts, strict=True)}
        return draws

    def given_variance(self, name: str, variance: Tensor) -> Any:
        """The normal of a scaled site, at a value of its variance."""
        first, weight = self.parameters[name]
        return dist.Normal(first / weight, (variance / weight).sqrt())

    def marginals(self) -> dict[str, Marginal]:
        """The closed-form marginals by site; a normal's with its variance integrated out is Student's t."""
        found = {site.name: family.marginal(self.parameters[site.name]) for site, family in self.sites()}
        scaled = {
            name: student_t(self.parameters[name], self.parameters[variance]) for name, variance in self.scaled.items()
        }
        return found | scaled

    def log_prob(self, values: Mapping[str, Tensor]) -> float:
        """log q at one point."""
        joined = {site.name for site in self.joint[0]} if self.joint is not None else set()
        total = sum(
            family.distribution(self.parameters[site.name]).log_prob(values[site.name]).sum().item()
            for site, family in self.sites()
            if site.name not in joined and site.name not in self.scaled
        )
        for name, variance in self.scaled.items():
            total += self.given_variance(name, values[variance]).log_prob(values[name]).sum().item()
        if self.joint is not None:
            sites, mean, root = self.joint
            flat = torch.cat([values[site.name].reshape(-1) for site in sites])
            u = torch.linalg.solve_triangular(root, (flat - mean)[:, None], upper=True)[:, 0]
            total += (dist.Normal(0.0, 1.0).log_prob(u).sum() - root.diagonal().log().sum()).item()
        return float(total)

    def prove(self) -> float:
        """The log evidence; Unproved unless log p(z, y) - log q(z) is one number at fresh points, near the
        posterior and away."""
        near = self.sample(FRESH_POINTS)
        fresh = [{name: value[i] for name, value in near.items()} for i in range(FRESH_POINTS)]
        away = [points(self.program) for _ in range(FRESH_POINTS)]
        log_joint = np.array([self.program.log_joint(point).item() for point in fresh + away])
        ratio = log_joint - np.array([self.log_prob(point) for point in fresh + away])
        log_evidence = ratio[:FRESH_POINTS].mean()
        rounding = TOLERANCE * max(10.0, np.abs(log_joint).max())
        # far away the log joint may be huge, and its rounding too: that excuses nothing where the posterior is
        allowed = np.repeat([min(rounding, MOST_ROUNDING), rounding], FRESH_POINTS)
        if not np.isfinite(ratio).all() or (np.abs(ratio - log_evidence) > allowed).any():
            raise Unproved
        return float(log_evidence)

    def estimates(self) -> dict[str, dict[str, float | None]]:
        """Maximum likelihood, mode and mean of every element on its own scale, and the weights of prior and
        data, by variable."""
        names = Posterior(
            "exact", {site.name: np.zeros((1, 1, *site.shape)) for site in self.program.latent}, self.program.dims
        )
        low, high = points(self.program, -1.0), points(self.program, 1.0)
        table: dict[str, dict[str, float | None]] = {}
        trace = self.program.trace(low)
        for site, family in self.sites():
            # the prior as it stands with all other sites held where they are
            at = torch.stack([low[site.name], high[site.name]])
            prior = family.solve(at, torch.stack([own_slope(trace.nodes[site.name]["fn"], value) for value in at]))
            if site.name in self.scaled:
                prior = Parameters(*(value * low[self.scaled[site.name]] for value in prior))
            rows = family.estimates(prior, self.parameters[site.name])
            if site.name in self.scaled.values():
                # the likelihood's own maximum needs the mean's
                rows |= {"mle": np.full(site.shape, np.nan)}
            if self.joint is not None and site in self.joint[0]:
                # the likelihood's own maximum needs all joined elements at once; only their means are elementwise
                rows |= dict.fromkeys(("mle", "data_weight"), np.full(site.shape, np.nan))
            for index, variable in names.elements(site.name):
                table[variable] = {key: finite(value[index]) for key, value in rows.items()}
        return table


def finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def refusal(program: Program) -> InputError:
    """Why there is no certificate: a site not conjugate given the others, or two sites that are conjugate only
    one at a time."""
    others = points(program)
    for site in program.latent:
        family = family_of(site)
        assert family is not None
        if not conjugate_alone(program, site, family, others):
            against = dependents(program, site, others)
            rule = f"site `{site.name}` ({site.distribution}) is not conjugate to {against}"
            return InputError(f"`exact` cannot fit {program.name}", rule, "use `nuts` or `svi`")
    names = " and ".join(f"`{site.name}`" for site in program.latent)
    rule = f"sites {names} are conjugate one at a time, but dependent on each other in the posterior"
    if len(program.latent) == 1:
        rule = f"the posterior of site {names} is not of its prior's form everywhere"
    return InputError(f"`exact` cannot fit {program.name}", rule, "use `nuts` or `svi`")


def conjugate_alone(program: Program, site: Site, family: Family, others: Mapping[str, Tensor]) -> bool:
    """Whether the gradient by `site` has its family's form with all other sites fixed, element by element or
    jointly normal."""
    if isinstance(family, Normal):
        # linear in z: the change along a step is the same from two different starting points
        step, here, there = (points(program, centre)[site.name] for centre in (0.0, -1.0, 1.0))
        changes = [
            gradients(program, {**others, site.name: z + step})[site.name]
            - gradients(program, {**others, site.name: z})[site.name]
            for z in (here, there)
        ]
        return bool(torch.allclose(changes[0], changes[1], rtol=1e-8, atol=1e-8 * float(changes[0].abs().max() + 1)))
    values = [points(program, centre)[site.name] for centre in (-1.0, 1.0, 0.0, 0.5)]
    slopes = [gradients(program, {**others, site.name: value})[site.name] for value in values]
    first = family.solve(torch.stack(values[:2]), torch.stack(slopes[:2]))
    second = family.solve(torch.stack(values[2:]), torch.stack(slopes[2:]))
    return all(
        torch.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in zip(first, second, strict=True)
    ) and family.proper(first)


def dependents(program: Program, site: Site, values: Mapping[str, Tensor]) -> str:
    """The sites whose density changes with `site`, itself aside: `y` (Bernoulli with logits)."""
    free = {name: value.detach().requires_grad_(name == site.name) for name, value in values.items()}
    trace = program.trace(free)
    trace.compute_log_prob()
    found = []
    for other in (*program.latent, *program.observed):
        term = trace.nodes[other.name]["log_prob_sum"]
        if other.name != site.name and term.requires_grad:
            fn = trace.nodes[other.name]["fn"]
            logits = " with logits" if "logits" in vars(fn) and "probs" not in vars(fn) else ""
            found.append(f"`{other.name}` ({distribution_name(fn)}{logits})")
    return " and ".join(found) or "its own prior"
