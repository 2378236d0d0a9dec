"""Stands for a forked kernel before the Jupyter server: started, signalled, killed and outlived like the kernel itself.

Asks the process at a Unix socket (`forked_kernels.py`) for a fork that does what ``ipykernel_launcher`` would do with
the same arguments. Run as ``python -S -E forked_kernel_launcher.py ADDRESS ARGUMENTS``; imports little, to start fast.
"""

import json
import os
import signal
import socket
import sys


def main():
    address, *arguments = sys.argv[1:]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    text = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(connection, [text], [1, 2])
    connection.sendall(text[sent:])
    kernel = int(connection.makefile().readline())

    def hand_on(number, _frame):
        try:
            os.killpg(kernel, number)
        except ProcessLookupError:
            os._exit(1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hand_on)
    # ends when the kernel does, which holds the other end
    connection.recv(1)


main()
