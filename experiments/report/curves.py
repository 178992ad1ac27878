"""Density curves from draws: a binned Gaussian kernel estimate, reflected at borders so that none leaks."""

from __future__ import annotations

import numpy as np

BINS = 512


def bounds(*samples: np.ndarray) -> tuple[float, float]:
    """The support that all the draws suggest: (0, 1), (0, inf) or the real line."""
    finite = np.concatenate([sample[np.isfinite(sample)].ravel() for sample in samples])
    if len(finite) == 0 or finite.min() < 0:
        return -np.inf, np.inf
    return 0.0, 1.0 if finite.max() <= 1 else np.inf


def bandwidth(draws: np.ndarray) -> float:
    """Silverman's rule of thumb (1986, eq. 3.31): 0.9 min(sd, IQR / 1.34) n^(-1/5)."""
    low, high = np.quantile(draws, [0.25, 0.75])
    widths = [width for width in (draws.std(), (high - low) / 1.34) if width > 0]
    return 0.9 * min(widths, default=0.0) * len(draws) ** -0.2


def density(draws: np.ndarray, support: tuple[float, float]) -> tuple[np.ndarray, np.ndarray] | None:
    """Points and density there, `(BINS,)` each, over the middle 99.8% and a little more, within the support.

    None where the draws have no spread (a point estimate) or are not finite.
    """
    from scipy.ndimage import gaussian_filter1d

    finite = draws[np.isfinite(draws)].ravel()
    if len(finite) < 2 or np.ptp(finite) <= 1e-12 * np.abs(finite).max():
        return None
    width = bandwidth(finite)
    # A long tail must not widen the bins beyond the kernel; the height is still that for all draws.
    low, high = np.quantile(finite, [0.001, 0.999])
    low, high = max(low - 4 * width, support[0]), min(high + 4 * width, support[1])
    counts, edges = np.histogram(finite, BINS, (low, high))
    step = edges[1] - edges[0]
    heights = gaussian_filter1d(counts / (len(finite) * step), width / step, mode="reflect")
    return (edges[:-1] + edges[1:]) / 2, heights
