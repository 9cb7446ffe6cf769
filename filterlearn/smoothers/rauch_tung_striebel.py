"""The Rauch-Tung-Striebel smoother."""

import jax
import jax.numpy as jnp

from filterlearn.beliefs.gaussian import AbstractGaussianBelief
from filterlearn.inputs import by_row
from filterlearn.numerics.small import symmetric
from filterlearn.protocol import AbstractAlgorithm
from filterlearn.smoothers.base import AbstractSmoother, divided, gaussian, sloped, with_moments


class RauchTungStriebel(AbstractSmoother):
    """A backward pass over the Gaussian beliefs of `filter` (Rauch, Tung & Striebel 1965, doi:10.2514/3.3166):

        m_k|T = m_k + G (m_k+1|T - m_k+1|k),   P_k|T = P_k + G (P_k+1|T - P_k+1|k) G',   G = P_k A' P_k+1|k^-1,

    with A the derivative of the predicted mean with respect to the mean: A itself when the model is linear, the product of
    the substeps' Jacobians for `ExtendedKalman`, the average Jacobian for `SigmaPoint` (P A' is then the covariance of the
    two states by Stein's lemma). Exact for linear-Gaussian models, biased like its filter otherwise. Singular covariances are
    legal. With `Joint(filter)` it smooths state and parameters together.

    Raises TypeError for beliefs that are not Gaussian, a diffuse start's among them.
    """

    filter: AbstractAlgorithm

    def backward(self, problem, beliefs, data, *, key):
        """One scan from the last belief to the first."""
        if not isinstance(gaussian(beliefs), AbstractGaussianBelief):
            name = type(gaussian(beliefs)).__name__
            raise TypeError(f"trajectory: Gaussian beliefs are needed, got {name}; filter with a Gaussian filter and start")
        rows, read = by_row(data.inputs)

        def one(after, each):
            belief, time, row = each
            new = self._revised(problem, belief, after, time, read(row))
            return new, new

        later = jax.tree.map(lambda leaf: leaf[1:], (data.times, rows))
        before = jax.tree.map(lambda leaf: leaf[:-1], beliefs)
        last = jax.tree.map(lambda leaf: leaf[-1], beliefs)
        earlier = jax.lax.scan(one, last, (before, *later), reverse=True)[1]
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), earlier, last)

    def _revised(self, problem, belief, after, time, inputs):
        """The belief at k given all data, from that at k + 1."""
        here, m, p = gaussian(after), gaussian(belief).mean, gaussian(belief).covariance
        matrix, ahead = sloped(self.filter, problem, belief, time, inputs)
        moved = gaussian(ahead)
        gain = divided(moved.covariance, matrix @ p).T
        mean = m + gain @ (here.mean - moved.mean)
        return with_moments(belief, mean, symmetric(p + gain @ (here.covariance - moved.covariance) @ gain.T))
