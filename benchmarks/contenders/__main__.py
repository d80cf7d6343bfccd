"""Run one round of one contender: read a `Job` from stdin, write its `Outcome` to stdout.

Each round has a fresh process, so that no contender inherits another's memory.
"""

from __future__ import annotations

import json
import sys

from benchmarks.contenders import asynchronous, loops
from benchmarks.work import Job


def main() -> None:
    job = Job.from_json(json.load(sys.stdin))
    race = loops.race if job.contender in loops.INTERVALS else asynchronous.race
    json.dump(race(job).to_json(), sys.stdout)


if __name__ == "__main__":
    main()
