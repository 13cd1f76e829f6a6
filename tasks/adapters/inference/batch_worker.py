"""The child process of `EngineProcesses`: answers the prompts of one job and ends with its parent.

`python -m tasks.adapters.inference.batch_worker JOB`.
"""

import sys
from pathlib import Path

from tasks.adapters.inference.batch_engine import work
from tasks.adapters.system.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    work(Path(sys.argv[1]))
