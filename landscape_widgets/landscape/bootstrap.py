"""More samples around some: a smoothed bootstrap (Silverman 1986, section 6.4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from landscape_widgets.geometry.cloud import Cloud

BANDWIDTH = 0.5  # of the kernel, in standard deviations of the chosen samples
NEIGHBOURS = 10  # whose spread stands for that of a single sample


def refined(cloud: Cloud, indices: npt.ArrayLike, n: int, seed: int = 0) -> Cloud:
    """A cloud and, behind its samples, new ones around some of them.

    Each new sample is one of the chosen ones, plus a normal displacement with half their standard
    deviation. Around a single sample, its ten nearest neighbours give the scale.

    Parameters
    ----------
    cloud : Cloud
    indices : array
        Around which samples.
    n : int
        How many new ones.
    seed : int
        With the number of samples that there are: refined again, other samples are drawn.

    Raises
    ------
    ValueError
        If no samples are given, or n is not positive.
    """
    chosen = np.unique(np.atleast_1d(np.asarray(indices, dtype=np.int64)))
    if not len(chosen) or n < 1:
        raise ValueError(
            f"{len(chosen)} samples and n={n} were given; at least one of each is expected. "
            "Select the samples to refine around first."
        )
    around = chosen
    if len(chosen) == 1:
        points = cloud.isometric()
        distances = np.linalg.norm(points - points[chosen], axis=1)
        around = np.argsort(distances, kind="stable")[: NEIGHBOURS + 1]
    rng = np.random.default_rng([seed, len(cloud)])
    centred = cloud.coefficients[around] - cloud.coefficients[around].mean(axis=0)
    noise = rng.normal(size=(n, len(around))) @ centred / np.sqrt(max(1, len(around) - 1))
    coefficients = cloud.coefficients[rng.choice(chosen, size=n)] + BANDWIDTH * noise
    table = pd.DataFrame(
        {"sampler": "refine", "kind": "sample", "path": -1, "step": 0}, index=range(n)
    )
    return cloud.extended(coefficients, table)
