"""Makes sealers, one after another, each to be killed: ``sealers.py DATABASE_URL``.

For each line on standard input a child begins to seal, a few events at a time; its number comes back on a line. Django
is imported once, so that a sealer dies in its work and not in its beginnings.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main(where: str) -> None:
    """Make a sealer for each line that is read, until there is none."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.compliance.settings"
    import django

    django.setup()
    # Importable only once the settings are known.
    from compliance.sealing import seal
    from tests.compliance.databases import in_use
    from tests.plugins.postgres import django_settings

    # Nobody waits for those that are killed.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with in_use(django_settings(where)):
        for _ in sys.stdin:
            child = os.fork()
            if child:
                continue
            # The child tells of itself once it has sealed something, so that there is work to be killed in.
            told = False
            while True:
                if seal(limit=11) and not told:
                    print(os.getpid(), flush=True)
                    told = True


if __name__ == "__main__":
    main(sys.argv[1])
