"""Python's `websockets` as a server on port argv[1]: echoes, and does what messages that begin with / ask for.

Prints its port, and how each connection was closed. Ends after a minute.
"""

import asyncio
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def handle(ws):
    try:
        async for message in ws:
            if message == "/header":
                await ws.send(ws.request.headers["X-Test"])
            elif message == "/ping":
                await (await ws.ping(b"are you there?"))
                await ws.send("the pong came")
            elif message == "/quiet":
                await asyncio.sleep(4)
                await ws.send("no longer quiet")
            elif message == "/close":
                await ws.close(1000, "as you wish")
            else:
                await ws.send(message)
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    print("closed", ws.close_code, ws.close_reason, flush=True)


async def main():
    async with asyncio.timeout(60), serve(handle, "127.0.0.1", int(sys.argv[1]), subprotocols=["echo.v1"]) as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
