// The client of browsers from its source, and a WebSocket for it: Node's own, or before Node 22 that of `ws`, looked up in
// $NODE_PATH, which `import` would not do.

import { webcrypto } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

globalThis.crypto ??= webcrypto;
export const ws = createRequire(import.meta.url)('ws');
export const WebSocket = globalThis.WebSocket ?? ws;

/** Its exports. A file whose name says that it is a module is a module in all versions of Node. */
export async function load(source) {
  const folder = await mkdtemp(join(tmpdir(), 'switchboard-client-'));
  try {
    const file = join(folder, 'client.mjs');
    await writeFile(file, source);
    return await import(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}
