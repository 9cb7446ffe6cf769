"""A4: the gradients of three SDEs in closed form at the published step; the short form is in tests/oracles."""

import pytest

from tests.oracles.test_gradients import EQUATIONS, SCHEMES, errors, orders


@pytest.mark.science
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_gradient_at_the_published_step(equation, scheme):
    """Target: mean error below 1e-2 at a step of 1e-3, and order 1; key 4, 2,000 paths."""
    steps = (125, 250, 500, 1000)
    found = errors(equation, scheme, steps, 2_000)
    listed = ", ".join(f"1/{n}: {error:.2e}" for n, error in zip(steps, found, strict=True))
    print(f"\n{equation}, {scheme}: gradient error {listed} (target 1e-2 at 1/1000); orders {orders(found).round(3)}")
    assert found[-1] < 1e-2
    assert (abs(orders(found) - 1) < 0.1).all()
