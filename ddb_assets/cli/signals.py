"""What signals mean to a command that can be resumed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def term_interrupts() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does: what is in flight is finished, and the work can be resumed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
