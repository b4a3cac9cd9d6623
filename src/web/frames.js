// Owns the record of what went over one WebSocket: its frames, as far as a script can know them, the openings and the
// ends, and how long replies took. Knows nothing of the page.

import { bytesOf, hexByte } from './dom.js';

const KEPT = 200; // entries
const AWAITED = 1000; // requests whose reply is waited for

export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;

export class FrameLog {
  /** `url` is absolute. */
  constructor(url) {
    this.url = url;
    this.entries = []; // newest last; those with `event` are no frames
    this.count = { in: 0, out: 0, header: 0, payload: 0 };
    this.rtt = null; // ms, of the latest reply
    this.lastClose = null; // its code
    this.awaited = new Map(); // id of a request -> its frame
  }

  get path() { return new URL(this.url).pathname; }

  /** An opening handshake has begun. */
  opening() { this.began ??= performance.now(); }

  opened() {
    if (this.began === undefined) return;
    this.add({ event: 'handshake', ms: performance.now() - this.began });
    this.began = undefined;
  }

  /** A message in its one frame; returns the entry. */
  message(direction, data) {
    const text = typeof data === 'string';
    const bytes = bytesOf(data);
    const head = text ? data.slice(0, 120) : [...bytes.subarray(0, 24)].map(hexByte).join(' ');
    const entry = this.add({ direction, opcode: text ? TEXT : BINARY, size: bytes.length, head, cut: text ? 120 < data.length : 24 < bytes.length, sentAt: performance.now() });
    entry.kind = text ? /^\{"type":"(\w{1,20})"/.exec(data)?.[1] ?? '' : '';
    if (text && entry.kind) this.match(entry, data);
    return entry;
  }

  /** Requests and replies of `switchboard.v1` carry the same id. */
  match(entry, text) {
    if (!text.slice(0, 200).includes('"id"')) return;
    const id = idOf(text);
    if (id === undefined) return;
    if (entry.direction === 'out') {
      this.awaited.set(id, entry);
      if (AWAITED < this.awaited.size) this.awaited.delete(this.awaited.keys().next().value);
    } else if (this.awaited.has(id)) {
      this.answered(this.awaited.get(id));
      this.awaited.delete(id);
    }
  }

  /** The reply to that frame is here. */
  answered(entry) { entry.rtt = this.rtt = performance.now() - entry.sentAt; }

  /**
   * The end. Whoever is asked to close answers with a close frame of its own, and the browser does that for us; `ours` are
   * code and reason that we asked with.
   */
  closed({ code, reason }, ours = null) {
    this.awaited.clear();
    this.lastClose = code;
    if (this.began !== undefined) this.add({ event: 'noHandshake' });
    else if (code === 1006) this.add({ event: 'lost' });
    else {
      this.close(ours ? 'out' : 'in', ours ?? { code, reason });
      this.close(ours ? 'in' : 'out', { code, reason: '' });
    }
    this.began = undefined;
  }

  close(direction, { code, reason }) {
    const size = code === 1005 ? 0 : 2 + bytesOf(reason).length;
    this.add({ direction, opcode: CLOSE, kind: '', size, code, head: reason, cut: false });
  }

  add(entry) {
    entry.at = new Date();
    if (entry.opcode) {
      entry.header = frameHeader(entry);
      this.count[entry.direction] += 1;
      this.count.header += entry.header.length;
      this.count.payload += entry.size;
    }
    this.entries.push(entry);
    if (KEPT < this.entries.length) this.entries.shift();
    return entry;
  }
}

function idOf(text) {
  try { return JSON.parse(text).id; } catch { return undefined; }
}

/**
 * The header of an unfragmented frame, RFC 6455 §5.2: 2 bytes, then 2 or 8 more for a long payload, then the 4 bytes
 * of the mask key when a client sends. The browser keeps the key to itself: its bytes are null here.
 */
function frameHeader({ direction, opcode, size }) {
  const mask = direction === 'out' ? 0x80 : 0;
  const header = [0x80 | opcode];
  if (size <= 125) header.push(mask | size);
  else if (size <= 0xffff) header.push(mask | 126, size >> 8, size & 0xff);
  else {
    header.push(mask | 127);
    for (let shift = 7; 0 <= shift; shift -= 1) header.push(Math.floor(size / 256 ** shift) % 256);
  }
  if (mask) header.push(null, null, null, null);
  return header;
}

export const headerHex = (header) => header.map((byte) => (byte === null ? '··' : hexByte(byte))).join(' ');
