"""Asking a kernel past its page: what goes on in it while no page is open, or where the host lets nobody in."""

import ast
import json

from jupyter_client import BlockingKernelClient


def ask_kernel(server, kernel, code):
    """Evaluate an expression in a kernel of the server; its value must be JSON."""
    client = BlockingKernelClient(connection_file=str(server.runtime / f"kernel-{kernel}.json"))
    client.load_connection_file()
    # no more than the question's own channel: a kernel that streams never falls silent on the public one
    client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
    try:
        asked = {"answer": f"__import__('json').dumps({code})"}
        reply = client.execute("", silent=True, user_expressions=asked, reply=True, timeout=30)
    finally:
        client.stop_channels()
    answer = reply["content"]["user_expressions"]["answer"]
    assert answer["status"] == "ok", answer
    return json.loads(ast.literal_eval(answer["data"]["text/plain"]))
