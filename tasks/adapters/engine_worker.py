"""`python -m tasks.adapters.engine_worker JOB`: one process of `EngineProcesses`, alive no longer than its parent."""

import sys
from pathlib import Path

from tasks.adapters.engine import work
from tasks.adapters.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    work(Path(sys.argv[1]))
