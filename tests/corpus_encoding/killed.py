"""Work in a process that is killed at random moments and begun again, until it is done."""

import json
import os
import random
import signal
import subprocess
import sys

# A process of its own starts the others: forking one in which torch has threads would not be safe.
SCRIPT = """
import json, sys
import torch
torch.set_num_threads(1)
from tests.corpus_encoding import killed, {module}
print(json.dumps(killed.until_done(*{module}.{function}(json.loads(sys.argv[1])), int(sys.argv[2]))))
"""


def run_killed(module, function, arguments, kills=6):
    """Call `function(arguments)` of a module beside this one, which gives (work, work to time), in a fresh process.

    Returns how often it was killed.
    """
    command = [sys.executable, "-c", SCRIPT.format(module=module, function=function), json.dumps(arguments), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def until_done(work, timed, kills):
    done, seconds = attempt(timed, None)
    assert done
    for killed in range(kills):
        if attempt(work, random.uniform(0.001, seconds / 2))[0]:
            return killed
    assert attempt(work, None)[0]
    return kills


def attempt(work, seconds):
    """Whether the work was done before it was killed, and the processor time it took.

    Killed after so many seconds of processor time: by the clock, a busy machine might have been done before, or not
    have begun.
    """
    child = os.fork()
    if child == 0:
        if seconds is not None:
            # Nobody handles this signal: like SIGKILL, it ends the process where it stands.
            signal.setitimer(signal.ITIMER_PROF, seconds)
        work()
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    return status == 0, used.ru_utime + used.ru_stime
