"""Forks a process whose threads train, read, write and collect, and lets every child do the same. Run by ``test_stress.py``."""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import threading
import time
import traceback
import warnings

import numpy as np

import tapegrad as tg
from stress import LARGE, SMALL, Shared, accumulate, hook, read, step, write


def busy(shared: Shared, stop: threading.Event, kind: int) -> None:
    actions = [[step, write], [accumulate, read], [hook, write]][kind]
    while not stop.is_set():
        for action in actions:
            action(shared)
        if kind == 2:
            gc.collect()


def child(shared: list[Shared]) -> int:
    """Everything works in the child, on what the parent's threads were using, and with threads of its own."""
    faulthandler.dump_traceback_later(50, exit=True)
    for s in shared:
        for action in (read, write, accumulate, hook):
            action(s)
        s.optimizer.zero_grad()
        step(s)
        assert np.isfinite(s.parameter.detach().numpy()).all()
    tg.set_num_threads(2)
    a = tg.Variable(np.ones((1 << 9, 1 << 9)))
    assert float(tg.sum(tg.exp(a) * a)) > 0.0
    gc.collect()
    return 0


def main(forks: int) -> None:
    warnings.simplefilter("ignore")
    sys.setswitchinterval(1e-4)
    shared = [Shared(SMALL), Shared(LARGE)]
    stop = threading.Event()
    threads = [threading.Thread(target=busy, args=(shared[k % 2], stop, k % 3), daemon=True) for k in range(4)]
    for thread in threads:
        thread.start()
    done = 0
    for _ in range(forks):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = child(shared)
            except BaseException:  # noqa: BLE001 - shown, and the child ends
                traceback.print_exc()
            finally:
                os._exit(code)
        end = time.monotonic() + 60
        status = 0
        while time.monotonic() < end:
            waited, status = os.waitpid(pid, os.WNOHANG)
            if waited:
                break
            time.sleep(0.0005)
        else:
            os.kill(pid, 9)
            sys.exit("a child hangs")
        if status:
            sys.exit(f"a child failed: {status}")
        done += 1
    stop.set()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            sys.exit("a thread hangs")
    print("forks", done)


if __name__ == "__main__":
    main(int(sys.argv[1]))
