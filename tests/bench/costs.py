"""What a process has cost so far: the clock and the memory gauge that the benches share."""

import resource
from pathlib import Path

import psutil


def cpu_seconds() -> float:
    """Return this process's CPU time and that of its children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def peak_gb() -> float:
    """Return this process's own peak; getrusage would count the parent's memory at the fork, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def cpu_seconds_of(process: psutil.Process, *, with_children: bool) -> float:
    """Return a running process's CPU time, with that of its running children and theirs where asked for."""
    family = [process, *(process.children(recursive=True) if with_children else ())]
    return sum(times.user + times.system for times in (member.cpu_times() for member in family))
