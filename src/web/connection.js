// Owns the wire. `Link` is one WebSocket that comes back by itself and keeps a log of its frames; `Outbox` is the list
// of messages one link has to deliver, and what became of each. Knows nothing of the page: it reports through callbacks.

const RETRY_MIN = 500; // ms; shortest wait before a new attempt
const RETRY_MAX = 20_000; // ms; longest
const RETRY_GROWTH = 1.5;
const PATIENCE = 3_000; // ms; longest time that messages from before a reconnect wait for the others to be back too
const STABLE_AFTER = 5_000; // ms open until the attempts count from zero again, so that accept-then-close is not retried in a tight loop
const CONNECT_LIMIT = 10_000; // ms for the opening handshake
const SILENCE_LIMIT = 10_000; // ms without an echo, and without anything else, until the line is taken for dead
const TRIES = 3; // times one message is sent before it counts as failed
const RETURN_LIMIT = RETRY_MAX + 2_000; // ms after a reconnect in which somebody we write to may still be on the way back
const RETURN_CHECK = 1_000; // ms between two tries within it
const FRAMES_KEPT = 200;

export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;

/** What proves who we are to a server that asks. Every link brings it. */
export const pass = { token: '' };

const utf8 = new TextEncoder();

/** `data` (string or ArrayBuffer) as the bytes that travel. */
export const bytesOf = (data) => (typeof data === 'string' ? utf8.encode(data) : new Uint8Array(data));

/**
 * A new socket, with the token if there is one: as a subprotocol, the only header that a script can set. What no
 * subprotocol can be called (RFC 6455 §4.1) goes into the query.
 */
function openSocket(url) {
  if (!pass.token) return new WebSocket(url);
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(pass.token)) return new WebSocket(url, `bearer.${pass.token}`);
  return new WebSocket(`${url}?token=${encodeURIComponent(pass.token)}`);
}

/** Whether a close means that the same try again would come to nothing. */
const isRefusal = (code, reason) => code === 1008 && /^(authentication failed|forbidden)\b/.test(reason);

/** Full jitter: the wait is anywhere between the shortest and this bound, which grows with every failure. */
const retryBound = (attempt) => Math.min(RETRY_MAX, RETRY_MIN * 2 * RETRY_GROWTH ** (attempt - 1));

export class Link {
  /** `on`: open(), message(data), close({code, reason}), change(); all optional. */
  constructor(path, on = {}) {
    this.path = path;
    this.on = on;
    this.state = 'closed'; // connecting | open | waiting (for the next attempt) | closed (nobody wants it open)
    this.frames = []; // newest last; entries with `event` are no frames
    this.count = { in: 0, out: 0, header: 0, payload: 0 };
    this.attempt = 1;
    this.rtt = null; // ms, of the latest echo
    this.handshake = null; // ms the latest opening took
    this.refused = null; // why the server does not let us in
    this.retryAt = 0;
    this.patience = 0;
    this.socket = null;
    this.heardAt = 0;
  }

