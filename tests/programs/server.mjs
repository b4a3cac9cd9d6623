// Node's `ws` as a server on port argv[2]: echoes, and does what messages that begin with / ask for.
// Prints its port, and how each connection was closed. Ends after a minute.

import { once } from 'node:events';
import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(import.meta.url)('ws');
setTimeout(() => { throw new Error('took longer than a minute'); }, 60_000).unref();

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => offered.has('echo.v1') && 'echo.v1',
});

server.on('connection', (ws, request) => {
  ws.on('message', async (data, isBinary) => {
    const text = isBinary ? undefined : data.toString();
    if (text === '/header') ws.send(request.headers['x-test']);
    else if (text === '/ping') {
      ws.ping('are you there?');
      const [pong] = await once(ws, 'pong');
      ws.send(pong.toString() === 'are you there?' ? 'the pong came' : `another pong: ${pong}`);
    } else if (text === '/quiet') setTimeout(() => ws.send('no longer quiet'), 4000);
    else if (text === '/close') ws.close(1000, 'as you wish');
    else ws.send(data, { binary: isBinary });
  });
  ws.on('close', (code, reason) => console.log('closed', code, reason.toString()));
});
await once(server, 'listening');
console.log('port', server.address().port);
