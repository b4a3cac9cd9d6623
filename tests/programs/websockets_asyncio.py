"""Python's `websockets`, the asyncio client, against the echo at argv[1]; argv[2] closes with 1000 at the first message."""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

BINARY = os.urandom(1_000_000)


async def main(echo, bye):
    async with connect(echo) as ws:
        print("extensions:", [extension.name for extension in ws.protocol.extensions])

        for message in ["hello", "", "Grüße, 你好, 👋🏽", b"", b"\x00\xff", BINARY]:
            await ws.send(message)
            assert await ws.recv() == message, f"not echoed: {message[:20]!r}"

        await ws.send(["in ", "three ", "frames 🧩"])
        assert await ws.recv() == "in three frames 🧩", "a fragmented text"
        await ws.send([BINARY[:10], BINARY[10:70_000], BINARY[70_000:]])
        assert await ws.recv() == BINARY, "a fragmented binary"

        pong = await ws.ping(b"are you there?")
        assert 0 <= await pong

        messages = [f"message {n}" for n in range(100)]
        for message in messages:
            await ws.send(message)
        assert [await ws.recv() for _ in messages] == messages, "pipelined messages"

        await ws.close(1000, "that was all")
        assert (ws.close_code, ws.protocol.close_rcvd.code) == (1000, 1000), ws.protocol.close_rcvd

    async with connect(bye) as ws:
        await ws.send("bye")
        try:
            got = await ws.recv()
            raise AssertionError(f"received {got!r} instead of a Close")
        except ConnectionClosedOK as closed:
            assert closed.rcvd.code == 1000, closed


async def bounded():
    async with asyncio.timeout(60):
        await main(*sys.argv[1:3])


asyncio.run(bounded())
