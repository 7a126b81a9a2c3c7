"""Files that do harm to whoever parses them, as far as tests go: a mark in the bytes says what they do to a child."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from qaservice.studies import examining
from qaservice.studies.examining import Batch, Examined

KILLS = b"kills its parser"
LOOPS = b"keeps its parser for ever"
EATS = b"takes all memory"


def examine(batch: Batch) -> list[Examined]:
    """Look at files as ``examining.examine`` does, but suffer what the marks in them say."""
    for file in batch.files:
        data = file.data if file.data is not None else Path(file.path).read_bytes()
        if KILLS in data:
            os.kill(os.getpid(), signal.SIGSEGV)
        if LOOPS in data:
            time.sleep(1000)
        if EATS in data:
            bytearray(1 << 40)
    return examining.examine(batch)
