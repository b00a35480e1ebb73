"""How long a worker was idle while tasks were waiting, from the workers' logs."""


def read_log(text):
    """A worker with one slot logs `start end` of each task, in nanoseconds of CLOCK_MONOTONIC."""
    return sorted(tuple(map(int, line.split())) for line in text.splitlines() if line.strip())


def longest_idle(logs):
    """Nanoseconds. A task that is started at some time, by whichever worker, was waiting until
    then; so a worker is idle beside waiting tasks in each gap before a task of its own, and after
    its last one for as long as others still start tasks."""
    logs = [log for log in logs if log]
    starts = [start for log in logs for start, _ in log]
    first, last = min(starts), max(starts)
    longest = 0
    for log in logs:
        free_since = first
        for start, end in log:
            longest = max(longest, start - free_since)
            free_since = end
        longest = max(longest, last - free_since)
    return longest
