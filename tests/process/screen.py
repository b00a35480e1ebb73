"""A terminal for tests: what a program draws there, and what a user sees in the end."""
import fcntl
import os
import pty
import re
import struct
import termios
import threading

from support import Case, wait_until

ERASE = "\r\x1b[K"


class Screen:
    """The user's end of a terminal."""

    def __init__(self, columns=80):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.bytes = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while chunk := os.read(self.master, 65536):
                self.bytes += chunk
        except OSError:  # nobody has the other end any more
            pass

    def given_away(self):
        """Call it when the program has its end."""
        os.close(self.slave)

    def drawn(self):
        """Every status line that was there, one after the other."""
        text = self.bytes.decode().replace("\r\n", "\n")
        return [line for line in re.findall(r"\r\x1b\[K([^\r\n]*)", text) if line]

    def lines(self):
        """What the screen shows in the end: lines, as far as \\r and erasing leave them."""
        self.reader.join()
        os.close(self.master)
        rows, row = [], ""
        for part in re.split(r"(\r\n|\r\x1b\[K)", self.bytes.decode()):
            if part == ERASE:
                row = ""
            elif part == "\r\n":
                rows.append(row)
                row = ""
            else:
                row += part
        return rows + [row]


class TerminalCase(Case):
    """A test with programs whose standard error is a terminal."""

    def on_terminal(self, program, *arguments, stdout=False, columns=80, **how):
        """Starts it; with `stdout`, its standard output is the same terminal."""
        screen = Screen(columns)
        node = self.start(program, *arguments, stderr=screen.slave, env={"TERM": "xterm", **how.pop("env", {})},
                          stdout=screen.slave if stdout else None, **how)
        screen.given_away()
        return node, screen

    def drawn(self, screen, pattern):
        """Waits until a line was drawn in which the pattern is found, and returns it."""
        def look():
            return next((line for line in screen.drawn() if re.search(pattern, line)), None)
        return wait_until(look, "%r is drawn" % pattern)
