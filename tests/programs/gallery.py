"""The gallery of examples, at argv[1] (`ws://HOST:PORT`), as Python's `websockets` sees it."""

import json
import re
import signal
import sys
import urllib.request

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

signal.alarm(60)
url = sys.argv[1]


def closed(ws):
    """Code and reason of the server's Close, which comes next."""
    try:
        raise AssertionError(f"received {ws.recv()!r} instead of a Close")
    except ConnectionClosed as end:
        return end.rcvd.code, end.rcvd.reason


def answers(path, *pairs, **options):
    with connect(url + path, **options) as ws:
        for sent, expected in pairs:
            ws.send(sent)
            got = ws.recv()
            assert got == expected, f"{path}: {got!r} instead of {expected!r}"


with connect(url + "/handler") as ws:
    ws.send("Hello, I am PyPy.")
    said = ws.recv()
    assert re.fullmatch(r'Data received as "Hello, I am PyPy\."\.  time: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}', said), said

answers("/echo", ("hello", "hello"), (b"\x00\xff", b"\x00\xff"))
answers("/echo-cn", ("Hello, WebSocket!", "收到消息: Hello, WebSocket!"))
answers("/received", ("hello", "Server received: hello"))
answers("/binary", (b"\x00", b"Binary received"), ("text", "请发送二进制数据"))
answers("/lower_case", ("HELLO", "hello"))
answers("/say", ("你好", "用户说: 你好"))
answers("/group1", ("M", "MSB"))
answers("/auth", ("in", "in"), additional_headers={"Authorization": "Bearer secret-token"})
answers("/cors", ("in", "in"), origin="https://example.com")

for path, code_and_reason in [("/auth", (1008, "无效令牌")), ("/cors", (1008, "不允许的源"))]:
    with connect(url + path) as ws:
        assert closed(ws) == code_and_reason, path

with connect(url + "/hello") as ws:
    assert ws.recv() == "Hello, WebSocket" and closed(ws) == (1000, "")
with connect(url + "/chatsocket") as ws:
    ws.send("?")
    assert ws.recv() == "你好呀你好" and closed(ws) == (1000, "")
with connect(url + "/room/123/") as ws:
    assert ws.recv() == "来了呀客官"
    ws.send("关闭")
    assert closed(ws) == (1000, "")

with connect(url + "/protected") as ws:
    echoed = 0
    try:
        while True:
            ws.send("again")
            ws.recv()
            echoed += 1
    except ConnectionClosed as end:
        assert (end.rcvd.code, end.rcvd.reason) == (1008, "发送消息过于频繁"), end
    assert 100 <= echoed, echoed

with connect(url + "/stream") as ws:
    sample = json.loads(ws.recv())
    assert len(sample["values"]) == 5 and isinstance(sample["timestamp"], int), sample

with connect(url + "/game") as ann:
    a = json.loads(ann.recv())["playerId"]
    with connect(url + "/game") as bob:
        init = json.loads(bob.recv())
        assert set(init["state"]["players"]) == {a, init["playerId"]}, init
        bob.send(json.dumps({"type": "move", "position": [1, 2]}))
        assert json.loads(ann.recv())["position"] == [1, 2]
    left = json.loads(ann.recv())
    assert left == {"type": "playerLeft", "playerId": init["playerId"]}, left

with connect(url + "/heartbeat") as ws:
    ws.send("hello")
    assert ws.recv() == "hello"

try:
    connect(url + "/chat/lobby", origin="https://evil.test")
    raise AssertionError("another site was admitted")
except InvalidStatus as refused:
    assert (refused.response.status_code, refused.response.body) == (403, b"Forbidden\n"), refused.response

with urllib.request.urlopen(url.replace("ws", "http", 1) + "/hello-http") as answer:
    assert answer.read() == b"Hello, HTTP"
