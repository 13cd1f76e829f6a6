"""`python -m tasks curate.dedup [--profile NAME] [--set curate.dedup.bands=10]`: run one stage. DVC's command too."""

import argparse
import sys
from collections.abc import Sequence

from tasks.adapters.system.processes import die_with_parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stage and return its exit code: 0 ok, 2 config, 3 data, 4 external."""
    die_with_parent()  # before the imports, which take a second
    from tasks.adapters.system.console import configure_logging
    from tasks.core.errors import RatchetError
    from tasks.runner import find_stage, run_stage
    from tasks.settings import Settings, go_offline

    parser = argparse.ArgumentParser(prog="python -m tasks", description="Run one stage.")
    parser.add_argument("stage", help="group.name, as in curate.dedup")
    parser.add_argument("--profile", help="overlay configs/profiles/NAME.yaml and work below data/NAME")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE")
    options = parser.parse_args(arguments)
    go_offline()
    configure_logging()
    try:
        run_stage(find_stage(options.stage), Settings(), options.overrides, options.profile)
    except RatchetError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
