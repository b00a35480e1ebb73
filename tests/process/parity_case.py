"""One row of the table in run_parity_table.py: a command that both `parallel` and `weir run` carry
out, and what both have to do then."""
import dataclasses
import re
import typing

from support import DEADLINE

ORDERED, ANY_ORDER = "ordered", "any order"


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run has to come to. Whatever is None is not claimed here; but see Case."""
    #: Standard output, every byte of it.
    out: typing.Optional[bytes] = None
    status: typing.Optional[int] = None
    #: Standard error: all of it if bytes, else a regular expression that is found in it.
    err: typing.Union[bytes, str, None] = None
    #: Path in the working folder -> content; None: there is no such file.
    left: typing.Mapping[str, typing.Optional[bytes]] = dataclasses.field(default_factory=dict)
    #: The rows of the file `log`, by Seq: (Seq, Exitval, Signal, Command), or with Send and Receive
    #: behind them. Command is compared as words, so that either may quote in its own way.
    log: typing.Optional[tuple] = None


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A command and its result.

    Where a run leaves more than the row claims, both have to leave the same: standard output, exit
    status, the files in the working folder, and the joblog.
    """
    name: str
    #: Behind `parallel` or `weir run`. Or a script for sh, in which `tool` stands for them.
    args: tuple = ()
    script: str = ""
    stdin: bytes = b""
    #: Path in the working folder -> content, or (content, mode).
    files: typing.Mapping[str, typing.Any] = dataclasses.field(default_factory=dict)
    env: typing.Mapping[str, str] = dataclasses.field(default_factory=dict)
    result: Result = Result()
    order: str = ORDERED
    #: Files whose content depends on time or chance: both have them, or neither.
    varies: tuple = ()
    #: What weir does instead, on purpose, and why.
    differs: typing.Optional[Result] = None
    because: str = ""
    #: Why only weir is asked. What parallel would do is known.
    without_parallel: str = ""
    #: A run that takes longer has hung.
    deadline: float = DEADLINE

    def __post_init__(self):
        assert bool(self.args) != bool(self.script), self.name
        assert (self.differs is None) == (not self.because), self.name
        assert self.result.status is not None, self.name

    def slug(self):
        return re.sub(r"\W+", "_", self.name).strip("_")


#: What is about the result; all else is about the run.
_CLAIMS = [field.name for field in dataclasses.fields(Result)]


def case(name, *args, **fields):
    """A row: fields of Case, and of its Result, whose status is 0 unless said otherwise."""
    claims = {"status": 0, **{key: fields.pop(key) for key in _CLAIMS if key in fields}}
    return Case(name, args, result=Result(**claims), **fields)


def script(name, text, **fields):
    """The same for a shell script, in which `tool` is `parallel` or `weir run`."""
    return case(name, script=text, **fields)


def lines(*values):
    """Every value as a line."""
    return b"".join(value if isinstance(value, bytes) and value.endswith(b"\n")
                    else (value if isinstance(value, bytes) else str(value).encode()) + b"\n"
                    for value in values)
