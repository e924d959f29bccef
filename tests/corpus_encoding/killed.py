"""Work in a process that is killed -9 at random moments and begun again, until it is done."""

import json
import os
import random
import signal
import subprocess
import sys
import time

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
    started = time.monotonic()
    assert attempt(timed, None)
    seconds = time.monotonic() - started
    for killed in range(kills):
        if attempt(work, random.uniform(0, seconds / 2)):
            return killed
    assert attempt(work, None)
    return kills


def attempt(work, seconds):
    """Whether the work was done before it was killed."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0
