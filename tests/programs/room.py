"""One half of a conversation in the room at argv[1] (room.mjs is the other): the two count to 50 in turns.

Who was here first begins. Everybody hears all messages, the own ones too, in the same order.
"""

import signal
import sys

from websockets.sync.client import connect

signal.alarm(60)
me, peer = "python", "node"

with connect(sys.argv[1]) as ws:
    ws.send(f"{me} here")
    heard, arrived = [], False
    while len(heard) < 50:
        who, what = ws.recv().split()
        if what == "here":
            if who == peer and arrived:
                ws.send(f"{me} 1")
            arrived = arrived or who == me
            continue
        heard.append(int(what))
        if who == peer and len(heard) < 50:
            ws.send(f"{me} {int(what) + 1}")
    assert heard == list(range(1, 51)), heard
