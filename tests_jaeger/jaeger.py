"""A real Jaeger as a process of its own, with the configuration of deploy/ on free ports and everything in memory."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

CONFIG = Path(__file__).parents[1] / "deploy" / "jaeger" / "config.yaml"
READY_SECONDS = 60.0

_FREE = "127.0.0.1:0"
_PLACES = (
    "receivers.otlp.protocols.grpc.endpoint",
    "receivers.otlp.protocols.http.endpoint",
    "extensions.jaeger_query.http.endpoint",
    "extensions.jaeger_query.grpc.endpoint",
    "extensions.healthcheckv2.http.endpoint",
    "exporters.prometheus.endpoint",
)
"""Where it listens: every port is the kernel's choice, and its log tells those that matter here."""


@dataclass(frozen=True, slots=True)
class Jaeger:
    """Where it is."""

    otlp: str
    """`host:port` of OTLP over gRPC."""
    http: str
    """`host:port` of the API."""
    pid: int

    def metrics(self) -> str:
        """What Prometheus would get of it, in the OpenMetrics format. Its log does not tell the port."""
        known = {int(place.rpartition(":")[2]) for place in (self.otlp, self.http)}
        listening = [
            connection.laddr.port
            for connection in psutil.Process(self.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        return next(text for port in listening if port not in known and (text := _open_metrics(port)))


def _open_metrics(port: int) -> str:
    """Empty where something else is served."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
            response = connection.getresponse()
        except (http.client.HTTPException, ConnectionError):  # gRPC
            return ""
        is_it = response.headers["content-type"].startswith("application/openmetrics-text")
        return response.read().decode() if is_it else ""


@contextmanager
def running_jaeger(program: Path) -> Iterator[Jaeger]:
    """Start it, wait until it says that it is ready, end it.

    Raises:
        RuntimeError: It did not start; with what it said.
    """
    settings = {**dict.fromkeys(_PLACES, _FREE), "service.telemetry.logs.encoding": "json"}
    settings |= {"service.telemetry.metrics.level": "none"}  # of itself: they have a port as well
    settings |= {"connectors.spanmetrics.metrics_flush_interval": "1s"}
    command = [str(program), f"--config={CONFIG}", *(f"--set={name}={value}" for name, value in settings.items())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        log = _Log(process)
        try:
            yield log.wait()
        finally:
            process.terminate()
            log.join()


class _Log(threading.Thread):
    """Reads what the process writes until it ends: a pipe that nobody reads would stop it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(name="log of jaeger", daemon=True)
        self._process = process
        self._lines: list[str] = []
        self._places: dict[str, str] = {}
        self._told = threading.Event()
        self._is_ready = False
        self.start()

    def run(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if not self._is_ready:
                self._lines.append(line)
                self._read(line)
        self._told.set()

    def _read(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if said["msg"] == "Query server started":
            self._places["http"] = said["http_addr"]
        elif said["msg"] == "Starting GRPC server" and said["otelcol.component.id"] == "otlp":
            self._places["otlp"] = said["endpoint"]
        elif said["msg"].startswith("Everything is ready"):
            self._is_ready = True
            self._told.set()

    def wait(self) -> Jaeger:
        self._told.wait(READY_SECONDS)
        if not self._is_ready:
            raise RuntimeError(f"Jaeger did not start:\n{''.join(self._lines[-20:])}")
        return Jaeger(self._places["otlp"], self._places["http"], self._process.pid)
