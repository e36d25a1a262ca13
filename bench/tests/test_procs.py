"""How a run ends that is told to."""

import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

from lib.procs import until

BENCH = pathlib.Path(__file__).resolve().parent.parent
# A run with one process, which notes that it was asked to end and goes on.
RUN = """
import pathlib, sys
from lib.procs import END_BY_SIGNAL, Stage

END_BY_SIGNAL.listen()
with Stage() as stage:
    stubborn = f"trap 'echo > {sys.argv[1]}/asked' TERM; echo ready; while :; do sleep 0.1; done"
    group = stage.start("stubborn", ["sh", "-c", stubborn])
    stage.said(group, "(ready)")
    print(group.process.pid, flush=True)
    group.process.wait()
"""


def is_running(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


class EndBySignal(unittest.TestCase):
    def test_a_second_signal_leaves_no_process(self):
        with tempfile.TemporaryDirectory() as folder:
            asked = pathlib.Path(folder, "asked")
            with subprocess.Popen([sys.executable, "-c", RUN, folder], cwd=BENCH, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
                pid = int(run.stdout.readline())
                self.assertTrue(is_running(pid))
                run.send_signal(signal.SIGTERM)
                until(asked.exists, "the process was not asked to end")
                run.send_signal(signal.SIGINT)
                _, said = run.communicate(timeout=20)
        self.assertEqual(said.strip(), "bench: ended by SIGTERM")
        self.assertFalse(is_running(pid))


if __name__ == "__main__":
    unittest.main()
