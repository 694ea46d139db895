"""What an answer comes to, short enough to keep: compared with what AllenSDK's came to.

An array is summed up by its type, shape, gaps, sum, sum weighted by position, and 48 samples.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from typing import Any

import numpy as np
import pandas as pd

SAMPLES = 48


def summary(value: Any) -> Any:  # noqa: PLR0911 - one for each kind
    """Return what a value comes to, as JSON holds it."""
    if value is None or value is pd.NA:
        return None
    if isinstance(value, pd.DataFrame):
        return _frame(value)
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, dict):
        return {str(k): summary(v) for k, v in value.items()}
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [summary(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _array(values: np.ndarray) -> Any:
    if values.dtype == object:
        return _objects(list(values.ravel()))
    flat = values.ravel()
    numbers = flat.astype("float64")
    known = np.nan_to_num(numbers, nan=0.0, posinf=1e6, neginf=-1e6)
    at = np.unique(np.linspace(0, max(len(flat) - 1, 0), SAMPLES).astype(int)) if len(flat) else []
    return {
        "dtype": str(values.dtype),
        "shape": list(values.shape),
        "gaps": int(np.isnan(numbers).sum()),
        "sum": float(known.sum()),
        "weighted": float((known * np.linspace(1, 2, len(known))).sum()),
        "samples": [summary(float(v)) for v in numbers[at]],
    }


def _objects(cells: list[Any]) -> Any:
    arrays = [c for c in cells if isinstance(c, (np.ndarray, list))]
    if not arrays:
        return [summary(c) for c in cells]
    shapes = [list(np.shape(c)) for c in cells]
    whole = np.concatenate([np.asarray(c, dtype="float64").ravel() for c in cells])
    return {"cells": shapes, "values": _array(whole)}


def _frame(table: pd.DataFrame) -> Any:
    def column(values: pd.Series) -> Any:
        if str(values.dtype) == "boolean":
            values = values.astype(object)
        return summary(values.to_numpy())

    return {
        "columns": list(table.columns),
        "dtypes": {name: str(kind) for name, kind in table.dtypes.items()},
        "index": [table.index.name, str(table.index.dtype), summary(np.asarray(table.index))],
        "values": {name: column(table[name]) for name in table.columns},
    }


def differences(want: Any, got: Any, at: str = "") -> list[str]:
    """Name what differs; numbers may by a billionth."""
    if isinstance(want, dict) and isinstance(got, dict):
        found = [f"{at}: keys {sorted(set(want) ^ set(got))}"] if set(want) != set(got) else []
        both = [k for k in want if k in got]
        return found + [d for k in both for d in differences(want[k], got[k], f"{at}/{k}")]
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return [f"{at}: {len(got)} items, not {len(want)}"]
        pairs = enumerate(zip(want, got, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{at}[{i}]")]
    if isinstance(want, (int, float)) and isinstance(got, (int, float)):
        same = math.isclose(want, got, rel_tol=1e-9, abs_tol=1e-9)
        return [] if same else [f"{at}: {got!r}, not {want!r}"]
    return [] if want == got else [f"{at}: {got!r}, not {want!r}"]
