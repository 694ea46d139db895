"""How well the animal did: reward rate, rolling hit and false alarm rates, d-prime.

The formulas are the ones the releases were published with; where they surprise, it is said.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["is_passive", "performance_metrics", "reward_rate", "rolling_performance"]

_BEFORE: Final = 25
_FIRST_TRIALS: Final = 10
_TIMELY_S: Final = 0.75
_WINDOW: Final = 100
_COUNTS: Final = ("go", "catch", "hit", "miss", "false_alarm", "correct_reject")


def change_times(trials: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return when the image changed, in s; without the display's delay where that is stored."""
    name = "change_time_no_display_delay"
    found: np.ndarray[Any, Any] = trials[name if name in trials else "change_time"].to_numpy(
        "float64"
    )
    return found


def _latencies(trials: pd.DataFrame, after_s: float) -> np.ndarray[Any, Any]:
    """Return the first lick later than `after_s` behind each change, in s; inf where none."""
    import numpy as np

    found = np.full(len(trials), np.inf)
    changes = change_times(trials)
    for at, (change, licks) in enumerate(zip(changes, trials["lick_times"], strict=True)):
        since = np.asarray(licks, dtype="float64") - change
        timely = since[since > after_s]
        if len(timely):
            found[at] = timely[0]
    return found


def reward_rate(trials: pd.DataFrame, after_s: float) -> np.ndarray[Any, Any]:
    """Return the reward rate at each trial, in rewards per minute.

    The window is 25 trials before, the trial itself and 24 after, aborted ones included. Every
    timely lick counts, also on catch trials and after free rewards: that is how the releases count.

    Parameters
    ----------
    trials
        The trials of a session.
    after_s
        Beginning of the response window, in s after the change.

    Returns
    -------
    array of float64
        NaN for the first ten trials, and where the window has no length.
    """
    import numpy as np

    count = len(trials)
    good = (_latencies(trials, after_s) < _TIMELY_S).astype("float64")
    before = np.concatenate([[0.0], np.cumsum(good)])
    starts = trials["start_time"].to_numpy("float64")
    rates = np.full(count, np.nan)
    at = np.arange(_FIRST_TRIALS, count)
    if not len(at):
        return rates
    first = np.maximum(at - _BEFORE, 0)
    stop = np.minimum(at + _BEFORE, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (before[stop] - before[first]) / (starts[stop - 1] - starts[first]) * 60
    found[np.isinf(found)] = np.nan
    rates[at] = found
    return rates


def is_passive(trials: pd.DataFrame) -> bool:
    """Return whether nothing was given and nothing licked in the whole session."""
    none_given = bool((trials["reward_volume"] == 0).all())
    return none_given and all(len(licks) == 0 for licks in trials["lick_times"])


def rolling_performance(trials: pd.DataFrame, after_s: float) -> pd.DataFrame:
    """Return rates over the last 100 trials that were not aborted.

    Auto-rewarded trials take a place among the 100 and count neither way.

    Parameters
    ----------
    trials, after_s
        As for `reward_rate`.

    Returns
    -------
    DataFrame
        Index ``trials_id``; ``reward_rate`` (1/min), ``hit_rate_raw``, ``hit_rate``,
        ``false_alarm_rate_raw``, ``false_alarm_rate``, ``rolling_dprime``; NaN on aborted trials
        except for the reward rate.
    """
    import numpy as np
    import pandas as pd

    made = pd.DataFrame(index=trials.index)
    made["reward_rate"] = reward_rate(trials, after_s)
    kept = ~trials["aborted"].to_numpy(bool)
    tried = trials[kept]
    for name, yes, no in (
        ("hit_rate", "hit", "miss"),
        ("false_alarm_rate", "false_alarm", "correct_reject"),
    ):
        said = np.where(tried[yes], 1.0, np.where(tried[no], 0.0, np.nan))
        rolling = pd.Series(said, index=tried.index).rolling(_WINDOW, min_periods=0)
        raw, number = rolling.mean(), rolling.count()
        made.loc[kept, f"{name}_raw"] = raw
        with np.errstate(divide="ignore"):
            edge = 1 / (2 * number.to_numpy())
        made.loc[kept, name] = np.clip(raw.to_numpy(), edge, 1 - edge)
    made["rolling_dprime"] = np.nan
    if is_passive(trials):
        made.loc[kept, "rolling_dprime"] = 0.0
    else:
        made.loc[kept, "rolling_dprime"] = _z(made["hit_rate"][kept]) - _z(
            made["false_alarm_rate"][kept]
        )
    names = ["reward_rate", "hit_rate_raw", "hit_rate", "false_alarm_rate_raw"]
    return made[[*names, "false_alarm_rate", "rolling_dprime"]]


def _z(rates: pd.Series) -> np.ndarray[Any, Any]:
    """Return the inverse of the normal distribution, rates limited to 0.01 to 0.99."""
    import numpy as np

    inverse = NormalDist().inv_cdf
    limited = np.clip(rates.to_numpy("float64"), 0.01, 0.99)
    return np.array([np.nan if np.isnan(v) else inverse(v) for v in limited])


def performance_metrics(
    trials: pd.DataFrame, rewards: pd.DataFrame, rolling: pd.DataFrame, engaged_above: float
) -> dict[str, Any]:
    """Sum a session up; names and order as the releases' tables have them.

    Parameters
    ----------
    trials, rewards, rolling
        Of the session.
    engaged_above
        Trials with a higher reward rate, in 1/min, count as engaged.
    """
    import numpy as np

    rate = rolling["reward_rate"]
    engaged = (rate > engaged_above).to_numpy()
    found: dict[str, Any] = {"trial_count": len(trials)}
    found |= {f"{name}_trial_count": int(trials[name].sum()) for name in _COUNTS}
    known = rate.dropna()
    found |= {
        "auto_reward_count": int(trials["auto_rewarded"].sum()),
        "earned_reward_count": int(trials["hit"].sum()),
        "total_reward_count": len(rewards),
        "total_reward_volume": float(rewards["volume"].sum()),
        "maximum_reward_rate": float(known.max()) if len(known) else np.nan,
        "engaged_trial_count": int(engaged.sum()),
    }
    for name in ("hit_rate", "false_alarm_rate"):
        found[f"mean_{name}"] = rolling[name].mean()
        found[f"mean_{name}_uncorrected"] = rolling[f"{name}_raw"].mean()
        found[f"mean_{name}_engaged"] = rolling[name][engaged].mean()
    dprime = rolling["rolling_dprime"]
    found |= {
        "mean_dprime": dprime.mean(),
        "mean_dprime_engaged": dprime[engaged].mean(),
        "max_dprime": dprime.max(),
        "max_dprime_engaged": dprime[engaged].max(),
    }
    return found
