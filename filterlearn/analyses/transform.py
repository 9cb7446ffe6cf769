"""The ensemble transform Kalman filter."""

from filterlearn.analyses.base import AbstractAnalysis, symmetric_transform


class Transform(AbstractAnalysis):
    """The anomalies times the symmetric square root (I + Z' Z)^-1/2 (Bishop, Etherton & Majumdar 2001,
    doi:10.1175/1520-0493(2001)129<0420:ASWTET>2.0.CO;2; Hunt, Kostelich & Szunyogh 2007, doi:10.1016/j.physd.2006.11.008).

    Mean and covariance are those of the Kalman update with the sample moments, exactly. `Rotated(Transform())` adds the
    random rotation that keeps members from clustering.
    """

    def revise(self, members, seen, *, key):
        """Mean and anomalies, without random numbers."""
        return symmetric_transform(members, seen)
