"""What a suite's table consists of."""

from dataclasses import dataclass
from typing import Callable, Optional


@dataclass(frozen=True)
class Measurement:
    """A figure that is taken in every run, or once."""

    name: str
    take: Callable
    once: bool = False


@dataclass(frozen=True)
class Row:
    """A measurement compared with another one, or with its bar alone."""

    name: str
    what: str
    measured: str
    key: str
    against: Optional[str] = None
    at_least: Optional[float] = None
    at_most: Optional[float] = None
    bar_note: str = ""
    needs: Optional[str] = None
    """A program that is built only where something else is installed: no row without it."""


def selected(rows, only, has=lambda program: True):
    """Rows whose name contains one of the given texts, all without any; but not those that need
    a program that is not there."""
    return [row for row in rows
            if (not only or any(text in row.name for text in only))
            and (row.needs is None or has(row.needs))]
