"""What containers do on a Linux machine, from perf.data files, as Arrow tables.

>>> import nsscope
>>> capture = nsscope.read("perf.data")
>>> capture.containers().column("title")
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile

import pyarrow

__all__ = ["Capture", "Error", "TABLES", "read"]

#: The tables of a capture.
TABLES = ("events", "containers", "processes", "namespaces", "waits")


class Error(Exception):
    """The capture cannot be read. The message is the program's: what happened, why, and what to do."""


def read(path: str | os.PathLike[str], definition: str = "auto") -> Capture:
    """A capture: a perf.data file, packed by gzip or zstd or not, or the folder of ``perf record --threads``.

    ``definition`` says what makes a container, as ``nsscope report --definition`` does.
    """
    path = os.fspath(path)
    if path == "-":
        raise Error("standard input is not read: name a file")
    if not os.path.exists(path):
        raise Error(f"{path}: no such file")
    return Capture(path, definition)


class Capture:
    """A capture. Each table is made when it is asked for first, and kept."""

    def __init__(self, path: str, definition: str) -> None:
        self._path = path
        self._definition = definition
        self._tables: dict[str, pyarrow.Table] = {}

    def table(self, name: str) -> pyarrow.Table:
        """One of :data:`TABLES`. Its memory is a mapped file's, without a name: the kernel may take pages back."""
        if name not in TABLES:
            raise ValueError(f"there is no table {name!r}: one of {', '.join(TABLES)}")
        if name not in self._tables:
            self._tables[name] = self._export(name)
        return self._tables[name]

    def events(self) -> pyarrow.Table:
        """A row for each record: forks, execs, exits, changes of namespaces and cgroups, switches, samples."""
        return self.table("events")

    def containers(self) -> pyarrow.Table:
        """A row for each container, with its name, image, labels, life, CPU time and namespaces."""
        return self.table("containers")

    def processes(self) -> pyarrow.Table:
        """A row for each process, with the container that it is in."""
        return self.table("processes")

    def namespaces(self) -> pyarrow.Table:
        """A row for each namespace of a container, and each that something else keeps."""
        return self.table("namespaces")

    def waits(self) -> pyarrow.Table:
        """A row for each pair of a waiter and who ran meanwhile, by CPU (``record --switch-events``)."""
        return self.table("waits")

    def sql(self, query: str):
        """What DuckDB answers: the names of :data:`TABLES` are tables. Returns a ``duckdb.DuckDBPyRelation``."""
        import duckdb

        connection = duckdb.connect()
        # Only what the query names is read.
        for name in TABLES:
            if name in query:
                connection.register(name, self.table(name))
        return connection.sql(query)

    def _export(self, name: str) -> pyarrow.Table:
        with tempfile.NamedTemporaryFile(prefix="nsscope-", suffix=".arrow") as file:
            command = [_program(), "-q", "export", "--format", "arrow", "--table", name]
            command += ["--definition", self._definition, "-o", "-", "--", self._path]
            run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE)
            if run.returncode != 0:
                raise Error(run.stderr.decode(errors="replace").strip())
            return pyarrow.ipc.open_file(pyarrow.memory_map(file.name)).read_all()

    def __repr__(self) -> str:
        return f"nsscope.read({self._path!r})"


def _program() -> str:
    """The program that came with the package, or the user's own."""
    name = "nsscope"
    for folder in (sysconfig.get_path("scripts"), os.path.dirname(sys.executable)):
        program = os.path.join(folder, name)
        if os.access(program, os.X_OK):
            return program
    found = shutil.which(name)
    if found is None:
        raise Error("the program nsscope is not there: pip install nsscope, or cargo install nsscope --features parquet")
    return found
