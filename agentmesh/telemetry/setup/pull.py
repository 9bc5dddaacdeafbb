"""Metrics for Prometheus to pull: one page over HTTP, from a thread of its own. It has no exemplars; OTLP has."""

from __future__ import annotations

from typing import Final
from wsgiref.simple_server import WSGIServer

import structlog
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry, start_http_server

from agentmesh.listen import ListenAddress
from agentmesh.telemetry.setup.settings import Pull

_log: Final = structlog.get_logger(scope="agentmesh.telemetry")


class PullEndpoint:
    """Serves what its reader collects."""

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        self._registry = CollectorRegistry()  # ours alone: a registry that others write to would show theirs, too
        self.reader: Final = PrometheusMetricReader(registry=self._registry)
        self._server: WSGIServer | None = None

    def serve(self) -> None:
        """Begin, once the reader has its provider. An address that is taken is logged, and nothing is served."""
        pull = self._pull
        address = ListenAddress(pull.host, pull.port, "")
        try:
            self._server, _ = start_http_server(pull.port, pull.host, self._registry)
        except OSError as error:
            _log.warning("metrics cannot be pulled", address=str(address), reason=error.strerror or str(error))
            return
        served = address.with_port(self._server.server_port)
        if not address.is_local:
            _log.warning("metrics are served without TLS on an address that other machines reach", address=served)
        _log.info("metrics can be pulled", url=f"http://{served}/metrics")

    def finish(self) -> None:
        """Stop serving; takes up to 0.5 s."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def cut_off(self) -> None:
        """Nothing that it does can hang."""

    def closed(self) -> None:
        pass