  get url() {
    const url = new URL(this.path, location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    return url.href;
  }

  get queued() { return this.socket?.bufferedAmount ?? 0; }
  get extensions() { return this.socket?.extensions ?? ''; }

  connect() {
    if (this.socket) return;
    clearTimeout(this.timer);
    const started = performance.now();
    const socket = openSocket(this.url);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.farewell = null;
    this.refused = null;
    this.timer = setTimeout(() => this.drop(), CONNECT_LIMIT);
    const mine = (handler) => (event) => { if (this.socket === socket) handler(event); };

    socket.onopen = mine(() => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => { this.attempt = 1; }, STABLE_AFTER);
      this.heardAt = performance.now();
      this.handshake = this.heardAt - started;
      this.log({ event: 'handshake', ms: this.handshake });
      this.become('open');
      this.on.open?.();
    });
    socket.onmessage = mine(({ data }) => {
      this.heardAt = performance.now();
      this.logMessage('in', data);
      this.on.message?.(data);
    });
    socket.onclose = mine(({ code, reason, wasClean }) => this.ended(code, reason, wasClean));
    this.become('connecting');
  }

  /** Sends now, if open. Returns the logged frame, or null: then nothing was sent. */
  send(data) {
    if (this.state !== 'open' || this.socket.readyState !== WebSocket.OPEN) return null;
    this.socket.send(data);
    return this.logMessage('out', data);
  }

  /** Ends the connection for good (until connect()). */
  close(reason = '') {
    clearTimeout(this.timer);
    if (!this.socket) return this.become('closed');
    this.farewell = { code: 1000, reason };
    this.timer = setTimeout(() => this.drop(), CONNECT_LIMIT);
    this.socket.close(1000, reason);
  }

  /** Gives up a socket that no longer answers; its close handshake could take minutes. */
  drop() {
    const socket = this.socket;
    this.ended(1006, '', false);
    socket?.close();
  }

  /** The echo of `frame` is back. */
  echoed(frame) {
    frame.rtt = this.rtt = performance.now() - frame.sentAt;
    this.on.change?.();
  }

  ended(code, reason, clean) {
    clearTimeout(this.timer);
    const opened = this.state === 'open';
    const last = { code, reason };
    this.socket = null;
    if (!opened) this.log({ event: 'noHandshake' });
    else if (!clean) this.log({ event: 'lost' });
    else {
      // Whoever is asked to close answers with a close frame of its own; the browser does that for us.
      this.logClose(this.farewell ? 'out' : 'in', this.farewell ?? last);
      this.logClose(this.farewell ? 'in' : 'out', { code, reason: '' });
    }
    if (!this.farewell && isRefusal(code, reason)) this.refused = reason;
    if (this.farewell || this.refused) this.become('closed');
    else {
      const bound = retryBound(this.attempt++);
      const delay = RETRY_MIN + Math.random() * (bound - RETRY_MIN);
      this.patience = Math.min(PATIENCE, bound);
      this.retryAt = Date.now() + delay;
      this.timer = setTimeout(() => this.connect(), delay);
      this.become('waiting');
    }
    this.on.close?.(last);
  }

  become(state) {
    this.state = state;
    this.on.change?.();
  }

  logMessage(direction, data) {
    const bytes = bytesOf(data);
    const opcode = typeof data === 'string' ? TEXT : BINARY;
    const head = opcode === TEXT ? data.slice(0, 120) : [...bytes.subarray(0, 24)].map(hexByte).join(' ');
    return this.log({ direction, opcode, size: bytes.length, head, cut: opcode === TEXT ? data.length > 120 : bytes.length > 24, sentAt: performance.now() });
  }

  logClose(direction, { code, reason }) {
    const size = code === 1005 ? 0 : 2 + bytesOf(reason).length;
    this.log({ direction, opcode: CLOSE, size, code, head: reason, cut: false });
  }

  log(entry) {
    entry.at = new Date();
    if (entry.opcode) {
      entry.header = frameHeader(entry);
      this.count[entry.direction] += 1;
      this.count.header += entry.header.length;
      this.count.payload += entry.size;
    }
    this.frames.push(entry);
    if (this.frames.length > FRAMES_KEPT) this.frames.shift();
    this.on.change?.();
    return entry;
  }
}

export const hexByte = (byte) => byte.toString(16).padStart(2, '0');

/**
 * The header of an unfragmented frame, RFC 6455 §5.2: 2 bytes, then 2 or 8 more for a long payload, then the 4 bytes
 * of the mask key when a client sends. The browser keeps the key to itself: its bytes are null here.
 */
