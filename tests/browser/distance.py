"""A server at a distance: a proxy on the loopback that delays what passes through it, as a long line does."""

import asyncio
import contextlib
import threading

CHUNK = 2**16


class Proxy:
    """Forwards connections to a port of this machine, each byte half of `seconds` late on its way there, and back.

    `seconds`, which may change while it runs, is added to a round trip; how much passes at once is not limited. What is
    received is acknowledged at once, so it shows nothing of what TCP itself does over a long line.
    """

    def __init__(self, port, seconds=0.0):
        self.target, self.seconds = port, seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._listener.sockets[0].getsockname()[1]

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self, reader, writer):
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by `stop`: nothing is left to be told
                await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            for one in (writer, back):
                one.close()

    async def _carry(self, reader, writer):
        """Carry bytes in one direction until their end."""
        on_the_way = asyncio.Queue()

        async def deliver():
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)

        delivery = asyncio.ensure_future(deliver())
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            on_the_way.put_nowait((self._loop.time() + self.seconds / 2, data))
        with contextlib.suppress(OSError, RuntimeError):  # the other end may be closed
            await delivery

    def stop(self):
        async def end():
            self._listener.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


class Far:
    """A server as it is seen through a proxy."""

    def __init__(self, server, seconds=0.0):
        self._server = server
        self.proxy = Proxy(server.port, seconds)
        self.url = f"http://127.0.0.1:{self.proxy.port}"

    def __getattr__(self, name):
        return getattr(self._server, name)
