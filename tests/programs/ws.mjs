// Node's `ws` against the echo at argv[2]; argv[3] closes with 1000 at the first message.
// `ws` is looked up in $NODE_PATH, which `import` would not do.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';

const WebSocket = createRequire(import.meta.url)('ws');
const [echo, bye] = process.argv.slice(2);
setTimeout(() => { throw new Error('took longer than a minute'); }, 60_000).unref();

const ws = new WebSocket(echo);
const received = [];
ws.on('message', (data, isBinary) => received.push(isBinary ? data : data.toString()));

async function next() {
  while (!received.length) await once(ws, 'message');
  return received.shift();
}

await once(ws, 'open');
console.log('extensions:', ws.extensions);

const binary = randomBytes(1_000_000);
for (const message of ['hello', '', 'Grüße, 你好, 👋🏽', Buffer.alloc(0), Buffer.from([0, 255]), binary]) {
  ws.send(message);
  assert.deepEqual(await next(), message);
}

ws.send('in ', { fin: false });
ws.send('three ', { fin: false });
ws.send('frames 🧩', { fin: true });
assert.equal(await next(), 'in three frames 🧩');
ws.send(binary.subarray(0, 10), { fin: false });
ws.send(binary.subarray(10, 70_000), { fin: false });
ws.send(binary.subarray(70_000), { fin: true });
assert.deepEqual(await next(), binary);

ws.ping('are you there?');
const [pong] = await once(ws, 'pong');
assert.equal(pong.toString(), 'are you there?');

const messages = Array.from({ length: 100 }, (_, n) => `message ${n}`);
for (const message of messages) ws.send(message);
for (const message of messages) assert.equal(await next(), message);

ws.close(1000, 'that was all');
const [code] = await once(ws, 'close');
assert.equal(code, 1000);

const second = new WebSocket(bye);
await once(second, 'open');
second.on('message', (data) => assert.fail(`received ${data} instead of a Close`));
second.send('bye');
const [closedWith] = await once(second, 'close');
assert.equal(closedWith, 1000);
