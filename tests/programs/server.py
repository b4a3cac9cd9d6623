"""Python's `websockets` as a server on port argv[1]: echoes, and does what messages that begin with / ask for.

With TLS when argv[2:] are certificate, key, and the name of the version.
Prints its port, and how each connection was closed. Ends after a minute.
"""

import asyncio
import ssl
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


def tls(certificate, key, version):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


async def main(port, *secure):
    options = {"subprotocols": ["echo.v1"], "ssl": tls(*secure) if secure else None}
    async with asyncio.timeout(60), serve(handle, "127.0.0.1", int(port), **options) as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
