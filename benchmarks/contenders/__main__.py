"""One round of one contender, in a process of its own: a `Job` on stdin, its `Outcome` on stdout.

The process is fresh so that no contender inherits another's memory.
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
