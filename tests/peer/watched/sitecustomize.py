"""What an engine under watch runs first (PYTHONPATH): it says what held up its loop, and what its calls left behind.

A callback's time is that of its thread on the processor: on a busy machine it says nothing how long it took by the
clock. Debug mode of asyncio would measure by the clock, and make everything slow. At SIGUSR1 the control process says
how many objects have become unreachable since the last time without being freed, which only a collection finds.
"""

import asyncio
import gc
import os
import signal
import sys
import time
from collections import Counter

SLOW_S = float(os.environ["WATCHED_SLOW_S"])
plain_run = asyncio.Handle._run  # type: ignore[attr-defined]


def run(handle: asyncio.Handle) -> None:
    began = time.thread_time()
    plain_run(handle)
    took_s = time.thread_time() - began
    if took_s > SLOW_S:
        task = getattr(handle._callback, "__self__", None)
        what = task.get_coro() if isinstance(task, asyncio.Task) else handle
        print(f"SLOW CALLBACK {took_s * 1000:.0f} ms: {what}", file=sys.stderr, flush=True)


def collected(*_: object) -> None:
    gc.collect()
    kinds = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    print(f"LEFT BEHIND {len(gc.garbage)}: {kinds.most_common(40)}", file=sys.stderr, flush=True)
    gc.garbage.clear()
    gc.set_debug(0)
    gc.collect()  # now they are freed
    gc.set_debug(gc.DEBUG_SAVEALL)


asyncio.Handle._run = run  # type: ignore[attr-defined]
if "serve" in sys.orig_argv:
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    signal.signal(signal.SIGUSR1, collected)
