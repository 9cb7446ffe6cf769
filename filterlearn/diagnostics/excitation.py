"""Which directions of the parameters the data have told of."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_SHOWN = 0.3  # of a unit direction: entries below it are left out of its name


class Excitation(eqx.Module):
    """Posterior over prior variance `(p,)` in directions `(p, p)`, one a row, of theta in units of its prior standard
    deviations: the least excited first. `entries` names the columns."""

    ratios: Float[Array, "p"]
    directions: Float[Array, "p p"]
    entries: tuple[str, ...] = eqx.field(static=True)

    def unexcited(self, above: float = 0.5) -> list[str]:
        """The directions of which the data have told little, in words: those whose ratio is above a bound."""
        return [in_words(row, self.entries) for row in np.asarray(self.directions)[np.asarray(self.ratios) > above]]


def in_words(direction, entries) -> str:
    """A direction as a sum of entries, the largest positive."""
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
    terms = [f"{share:+.2f} {name}" for share, name in zip(direction, entries, strict=True) if abs(share) > _SHOWN]
    return " ".join(terms or ["many entries"]).removeprefix("+")


def excitation(family, belief) -> Excitation:
    """The prior-to-posterior variances of a learner's belief in every direction: the eigenvalues of S^-1 P S^-1, P the
    covariance of theta on the unconstrained scale and S the prior's standard deviations (Bellman & Astrom 1970,
    doi:10.1016/0025-5564(70)90132-X, on what data can identify).

    A ratio near 1 is a direction that the data do not excite: what the belief says of it is the prior, or its motion. Near 0
    it is learned. Above 1 the motion has carried it beyond the prior.
    """
    covariance = belief.parameters.covariance / (family.sd[:, None] * family.sd)
    ratios, columns = jnp.linalg.eigh(covariance)
    return Excitation(ratios[::-1], columns.T[::-1], family.entries)
