"""The main job from end to end on the embedded service: what ``make demo`` runs.

``python -m deploy.demo.run [--port 8000] [--serve 1] [--studies PATH] [--annotations PATH]``
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from deploy.demo.house import HOME, Demo, DemoError, fresh_home, settle_in
from deploy.demo.processes import GIVE_UP, Memory, Processes, free_port

OFF_WORDS = frozenset({"0", "no", "false", "off"})


def main() -> int:
    """Run the demo; return the exit status of the process."""
    started = time.monotonic()
    options = _options()
    serve = options.serve.lower() not in OFF_WORDS
    demo = Demo(home=HOME, port=options.port if serve else free_port())
    # Whoever ends the demo with a signal gets the same orderly end as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with fresh_home(demo), Processes(demo) as processes:
            signal.signal(GIVE_UP, lambda *_: _give_up(processes))
            settle_in(demo)
            with Memory() as memory:
                # Only now: the service reads its settings when it is imported.
                from deploy.demo.job import Job

                job = Job(demo=demo, processes=processes, studies=options.studies, annotations=options.annotations)
                job.run()
            job.finish(wall_seconds=time.monotonic() - started, peak_memory_mb=memory.peak_mb)
            if serve:
                job.invite()
                _wait_for_ctrl_c()
    except DemoError as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was ended.")
        return 0 if serve else 130
    return 0


def _give_up(processes: Processes) -> None:
    raise DemoError(processes.fault)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy.demo.run", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--serve", default="1", help="0 ends instead of serving")
    parser.add_argument("--studies", type=_path, default=None, help="folder or archive of DICOM files")
    parser.add_argument("--annotations", type=_path, default=None, help="annotation file or folder")
    return parser.parse_args()


def _path(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser().resolve()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} is not there")
    return path


def _wait_for_ctrl_c() -> None:
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
