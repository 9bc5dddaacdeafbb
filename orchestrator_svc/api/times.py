"""Moments and durations as messages."""

from __future__ import annotations

from datetime import datetime

from google.protobuf import duration_pb2, timestamp_pb2


def duration(seconds: float) -> duration_pb2.Duration:
    """A duration, exact to the nanosecond."""
    message = duration_pb2.Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """A moment; `moment` is aware, UTC."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message
