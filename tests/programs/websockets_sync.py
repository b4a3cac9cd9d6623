"""Python's `websockets`, the threaded client, against the echo at argv[1]; argv[2] closes with 1000 at the first message."""

import os
import signal
import sys

from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

BINARY = os.urandom(1_000_000)
signal.alarm(60)
echo, bye = sys.argv[1:3]

with connect(echo) as ws:
    print("extensions:", [extension.name for extension in ws.protocol.extensions])

    for message in ["hello", "", "Grüße, 你好, 👋🏽", b"", b"\x00\xff", BINARY]:
        ws.send(message)
        assert ws.recv() == message, f"not echoed: {message[:20]!r}"

    ws.send(["in ", "three ", "frames 🧩"])
    assert ws.recv() == "in three frames 🧩", "a fragmented text"
    ws.send([BINARY[:10], BINARY[10:70_000], BINARY[70_000:]])
    assert ws.recv() == BINARY, "a fragmented binary"

    assert ws.ping(b"are you there?").wait(30), "no pong"

    messages = [f"message {n}" for n in range(100)]
    for message in messages:
        ws.send(message)
    assert [ws.recv() for _ in messages] == messages, "pipelined messages"

    ws.close(1000, "that was all")
    assert (ws.close_code, ws.protocol.close_rcvd.code) == (1000, 1000), ws.protocol.close_rcvd

with connect(bye) as ws:
    ws.send("bye")
    try:
        got = ws.recv()
        raise AssertionError(f"received {got!r} instead of a Close")
    except ConnectionClosedOK as closed:
        assert closed.rcvd.code == 1000, closed
