"""Python as it would be on a Mac, as far as Linux can play it.

    as_mac.py [-P] (-m MODULE | -c CODE) [ARGUMENT]...

No pidfds, no prctl, no forking in the root, and every process it starts is such a Python again ($AS_MAC names the command).
Libraries that look at the platform when they are imported have done so before.
"""

import asyncio  # noqa: F401 - this and the others: see above
import multiprocessing  # noqa: F401
import os
import runpy
import signal
import ssl  # noqa: F401
import subprocess  # noqa: F401
import sys
import sysconfig
import urllib.request  # noqa: F401
import uuid  # noqa: F401

import psutil  # noqa: F401
import setproctitle  # noqa: F401
import zmq.asyncio  # noqa: F401


def main(words: list[str]) -> None:
    sysconfig.get_config_vars()
    sys.platform = "darwin"
    sys.executable = os.environ["AS_MAC"]
    del os.pidfd_open, signal.pidfd_send_signal
    while words[0] not in ("-m", "-c"):
        words = words[1:]
    what, name, *arguments = words
    if what == "-m":
        sys.argv = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *arguments]
        exec(name, {"__name__": "__main__"})


main(sys.argv[1:])
