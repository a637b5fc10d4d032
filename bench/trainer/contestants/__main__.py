"""`python -m bench.trainer.contestants NAME …`: one run in its own process, result on stdout."""

import argparse
import importlib
import sys

from bench.trainer import task
from bench.trainer.contestants import CONTESTANTS


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    task.add_arguments(parser)
    arguments = parser.parse_args()
    file = CONTESTANTS[arguments.name].module or arguments.name
    module = importlib.import_module(f"bench.trainer.contestants.{file}")
    print(module.run(task.parse(arguments)).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
