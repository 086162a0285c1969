"""t-SNE by openTSNE."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from landscape_widgets.controls import Control, check_controls
from landscape_widgets.geometry.basis import FloatArray
from landscape_widgets.progress import CancelCallback, Progress, ProgressCallback, ignore
from landscape_widgets.reducers.base import Frame, FrameCallback, Reducer, lowered
from landscape_widgets.reducers.neighbours import neighbour_index

STEP = 25  # iterations between two looks at the map
# Points up to which forces are exact, by the map's dimensions: above, a mesh or a tree is faster.
EXACT = {2: 5_000, 3: 10_000}


class TSNE(Reducer):
    """t-distributed stochastic neighbour embedding (van der Maaten and Hinton 2008).

    Points become probabilities of being neighbours: normal ones in the original space, whose
    widths make every point have about `perplexity` neighbours, and heavy-tailed ones on the map.
    Gradient descent moves the map until the Kullback-Leibler divergence between the two is small.
    Who is next to whom can be trusted; sizes of groups and gaps between them cannot.

    Parameters
    ----------
    perplexity : float
        How many neighbours count. Lowered to a third of the points where it is more.
    early_exaggeration : float
        Factor on the attraction in the first iterations, which lets groups form. The 4 of van der
        Maaten and Hinton: with exact forces, the 12 that is usual since ends in worse optima.
    early_iterations, iterations : int
        With and without that factor. 100 + 400 come within 1% of the divergence of openTSNE's own
        250 + 500, or below it, on clouds of this kind (``benchmarks/reducers.py``).
    learning_rate : float or "auto"
        "auto" is N / exaggeration (Belkina et al. 2019).
    initialization : {"pca", "random"}
    min_improvement : float
        Stop when the relative fall of the divergence over 25 iterations is smaller; 0 never stops
        early.
    min_grad_norm : float
        Stop when the gradient of the divergence, as one long vector, is shorter (scikit-learn
        stops at 1e-7); 0 never stops early.
    """

    objective = "KL divergence"
    _compiles = True
    controls = (
        Control("perplexity", "perplexity", "how many neighbours of a sample count", above=1),
        Control("early_exaggeration", "early exaggeration", "attraction at first", least=1),
        Control("early_iterations", "early iterations", "with exaggeration", "whole", least=0),
        Control("iterations", "iterations", "after them, without", "whole", least=1),
        Control("learning_rate", "learning rate", "how far a step goes", above=0, empty="auto"),
        Control(
            "initialization",
            "initialisation",
            "where samples start",
            "choice",
            choices=("pca", "random"),
        ),
        Control(
            "min_improvement",
            "min. improvement",
            "stop where the divergence falls by a smaller share in 25 iterations",
            least=0,
            most=1,
        ),
        Control("min_grad_norm", "min. gradient norm", "stop where it is smaller", least=0),
    )

    def __init__(
        self,
        perplexity: float = 30,
        *,
        early_exaggeration: float = 4,
        early_iterations: int = 100,
        iterations: int = 400,
        learning_rate: float | Literal["auto"] = "auto",
        initialization: Literal["pca", "random"] = "pca",
        min_improvement: float = 0.0,
        min_grad_norm: float = 0.0,
    ) -> None:
        self.perplexity = perplexity
        self.early_exaggeration = early_exaggeration
        self.early_iterations = early_iterations
        self.iterations = iterations
        self.learning_rate = learning_rate
        self.initialization = initialization
        self.min_improvement = min_improvement
        self.min_grad_norm = min_grad_norm
        check_controls(self)

    @property
    def name(self) -> str:
        return "t-SNE"

    def _lower(self, n: int, n_components: int) -> tuple[str, ...]:
        # Affinities reach to three times the perplexity (van der Maaten 2014). One of 1 would be
        # that of a single neighbour, so that the fewest points have nearer to half of the others.
        most = max((n - 1) / 3, min(2.0, (n - 1) / 2))
        self._perplexity = min(self.perplexity, most)
        self._exaggerated = self.early_iterations
        said = []
        if self._perplexity < self.perplexity:
            said.append(lowered("The perplexity", self.perplexity, self._perplexity, n))
        if 3 * self._perplexity >= n - 1 and self.early_exaggeration > 1 and self._exaggerated:
            self._exaggerated = 0
            said.append(
                f"Early exaggeration is left out: of only {n} samples, each has nearly all others "
                "for neighbours, and stronger attraction would draw them onto a line."
            )
        return tuple(said)

    def warm_up(self, progress: ProgressCallback = ignore) -> None:
        few = np.random.default_rng(0).normal(size=(30, 3))
        TSNE(perplexity=2, early_iterations=1, iterations=1).fit(few, progress=progress)

    def _fit(
        self,
        points: FloatArray,
        n_components: int,
        seed: int,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_frame: FrameCallback | None,
    ) -> FloatArray:
        from openTSNE import initialization

        total = self.early_iterations + self.iterations
        progress(Progress("map", 0, total))
        start = (
            # A start of length 1e-4 needs no more digits, and many samples take half the time.
            initialization.pca(points.astype(np.float32), n_components, random_state=seed)
            if self.initialization == "pca"
            else initialization.random(points, n_components, random_state=seed)
        )
        embedding = self._begin(points, start, seed)
        watch = _Watch(
            total, self.min_improvement, self.min_grad_norm, progress, cancelled, on_frame
        )
        for phase, count, exaggeration in (
            ("early exaggeration", self._exaggerated, self.early_exaggeration),
            ("t-SNE", total - self._exaggerated, 1),
        ):
            done = 0
            while done < count and not watch.stopped:
                step = min(STEP, count - done)
                embedding = embedding.optimize(
                    step, learning_rate=self.learning_rate, exaggeration=exaggeration, n_jobs=1
                )
                done += step
                watch.look(embedding, step, phase)
            watch.stopped = cancelled()
        self._embedding = embedding
        divergence = embedding.kl_divergence  # None before the first iteration
        self.info = {
            "kl_divergence": math.nan if divergence is None else float(divergence),
            "iterations": watch.iteration,
            "perplexity": self._perplexity,
        }
        if self.min_grad_norm > 0:
            self.info["gradient_norm"] = gradient_norm(embedding)
        coordinates: FloatArray = np.array(embedding, dtype=np.float64)
        return coordinates

    def _begin(self, points: FloatArray, start: FloatArray, seed: int) -> Any:
        """A map of the points, as it is at the start."""
        from openTSNE import TSNEEmbedding, affinity

        dimensions = start.shape[1]
        many, flat = len(points) > EXACT[dimensions], dimensions == 2
        forces: Any
        try:
            if not many:
                from landscape_widgets.reducers.tsne_exact import kl_divergence_exact as forces
            elif flat:
                from landscape_widgets.reducers.tsne_mesh import kl_divergence_mesh as forces
            else:
                forces = "bh"
        except ImportError:  # of numba
            forces = "fft" if many and flat else "bh"
        k = min(len(points) - 1, int(3 * self._perplexity))
        affinities = affinity.PerplexityBasedNN(
            perplexity=self._perplexity,
            n_jobs=1,
            knn_index=neighbour_index(points, k, seed=seed),
        )
        return TSNEEmbedding(
            np.ascontiguousarray(start, dtype=np.float64),
            affinities,
            negative_gradient_method=forces,
            random_state=seed,
            n_jobs=1,
        )

    def _resume(self, points: FloatArray, coordinates: FloatArray, seed: int) -> None:
        self._embedding = self._begin(points, coordinates, seed)

    def _place(self, points: FloatArray) -> FloatArray:
        # Each point between its nearest neighbours, then moved by its own forces alone.
        partial = self._embedding.prepare_partial(points, perplexity=min(5, self._perplexity))
        partial = partial.optimize(100, learning_rate=0.1, exaggeration=1.5, momentum=0.8, n_jobs=1)
        coordinates: FloatArray = np.array(partial, dtype=np.float64)
        return coordinates


def gradient_norm(embedding: Any) -> float:
    """Length of the gradient of the divergence with respect to a whole map of openTSNE.

    openTSNE's own gradient leaves out the factor 4 of van der Maaten and Hinton (2008, eq. 5).
    """
    from openTSNE.tsne import kl_divergence_bh, kl_divergence_fft

    options = embedding.gradient_descent_params
    method = options["negative_gradient_method"]
    objective = {"bh": kl_divergence_bh, "fft": kl_divergence_fft}.get(method, method)
    _, gradient = objective(
        embedding,
        embedding.affinities.P,
        # What is not set is openTSNE's default.
        dof=options.get("dof", 1),
        bh_params={"theta": options.get("theta", 0.5)},
        fft_params={
            "n_interpolation_points": options.get("n_interpolation_points", 3),
            "min_num_intervals": options.get("min_num_intervals", 50),
            "ints_in_interval": options.get("ints_in_interval", 1),
        },
        reference_embedding=None,
        n_jobs=1,
    )
    return 4 * float(np.linalg.norm(gradient))


class _Watch:
    """Tells of the map as it moves, and when to stop."""

    def __init__(
        self,
        total: int,
        min_improvement: float,
        min_grad_norm: float,
        progress: ProgressCallback,
        cancelled: CancelCallback,
        on_frame: FrameCallback | None,
    ) -> None:
        self.total = total
        self.min_improvement, self.min_grad_norm = min_improvement, min_grad_norm
        self.progress, self.cancelled, self.on_frame = progress, cancelled, on_frame
        self.iteration = 0
        self.stopped = False
        self._divergence = np.inf

    def look(self, embedding: Any, step: int, phase: str) -> None:
        self.iteration += step
        divergence = float(embedding.kl_divergence)
        self.progress(Progress("map", self.iteration, self.total))
        if self.on_frame is not None:
            coordinates = np.array(embedding, dtype=np.float64)
            self.on_frame(Frame(self.iteration, self.total, coordinates, divergence, phase))
        settled = (
            phase == "t-SNE"
            and self.min_improvement > 0
            and self._divergence - divergence < self.min_improvement * self._divergence
        )
        # One more gradient in 25, and only where somebody asks for it.
        settled = settled or (
            phase == "t-SNE"
            and self.min_grad_norm > 0
            and gradient_norm(embedding) < self.min_grad_norm
        )
        self._divergence = divergence if phase == "t-SNE" else np.inf
        self.stopped = settled or self.cancelled()
