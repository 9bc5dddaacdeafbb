"""Whether telemetry may have content: what is asked, answered and sent, and texts of errors. Not by default."""

from __future__ import annotations


class _Content:
    """One for the process."""

    captured = False


def capture_content(*, captured: bool) -> None:
    """Say whether spans and log lines of this process have content, and let the log warn of it; for mains."""
    _Content.captured = captured
    if captured:
        import structlog  # noqa: PLC0415 - clients have spans, and no log of this kind

        log = structlog.get_logger(scope="agentmesh.telemetry")
        log.warning("content is captured: traces and logs have what is asked, answered and sent")


def captures_content() -> bool:
    return _Content.captured
