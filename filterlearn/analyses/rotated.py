"""A random rotation after an analysis."""

from filterlearn.analyses.base import AbstractAnalysis, centred, mean_preserving_rotation


class Rotated(AbstractAnalysis):
    """The analysis inside, then a random orthogonal mixing of the anomalies that keeps mean and covariance: without it, the
    members of a square-root filter of a nonlinear model cluster about outliers (Sakov & Oke 2008,
    doi:10.1175/2007MWR2021.1)."""

    analysis: AbstractAnalysis

    def revise(self, members, seen, *, key):
        """The members of the analysis inside, rotated about their mean."""
        return _rotated(self.analysis.revise(members, seen, key=key), key)

    def analysed(self, start, members, seen, forward, see, *, key):
        """The same, for an analysis that looks before the gap."""
        return _rotated(self.analysis.analysed(start, members, seen, forward, see, key=key), key)


def _rotated(members, key):
    mean, anomalies = centred(members)
    return mean + mean_preserving_rotation(key, members.shape[0], members.dtype) @ anomalies
