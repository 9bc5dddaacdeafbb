"""What the log says of exports, over time."""

from __future__ import annotations

from structlog.testing import capture_logs

from agentmesh.telemetry.setup.report import Report


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_while_exports_fail_there_is_a_line_a_minute_with_what_is_lost_so_far() -> None:
    clock = Clock()
    report = Report("traces", "collector:4317", waiting=100, clock=clock)
    with capture_logs() as lines:
        for _ in range(150):
            for _ in range(10):
                report.ended()
            with report.exporting(10):
                report.trouble("UNAVAILABLE")
            report.failed(10)
            clock.seconds += 1
    assert [(line["event"], line["reason"], line.get("spans_lost", 0)) for line in lines] == [
        ("telemetry cannot be exported", "UNAVAILABLE", 0),
        ("telemetry cannot be exported", "UNAVAILABLE", 600),
        ("telemetry cannot be exported", "UNAVAILABLE", 1200),
    ]


def test_a_collector_that_comes_and_goes_has_two_lines_a_minute() -> None:
    clock = Clock()
    report = Report("metrics", "collector:4317", clock=clock)
    with capture_logs() as lines:
        for _ in range(30):
            report.trouble("UNAVAILABLE")
            report.succeeded()
            clock.seconds += 1
    assert [line["event"] for line in lines] == ["telemetry cannot be exported", "telemetry is exported again"]


def test_spans_that_find_no_room_are_told_of_once_and_again_when_more_are_lost() -> None:
    clock = Clock()
    report = Report("traces", "collector:4317", waiting=5, clock=clock)

    def ending(spans: int) -> None:
        for _ in range(spans):
            report.ended()
        with report.exporting(5):
            pass
        report.succeeded(5)
        clock.seconds += 61

    with capture_logs() as lines:
        for spans in (20, 1, 1, 30):  # 10 wait for room that there is not, later 32 do
            ending(spans)
    assert [(line["event"], line["spans_lost"]) for line in lines] == [
        ("spans end faster than they are exported", 10),
        ("spans end faster than they are exported", 27),
    ]


def test_an_export_that_we_cut_off_is_no_trouble_but_what_it_held_is_lost() -> None:
    report = Report("traces", "collector:4317", waiting=5)
    with capture_logs() as lines:
        report.ended()
        report.closing()
        with report.exporting(1):
            report.trouble("CANCELLED")
        report.failed(1)
        report.closed()
    assert [(line["event"], line["spans_lost"]) for line in lines] == [("spans were not exported", 1)]
