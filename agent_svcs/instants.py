"""Moments as they stand in results: ISO 8601, UTC, seconds or milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal


def iso(epoch_seconds: float, precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """`2026-11-22T09:30:00Z` for seconds since 1970."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
