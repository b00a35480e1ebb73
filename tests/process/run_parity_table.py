"""The commands that `weir run` has to carry out like GNU parallel; run_parity_test.py runs them.

A row says what both have to write, return and leave; where weir does something else on purpose, the
row says what and why."""
import parity_command
import parity_control
import parity_input
import parity_output
import parity_pipe

TABLE = {"input": parity_input.CASES, "command": parity_command.CASES, "output": parity_output.CASES,
         "control": parity_control.CASES, "pipe": parity_pipe.CASES}
