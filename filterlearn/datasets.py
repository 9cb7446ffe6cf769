"""Real data from installed packages."""

import numpy as np

from filterlearn.data import Dataset


def sp500() -> tuple[Dataset, np.ndarray]:
    """Daily log-returns of the S&P 500 in percent, 1999-2018 (5,030), on a clock of trading days, and their dates.

    Read from the `arch` package (`pip install filterlearn[data]`).
    """
    try:
        from arch.data import sp500 as source
    except ImportError as error:
        raise ImportError("sp500: the data come with the arch package; pip install 'filterlearn[data]'") from error
    prices = source.load()["Adj Close"]
    returns = 100 * np.diff(np.log(prices.to_numpy()))
    return Dataset(np.arange(1.0, len(returns) + 1), returns.astype(np.float32)), prices.index.to_numpy()[1:]


def nile() -> Dataset:
    """Annual flow of the Nile at Aswan, 1871-1970, in 10^8 cubic metres, from the `statsmodels` package."""
    try:
        from statsmodels.datasets import nile as source
    except ImportError as error:
        raise ImportError("nile: the data come with statsmodels; pip install 'filterlearn[data]'") from error
    frame = source.load_pandas().data
    return Dataset(frame["year"].to_numpy(float), frame["volume"].to_numpy(float))
