"""The fixtures `spans` and `metrics`: what this process recorded during one test, by a real SDK.

Providers can be set once a process, so they are made with the first test that asks for them, and kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import pytest
from opentelemetry import metrics as metrics_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

Attributes: TypeAlias = Mapping[str, object]

ALL_ENDED_SECONDS = 10.0
"""For spans to end that are about to; a machine may be busy."""


class Spans(SpanProcessor):
    """What was started and what has ended since `clear`, in that order. Spans end in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, str] = {}
        self._ended: list[ReadableSpan] = []
        self._heard: set[Callable[[], object]] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        with self._lock:
            self._open[span.get_span_context().span_id] = span.name
            for heard in self._heard:
                heard()

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            context = span.get_span_context()
            if context is not None and context.span_id in self._open:  # not one of a test before
                del self._open[context.span_id]
                self._ended.append(span)
            for heard in self._heard:
                heard()

    def clear(self) -> None:
        with self._lock:
            self._open.clear()
            self._ended.clear()

    async def all_ended(self) -> list[ReadableSpan]:
        """Wait until no span is open, and give all: what ends on the other side may end after the caller has left."""
        await self._until(lambda: not self.open)
        return self.ended

    async def has_ended(self, name: str) -> None:
        """Wait until a span of this name has ended."""
        await self._until(lambda: any(span.name == name for span in self.ended))

    async def has_begun(self, name: str, times: int) -> None:
        """Wait until so many spans of this name have been started."""
        await self._until(lambda: [*self.open, *(span.name for span in self.ended)].count(name) >= times)

    async def _until(self, holds: Callable[[], bool]) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def hear() -> None:
            loop.call_soon_threadsafe(ended.set)

        with self._lock:
            self._heard.add(hear)
        try:
            async with asyncio.timeout(ALL_ENDED_SECONDS):
                while not holds():
                    ended.clear()
                    await ended.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain; these are open: {self.open}") from None
        finally:
            with self._lock:
                self._heard.discard(hear)

    @property
    def ended(self) -> list[ReadableSpan]:
        """In the order in which they ended."""
        with self._lock:
            return list(self._ended)

    @property
    def open(self) -> list[str]:
        """The names of those that have not ended."""
        with self._lock:
            return list(self._open.values())

    def named(self, prefix: str) -> list[ReadableSpan]:
        """Those that have ended whose name begins so."""
        return [span for span in self.ended if span.name.startswith(prefix)]

    def only(self, prefix: str) -> ReadableSpan:
        """The one that has ended whose name begins so."""
        [span] = self.named(prefix)
        return span


@dataclass
class Point:
    """What one instrument recorded with the same attributes."""

    attributes: Attributes
    value: float = 0.0
    """Of a counter its growth, of a histogram the sum, of a gauge the last value."""
    count: int = 0
    """Records of a histogram."""
    bounds: tuple[float, ...] = ()
    """Of a histogram's buckets."""
    trace_ids: list[int] = field(default_factory=list)
    """Of its exemplars."""


class Metrics:
    """What was recorded since `clear`."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader
        self._metrics: dict[str, Metric] = {}
        self._points: dict[str, dict[frozenset[tuple[str, object]], Point]] = defaultdict(dict)

    def clear(self) -> None:
        self._reader.get_metrics_data()
        self._metrics.clear()
        self._points.clear()

    def points(self, name: str) -> list[Point]:
        """One for each set of attributes, of those that recorded anything."""
        return [point for point in self.told(name) if point.count or point.value]

    def told(self, name: str) -> list[Point]:
        """One for each set of attributes, also of those that are 0."""
        self._collect()
        return list(self._points[name].values())

    def only(self, name: str) -> Point:
        """The one with records."""
        [point] = self.points(name)
        return point

    def values(self, name: str, attribute: str) -> dict[object, float]:
        """The values by one attribute, which tells the points apart."""
        points = self.points(name)
        values = {point.attributes.get(attribute): point.value for point in points}
        assert len(values) == len(points), f"{attribute} does not tell apart {points}"
        return values

    def unit(self, name: str) -> str | None:
        self._collect()
        return self._metrics[name].unit

    def _collect(self) -> None:
        for name, metric in self._metrics.items():
            if isinstance(metric.data, Gauge):  # what it does not show any more is gone
                self._points[name].clear()
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._metrics[metric.name] = metric
                    self._points_of(metric)

    def _points_of(self, metric: Metric) -> None:
        points = self._points[metric.name]
        for found in metric.data.data_points:
            attributes = dict(found.attributes or {})
            point = points.setdefault(frozenset(attributes.items()), Point(attributes))
            if isinstance(found, HistogramDataPoint):
                point.value += found.sum
                point.count += found.count
                point.bounds = tuple(found.explicit_bounds)
            elif isinstance(found, NumberDataPoint):
                is_delta = getattr(metric.data, "aggregation_temporality", None) is AggregationTemporality.DELTA
                point.value = found.value + (point.value if is_delta else 0)
            point.trace_ids += [one.trace_id for one in found.exemplars if one.trace_id]


@cache
def _recorders() -> tuple[Spans, Metrics]:
    spans = Spans()
    tracing = TracerProvider(shutdown_on_exit=False)
    tracing.add_span_processor(spans)
    trace.set_tracer_provider(tracing)
    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader(preferred_temporality={Counter: delta, UpDownCounter: delta, Histogram: delta})
    metrics_api.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    return spans, Metrics(reader)


@pytest.fixture
def spans() -> Iterator[Spans]:
    """The spans of this test alone."""
    recorded, _ = _recorders()
    recorded.clear()
    yield recorded
    recorded.clear()


@pytest.fixture
def metrics() -> Metrics:
    """The metrics of this test alone."""
    _, recorded = _recorders()
    recorded.clear()
    return recorded
