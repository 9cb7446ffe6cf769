"""What the demo is measured against: one-step log scores of GARCH models and of RiskMetrics, and the error of a gain."""

from typing import Literal

import numpy as np

START = 1000  # days before the scores begin


def garch_scores(returns: np.ndarray, *, every: int = 252) -> dict[str, np.ndarray]:
    """One-step log scores of the rivals on the scored days, refitted every `every` days on the past only."""
    from arch import arch_model

    scores = {}
    forms: dict[str, tuple[int, Literal["normal", "t"]]] = {
        "GARCH(1,1)": (0, "normal"),
        "GARCH(1,1) Student-t": (0, "t"),
        "GJR": (1, "normal"),
        "GJR Student-t": (1, "t"),
    }
    for name, form in forms.items():
        model, out = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=form[0], q=1, dist=form[1]), []
        for start in range(START, len(returns), every):
            fitted = model.fit(last_obs=start, disp="off")
            sigma2 = model.fix(fitted.params).conditional_volatility ** 2
            stop = min(start + every, len(returns))
            shape = fitted.params[-1:].to_numpy() if form[1] == "t" else np.empty(0)
            residuals = returns[start:stop] - fitted.params["mu"]
            terms = model.distribution.loglikelihood(shape, residuals, sigma2[start:stop], individual=True)
            out.append(np.asarray(terms))
        scores[f"{name}, refitted"] = np.concatenate(out)
    return scores


def riskmetrics(returns: np.ndarray, decay: float = 0.94) -> np.ndarray:
    """Scores of the exponentially weighted variance with zero mean."""
    variance, out = np.var(returns[:START]), []
    for k, r in enumerate(returns):
        if k >= START:
            out.append(-0.5 * (np.log(2 * np.pi * variance) + r**2 / variance))
        variance = decay * variance + (1 - decay) * r**2
    return np.array(out)


def newey_west(gain: np.ndarray, lags: int = 20) -> float:
    """Standard error of a mean under autocorrelation (Newey & West 1987, doi:10.2307/1913610)."""
    e = gain - gain.mean()
    total = np.mean(e**2) + 2 * sum((1 - j / (lags + 1)) * np.mean(e[j:] * e[:-j]) for j in range(1, lags + 1))
    return float(np.sqrt(total / len(e)))
