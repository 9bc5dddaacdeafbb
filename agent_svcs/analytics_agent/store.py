"""The history: a SQLite time-series store, bounded by age. Blocking; safe to use from several threads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from agent_svcs.analytics_agent.series import Key, Round, Series

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY,
    component TEXT NOT NULL,
    metric TEXT NOT NULL,
    UNIQUE (component, metric)
);
CREATE TABLE IF NOT EXISTS round (
    at REAL PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sample (
    series INTEGER NOT NULL REFERENCES series (id),
    at REAL NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (series, at)
) WITHOUT ROWID;
"""
"""`round` has every moment that was sampled, also one at which nothing could be read."""


class Store:
    """Keeps rounds for `retention_seconds` before the newest; in memory, or in a file that outlives the process."""

    def __init__(self, path: Path | None, retention_seconds: float) -> None:
        """Raises OSError or sqlite3.Error if the file cannot be a store; its directory is made."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._retention = retention_seconds
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False)
        # Readers of the same file, such as the sqlite3 shell, do not stop the writer; a crash may lose the last rounds.
        self._database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    def append(self, one: Round) -> None:
        """Adds a round and drops what is too old. A second round of the same moment replaces the first's readings."""
        with self._lock, self._database:
            self._database.execute("INSERT OR REPLACE INTO round VALUES (?)", (one.at,))
            self._database.executemany("INSERT OR IGNORE INTO series (component, metric) VALUES (?, ?)", one.readings)
            self._database.executemany(
                "INSERT OR REPLACE INTO sample SELECT id, ?, ? FROM series WHERE component = ? AND metric = ?",
                [(one.at, value, *key) for key, value in one.readings.items()],
            )
            oldest = one.at - self._retention
            self._database.execute("DELETE FROM round WHERE at < ?", (oldest,))
            # One series at a time: that is a range of the primary key instead of a scan of the table.
            self._database.executemany(
                "DELETE FROM sample WHERE series = ? AND at < ?",
                [(number, oldest) for (number,) in self._database.execute("SELECT id FROM series").fetchall()],
            )

    def newest(self) -> float | None:
        """Moment of the newest round, or None."""
        with self._lock:
            (newest,) = self._database.execute("SELECT max(at) FROM round").fetchone()
        return None if newest is None else float(newest)

    def rounds_since(self, start: float) -> int:
        """How many rounds there are from `start` on."""
        with self._lock:
            (count,) = self._database.execute("SELECT count(*) FROM round WHERE at >= ?", (start,)).fetchone()
        return int(count)

    def read(self, keys: Iterable[Key], start: float) -> list[Series]:
        """The samples from `start` on, in the order of `keys`; a key without samples gives an empty series."""
        found: list[Series] = []
        for component, metric in keys:
            with self._lock:
                rows = self._database.execute(
                    "SELECT at, value FROM sample JOIN series ON series = id"
                    " WHERE component = ? AND metric = ? AND at >= ? ORDER BY at",
                    (component, metric, start),
                ).fetchall()
            table = np.array(rows, dtype=np.float64).reshape(-1, 2)
            found.append(Series(component, metric, table[:, 0], table[:, 1]))
        return found

    def close(self) -> None:
        """Frees the file. The store cannot be used afterwards."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
