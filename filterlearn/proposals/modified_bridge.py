"""The modified diffusion bridge."""

from filterlearn.proposals.base import AbstractConditioned
from filterlearn.quadratures.base import AbstractQuadrature


class ModifiedBridge(AbstractConditioned):
    """Draws each of the substeps of a gap given the datum at its end, as if the drift a and the covariance b per unit of time
    stayed what they are at the substep's start (Durham & Gallant 2002, doi:10.1198/073500102288618397; with a noisy, partial
    datum y = H x + N(0, R) as in Golightly & Wilkinson 2008, doi:10.1016/j.csda.2007.05.019): over a substep h, with D left,

        x' ~ N(x + h (a + b H' S^-1 (y - H (x + D a))), h (b - h b H' S^-1 H b)),    S = D H b H' + R.

    Weighs by density times transition over proposal, so that the filter stays consistent for the scheme's own law, whose
    evidence it estimates without bias. For SDEs with several substeps and an informative datum; with one substep it is
    `Guided`. The observation is linearised to first order or by `rule`. Where the drift bends much within a gap the constant
    drift points beside the datum, and the weights are uneven: take `ResidualBridge`. Raises TypeError for substeps that are
    not of Gaussian law (jumps, `Milstein`, `Diffrax` but with Euler, `SinceLast`, several substeps inside `Joint`).
    """

    rule: AbstractQuadrature | None = None
