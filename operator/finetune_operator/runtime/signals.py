"""SIGTERM and SIGINT end a task, and with it all that it has opened."""

import asyncio
import signal


def end_on_signals(task: asyncio.Task[None]) -> None:
    """From now on; whoever asked before asks no longer."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
