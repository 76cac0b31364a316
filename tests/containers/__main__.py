"""Run the compose file for real: ``make test-containers``, or ``python -m tests.containers``.

Needs root, ``dockerd`` and Compose, and ``mmdebstrap`` for images that stand in for those of a
registry (`stand_ins`). Exit code 0: all held; 1: something did not; 3: not run, for want of these.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.containers.checks import CHECKS, Pool
from tests.containers.engine import Compose, NotRun, engine

NOT_RUN = 3


def main() -> int:
    """Run all checks in their order; each builds on the ones before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/containers"))
    parser.add_argument("--pictures", type=int, default=2400, help="of each of the crawls")
    options = parser.parse_args()
    folder = options.folder.resolve()
    failed = 0
    try:
        with engine(folder) as environ:
            compose = Compose(environ, Path("docker-compose.yml").resolve(), folder)
            print(f"engine {compose.version()}, {' '.join(compose.words[:2])}", flush=True)
            pool = Pool(compose, folder, options.pictures)
            try:
                for check in CHECKS:
                    began = time.monotonic()
                    try:
                        said = check(pool)
                    except AssertionError as error:
                        failed += 1
                        print(f"NO  {check.__doc__}\n{str(error)[:3000]}", flush=True)
                        if check in CHECKS[:3]:
                            break  # nothing stands to go on with
                    else:
                        took = time.monotonic() - began
                        print(f"ok  {check.__doc__} {said or ''} ({took:.0f} s)", flush=True)
            finally:
                (folder / "logs.txt").write_text(compose("logs", "--no-color", check=False))
                compose("down", "-v", "--remove-orphans", check=False)
    except NotRun as reason:
        print(f"not run: {reason}", file=sys.stderr)
        return NOT_RUN
    finally:
        shutil.rmtree(folder / "pictures", ignore_errors=True)
    print("all held" if not failed else f"{failed} of {len(CHECKS)} did not hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
