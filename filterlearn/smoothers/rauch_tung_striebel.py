"""The Rauch-Tung-Striebel smoother."""

import jax

from filterlearn.protocol import AbstractAlgorithm
from filterlearn.smoothers.base import AbstractRauchTungStriebel, returned


class RauchTungStriebel(AbstractRauchTungStriebel):
    """A backward pass over the Gaussian beliefs of `filter` (Rauch, Tung & Striebel 1965, doi:10.2514/3.3166):

        m_k|T = m_k + G (m_k+1|T - m_k+1|k),   P_k|T = P_k + G (P_k+1|T - P_k+1|k) G',   G = P_k A' P_k+1|k^-1,

    with A the derivative of the predicted mean with respect to the mean: A itself when the model is linear, the product of
    the substeps' Jacobians for `ExtendedKalman`, the average Jacobian for `SigmaPoint` (P A' is then the covariance of the
    two states by Stein's lemma). Exact for linear-Gaussian models, biased like its filter otherwise. Singular covariances are
    legal. With `Joint(filter)` it smooths state and parameters together. After a diffuse start G is its limit.

    Raises TypeError for beliefs that are not Gaussian, ValueError where the last datum leaves a state diffuse.
    """

    filter: AbstractAlgorithm

    def sweep(self, last, steps):
        """One after another."""

        def one(moments, step):
            new = returned(moments, step)
            return new, new

        return jax.lax.scan(one, last, steps, reverse=True)[1]
