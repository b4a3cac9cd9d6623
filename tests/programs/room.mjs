// One half of a conversation in the room at argv[2] (room.py is the other): the two count to 50 in turns.
// Who was here first begins. Everybody hears all messages, the own ones too, in the same order.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';

const WebSocket = createRequire(import.meta.url)('ws');
setTimeout(() => { throw new Error('took longer than a minute'); }, 60_000).unref();
const [me, peer] = ['node', 'python'];

const ws = new WebSocket(process.argv[2]);
const heard = [];
let arrived = false;
ws.on('message', (data) => {
  const [who, what] = data.toString().split(' ');
  if (what === 'here') {
    if (who === peer && arrived) ws.send(`${me} 1`);
    arrived ||= who === me;
    return;
  }
  heard.push(Number(what));
  if (heard.length === 50) ws.close(1000);
  else if (who === peer) ws.send(`${me} ${Number(what) + 1}`);
});
await once(ws, 'open');
ws.send(`${me} here`);
await once(ws, 'close');
assert.deepEqual(heard, Array.from({ length: 50 }, (_, n) => n + 1));