export function frameHeader({ direction, opcode, size }) {
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

/**
 * Delivers items over one link, in order, and puts their fate into `item.status`: waiting, sent, delivered, failed.
 *
 * Where the server echoes (lobby, rooms), an item is delivered when the very text comes back, and the items a broken
 * connection left without an echo are sent once more; receivers know the repetition by its id. Where it does not
 * (direct chat) only errors come back, and they do not say which message they are about: so one item at a time is
 * under way, for as long as an error about it could take to arrive.
 */
export class Outbox {
  /** `encode(item)` makes the text to send; `changed(item)` is told of every new status. */
  constructor(link, { echoes, encode, changed }) {
    Object.assign(this, { link, echoes, encode, changed, queue: [] });
  }

  get unsent() { return this.queue.some((item) => item.status === 'waiting'); }

  add(item) {
    this.queue.push(item);
    this.set(item, 'waiting');
    this.flush();
  }

  /**
   * The link is open (again). The others lost their connections together with us, and a relay keeps nothing for who is
   * not there: so what waited through the outage waits a moment longer, until most of them are back.
   */
  resume() {
    this.resumedAt = performance.now();
    for (const item of this.queue) item.outlasted = 0 < this.link.patience;
    clearTimeout(this.hold);
    this.hold = null;
    if (!this.unsent || this.link.patience === 0) return this.flush();
    this.hold = setTimeout(() => {
      this.hold = null;
      this.flush();
    }, this.link.patience);
  }

  flush() {
    if (this.hold) return;
    const absent = new Set(); // recipients still awaited: what is for them keeps its order
    for (const item of this.queue) {
      if (item.status === 'sent' && !this.echoes) return;
      if (item.status !== 'waiting' || absent.has(item.to)) continue;
      if (performance.now() < item.notBefore) {
        absent.add(item.to);
        continue;
      }
      item.wire ??= this.encode(item);
      const frame = this.link.send(item.wire);
      if (!frame) return;
      item.frame = frame;
      item.tries = (item.tries ?? 0) + 1;
      this.set(item, 'sent');
      this.watch(item);
    }
  }

  /** Takes the text of a received message; returns the item it is the echo of, if any. */
  confirm(wire) {
    const item = this.queue.find((i) => i.wire === wire && i.status === 'sent');
    if (!item) return null;
    this.link.echoed(item.frame);
    this.settle(item, 'delivered');
    return item;
  }

  /** The server refused what is under way. Returns the item, if there is one. */
  refuse(error) {
    const item = this.queue.find((i) => i.status === 'sent');
    if (!item) return null;
    const returning = error.code === 'no_such_user' && item.outlasted && performance.now() - this.resumedAt < RETURN_LIMIT;
    if (!returning) {
      this.settle(item, 'failed', error);
      return item;
    }
    // The outage hit the recipient too, whose page has not reconnected yet.
    clearTimeout(item.timer);
    item.notBefore = performance.now() + RETURN_CHECK;
    item.tries -= 1;
    this.set(item, 'waiting');
    setTimeout(() => this.flush(), RETURN_CHECK + 1);
    this.flush();
    return item;
  }

  /** The connection is gone: what was under way waits again, except what the server will not take. */
  interrupted({ code }) {
    const open = this.queue.filter((item) => item.status === 'sent');
    for (const item of open) clearTimeout(item.timer);
    if (code === 1009 && open.length) {
      const largest = open.reduce((a, b) => (b.frame.size > a.frame.size ? b : a));
      this.settle(largest, 'failed', { code: 'tooLarge' });
    }
    // Messages are taken in order: if one of them broke the connection, it was the oldest. The others' tries do not count.
    for (const item of open.slice(1)) item.tries -= 1;
    for (const item of open) {
      if (item.status !== 'sent') continue;
      if (item.tries < TRIES) this.set(item, 'waiting');
      else this.settle(item, 'failed', { code: 'noEcho' });
    }
  }

  /** Lets go of everything, and returns what was not sent yet. */
  abandon() {
    const waiting = this.queue.filter((item) => item.status === 'waiting');
    for (const item of this.queue) clearTimeout(item.timer);
    clearTimeout(this.hold);
    this.queue = [];
    return waiting;
  }

  /** Watches over an item just sent: without an echo for too long the line is dead; without an error it is done. */
  watch(item) {
    const wait = this.echoes ? SILENCE_LIMIT : Math.min(3000, Math.max(300, 2 * this.link.handshake));
    item.timer = setTimeout(() => {
      if (!this.echoes) return this.settle(item, 'sent');
      const silent = SILENCE_LIMIT <= performance.now() - this.link.heardAt + 1 && this.link.queued === 0;
      if (silent) this.link.drop();
      else this.watch(item);
    }, wait);
  }

  settle(item, status, error) {
    clearTimeout(item.timer);
    this.queue.splice(this.queue.indexOf(item), 1);
    item.wire = null; // a megabyte, perhaps
    this.set(item, status, error);
    this.flush();
  }

  set(item, status, error = null) {
    item.status = status;
    item.error = error;
    this.changed(item);
  }
}
