// @ts-check
/**
 * The client of `switchboard.v1` for browsers and Node >= 22: one file, no dependencies, served at `/client.js`.
 *
 *     import { connect } from '/client.js'; // whole URLs in Node, and in a page that another server serves
 *     const line = connect('/ws', { user: 'ann' });
 *     const room = line.room('tea', { history: 50 });
 *     room.on('message', (m) => console.log(m.from, m.data));
 *     await room.publish('hello'); // { epoch, offset }, once the server has it for good
 *
 * A line comes back by itself when it is lost, joins its rooms again, and fetches what was said meanwhile.
 *
 * - Messages: each is emitted once, and in order. What the server no longer has is told by the event `gap`.
 * - Publishing: a message that is not acknowledged is kept, offline too, and sent again with its key until it is. So
 *   it is there once, and the messages of one line in one room are in order. Two limits: a server forgets keys when a
 *   room's history (100 messages by default) has rolled past them, so that a message whose acknowledgement was lost
 *   before a long break can be there twice; and with `inFlight` above 1, see there. What is kept is kept in memory:
 *   it ends with the page.
 * - Promises reject with an `Error` that has a `code`: one of the server's (`forbidden`, `too_large`, `not_member`, …), or
 *   `full` (too much is waiting already), `closed` (the line is closed; what was sent and not acknowledged may be there),
 *   `offline` (no connection now) or `unknown` (it was sent, and the connection ended before the answer).
 * - A line that was refused for good (close code 1008, or `kicked`) is `closed`, and stays so. All else is retried.
 */

/** Bounds and times, in ms unless it says otherwise; all can be set in the options of `connect`. */
const DEFAULTS = {
  maxDelay: 30_000, // longest wait between two attempts, unless the server asks for more
  connectTimeout: 15_000, // until the server's welcome
  pingAfter: 25_000, // silence after which the server is asked whether it is there
  pongWithin: 10_000, // time that it has for the answer
  maxPending: 1000, // unacknowledged requests, of all rooms together
  maxPendingSize: 8 * 2 ** 20, // the same in characters
  inFlight: 1, // publishes of a room that are on their way at once
};

const FIRST_DELAY = 1000; // bound of the first wait; doubles with each further attempt
const LONGEST_HINT = 24 * 3600 * 1000; // what a server may ask for, at most
const STABLE_AFTER = 5000; // open for so long: the attempts count from the first again
const REFUSALS = 5; // times that 1008 is taken for a token that was too old, when there is a function for new ones
const WINDOW = 4; // requests of all rooms on their way at once, at first
const WINDOW_MAX = 32; // later; they grow by one with every eight that are carried out
const TICK = 5000; // how often the clock is looked at while the line is open
const SLEPT = 10_000; // a tick that is so late was slept through
const LONGEST_PAUSE = 10_000; // between two requests after `rate_limited` or `unavailable`
const TRANSIENT = ['unavailable', 'rate_limited'];

const utf8 = new TextEncoder();

/**
 * @typedef {object} Options
 * @property {string | (() => string | undefined | Promise<string | undefined>)} [token] who we are, for a server that asks;
 *   a function is called for each attempt
 * @property {string} [user] a name, for a server that does not ask; default: the server makes one up
 * @property {any} [WebSocket] the class, where there is none globally; for example that of the package `ws`
 * @property {number} [maxDelay] ms; longest wait between two attempts, unless the server asks for more. Default 30 000
 * @property {number} [connectTimeout] ms an attempt may take. Default 15 000
 * @property {number} [pingAfter] ms of silence until the server is asked whether it is there. Default 25 000
 * @property {number} [pongWithin] ms it has for the answer. Default 10 000
 * @property {number} [maxPending] unacknowledged requests; one more rejects with `full`. Default 1000
 * @property {number} [maxPendingSize] the same in characters. Default 8 388 608
 * @property {number} [inFlight] publishes of one room that are on their way at once. 1, the default, makes the order
 *   exact, at one message per round trip. More is faster over long distances; but then a message that the server refuses for
 *   now (`rate_limited`, `unavailable`) comes after those that were already on their way.
 */

/** @typedef {'connecting' | 'open' | 'waiting' | 'closed'} State */
/** @typedef {{offset: number, from: string | null, data: any, time: number, epoch: string}} Message */
/** @typedef {{room: string, user: string, change: 'join' | 'leave', users: number, version: number}} Presence */
/** @typedef {{since: Since, epoch: string, offset: number, missed: number | null}} Gap what may be missing is after `since`;
 *   `missed`: how many messages, if that is known */
/** @typedef {{epoch: string, offset: number}} Since */
/** @typedef {{recovered: boolean, epoch: string, offset: number, members: Map<string, number>,
 *   users: number}} Joined `users`: how many there are, though `members` may not have them all */
/** @typedef {Error & {code: string, path?: string}} Failure */
/** @typedef {{reply: (m: any) => void, fail: (error: Failure) => void, lost: () => void}} Outcome exactly one is called */

/**
 * @typedef {object} Item a request in a queue
 * @property {string} type
 * @property {string} fields JSON
 * @property {boolean} again
 * @property {boolean} sent
 * @property {(error: Failure | null, m?: any) => void} settle
 */

/**
 * @typedef {object} LineEvents
 * @property {State} state
 * @property {any} welcome
 * @property {{from: string | null, data: any, time: number}} direct
 * @property {{data: any, time: number}} broadcast
 * @property {{room?: string, reason: string}} kicked
 * @property {{reconnect_after: number}} going_away
 * @property {Failure} error an error that answers no request; what the function for tokens has thrown
 * @property {{out: boolean, text: string}} frame
 * @property {{code: number, reason: string}} close each end of a connection, and each attempt that failed
 * @property {number} pending how many requests are not acknowledged
 */

/**
 * @typedef {object} RoomEvents
 * @property {Message} message
 * @property {Presence} presence
 * @property {Map<string, number>} members
 * @property {Joined} joined after the messages that it brought
 * @property {Gap} gap before the messages that come after it
 * @property {Failure} error the room cannot be joined; it is left then
 */

/**
 * A line to the server at `url`, which may be relative in a browser. Returns at once; see the event `state`.
 *
 * @param {string | URL} url
 * @param {Options} [options]
 * @returns {Line}
 * @throws {Error} when the URL is none, or there is no WebSocket
 */
export function connect(url, options = {}) {
  return new Line(url, options);
}

/** @param {string} code @param {string} message @returns {Failure} */
const failure = (code, message) => Object.assign(new Error(message), { code });

/** An error reply. @param {any} m @returns {Failure} */
const told = ({ code, message, path }) => Object.assign(failure(code, message), path === undefined ? {} : { path });

/** Full jitter: anything up to a bound that doubles with each attempt. @param {number} attempt @param {number} most */
const jitter = (attempt, most) => Math.random() * Math.min(most, FIRST_DELAY * 2 ** attempt);

/** 128 random bits; `crypto.randomUUID` is there on secure pages only. */
const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** @template E */
class Emitter {
  /** @type {Map<keyof E, Set<(value: any) => void>>} */
  #listeners = new Map();

  /**
   * Calls `listener` with each event of that name. What it throws is reported as uncaught, and hinders nobody else.
   *
   * @template {keyof E} K
   * @param {K} name
   * @param {(value: E[K]) => void} listener
   * @returns {() => void} takes it away again
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @protected @template {keyof E} K @param {K} name @param {E[K]} value */
  emit(name, value) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** Requests that are sent in order, and again until they are answered. */
class Queue {
  #line;
  #ready;
  #window;
  /** @type {Item[]} */
  #items = [];
  #sent = 0;

  /**
   * @param {Line} line
   * @param {() => boolean} ready asked before each; takes the line's turn when it says yes
   * @param {() => number} window how many are on their way at once
   */
  constructor(line, ready, window) {
    this.#line = line;
    this.#ready = ready;
    this.#window = window;
  }

  get isEmpty() {
    return this.#items.length === 0;
  }

  /**
   * @param {string} type
   * @param {string} fields JSON
   * @param {boolean} again whether it is sent again when its answer was lost, or was that it cannot be done now
   * @returns {Promise<any>}
   */
  add(type, fields, again) {
    return new Promise((resolve, reject) => {
      this.#line._reserve(fields.length);
      /** @type {Item} */
      const item = {
        type,
        fields,
        again,
        sent: false,
        settle: (error, m) => {
          this.#items.splice(this.#items.indexOf(item), 1);
          this.#line._release(fields.length);
          if (error) reject(error);
          else resolve(m);
        },
      };
      this.#items.push(item);
      this.pump();
    });
  }

  pump() {
    while (this.#sent < this.#window()) {
      const item = this.#items.find(({ sent }) => !sent);
      if (!item || !this.#ready()) return;
      if (this.#line._fits(item.fields)) this.#send(item);
      else item.settle(failure('too_large', `a message may have ${this.#line.limits.message} bytes: send less at once`));
    }
  }

  /** @param {Item} item */
  #send(item) {
    const back = () => {
      item.sent = false;
      this.#sent--;
    };
    item.sent = true;
    this.#sent++;
    this.#line._ask(item.type, item.fields, {
      reply: (m) => {
        back();
        item.settle(null, m);
      },
      fail: (error) => {
        back();
        const isLater = this.#line._slowed(error);
        if (!item.again || !isLater) item.settle(error);
      },
      lost: () => {
        back();
        const message = 'the connection ended before the answer: it may have been carried out, or not';
        if (!item.again) item.settle(failure('unknown', message));
      },
    });
  }

  /** @param {Failure} error */
  end(error) {
    for (const item of [...this.#items]) item.settle(error);
  }
}

/** @extends {Emitter<LineEvents>} */
export class Line extends Emitter {
  /** @type {State} */
  state = 'connecting';
  /** When the next attempt begins, in ms since 1970, while the state is `waiting`. @type {number | null} */
  retryAt = null;
  /** Who the server says we are; a name that it made up is kept when the line comes back. @type {string | null} */
  user = null;
  /** @type {string | null} */
  connection = null;
  /** @type {string | null} */
  node = null;
  /** What the server allows: `message` (bytes), `rooms`, `history`, `grace` (ms) and others. @type {any} */
  limits = {};

  /** @type {URL} */ #url;
  /** @type {Options & typeof DEFAULTS} */ #options;
  /** @type {any} */ #socket = null;
  /** Which attempt is under way; what belongs to an earlier one is over. */
  #current = {};
  /** @type {Map<string, Room>} */ #rooms = new Map();
  /** @type {Map<number, Outcome & {size: number}>} */ #waiting = new Map();
  #directs;
  #lastId = 0;
  #pending = 0;
  #pendingSize = 0;

  /** The one timer of the state: of the attempt, the wait before the next, or the watch over an open line. @type {any} */
  #timer;
  #attempts = 0;
  #refusals = 0;
  #openedAt = Infinity;
  /** @type {number | null} */ #hint = null;
  #notBefore = 0;
  #isKicked = false;
  #heardAt = 0;
  #isQuiet = false;

  // Not faster than the server wants: no request before `#turnAt`, and then one in `#interval`, as long as the connection is
  // there. What was asked before `#slowUntil` was refused together.
  #turnAt = 0;
  #slowUntil = 0;
  #interval = 0;
  #pauses = 0;
  #window = 0;
  /** @type {any} */ #turnTimer;

  #wake = (/** @type {Event} */ { type }) => {
    if (type !== 'visibilitychange' || document.visibilityState === 'visible') this.#awake();
  };

  /** @param {string | URL} url @param {Options} options */
  constructor(url, options) {
    super();
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#options = { ...DEFAULTS, ...Object.fromEntries(given) };
    this.#url = new URL(url, globalThis.location?.href);
    this.#url.protocol = this.#url.protocol.replace(/^http/, 'ws');
    this.#url.hash = '';
    if (!/^wss?:$/.test(this.#url.protocol)) throw new Error(`${this.#url.href} is no URL of a WebSocket: use ws: or wss:`);
    if (!(this.#options.WebSocket ?? globalThis.WebSocket)) {
      throw new Error('there is no WebSocket here: use Node 22, or give the class in the options');
    }
    this.#directs = new Queue(this, () => this._turn(), () => Infinity);
    globalThis.addEventListener?.('online', this.#wake);
    globalThis.addEventListener?.('pageshow', this.#wake);
    globalThis.document?.addEventListener('visibilitychange', this.#wake);
    this.#open();
  }

  /** How many publishes and other requests are not acknowledged. */
  get pending() {
    return this.#pending;
  }

  /**
   * The room of that name, always the same object. It is joined now, and again after each reconnect.
   *
   * @param {string} name
   * @param {{history?: number}} [options] `history`: how many of the newest messages the first join brings. Default 0
   * @returns {Room}
   */
  room(name, { history = 0 } = {}) {
    name = String(name);
    let room = this.#rooms.get(name);
    if (!room) {
      // What is sent again must still be known by its key.
      const window = () => Math.max(1, Math.min(this.#options.inFlight, (this.limits.history ?? 1) / 2));
      room = new Room(this, name, history, window);
      this.#rooms.set(name, room);
    }
    if (this.state !== 'closed') room._want();
    return room;
  }

  /**
   * To all connections of a user. It waits for a connection, but is never sent twice: if the connection ends before the
   * answer, the promise rejects with `unknown`. All errors of the server reject, `rate_limited` and `unavailable` too.
   *
   * @param {string} to
   * @param {any} data
   * @returns {Promise<{connections: number}>}
   */
  async direct(to, data) {
    const m = await this.#directs.add('direct', `"to":${JSON.stringify(String(to))},"data":${json(data)}`, false);
    return { connections: m.connections };
  }

  /** The time to the server and back, in ms. Rejects with `offline` without a connection. @returns {Promise<number>} */
  ping() {
    return new Promise((resolve, reject) => {
      const from = performance.now();
      const lost = () => reject(failure('offline', 'there is no connection at present'));
      if (!this.#isReady()) return lost();
      this._ask('ping', '', { reply: () => resolve(performance.now() - from), fail: reject, lost });
    });
  }

  /** Connects anew, now, whatever the state; a closed line stays closed. */
  reconnect() {
    if (this.state === 'closed') return;
    if (this.state === 'waiting') this.#open();
    else this.#lost(1000, 'reconnecting', true);
  }

  /**
   * Ends the line for good. What is not acknowledged rejects with `closed`. Nothing remains that would keep a program from
   * ending; but Node's own WebSocket keeps a connection that has died silently until TCP gives it up.
   */
  close() {
    if (this.state !== 'closed') this.#end(1000, '');
  }

  // ---- one connection

  async #open() {
    const current = (this.#current = {});
    this.#in(this.#options.connectTimeout, () => this.#lost(1006, 'there was no answer in time'));
    this.#enter('connecting');
    let token;
    try {
      const given = this.#options.token;
      token = typeof given === 'function' ? await given() : given;
      if (current !== this.#current) return;
      this.#connect(token);
    } catch (error) {
      if (current !== this.#current) return;
      const why = error instanceof Error ? error.message : String(error);
      this.emit('error', failure('offline', why));
      if (current === this.#current) this.#lost(1006, why);
    }
  }

  /** @param {string | undefined} token */
  #connect(token) {
    const url = new URL(this.#url);
    const user = this.#options.user ?? this.user;
    if (user !== null && !url.searchParams.has('user')) url.searchParams.set('user', user);
    const protocols = ['switchboard.v1'];
    // Pages can set no header. A subprotocol is in no log; but not every token can be one (RFC 6455 §4.1, RFC 9110 §5.6.2).
    if (token && /^[\w!#$%&'*+.^`|~-]+$/.test(token)) protocols.push(`bearer.${token}`);
    else if (token) url.searchParams.set('token', token);
    const socket = new (this.#options.WebSocket ?? globalThis.WebSocket)(url.href, protocols);
    this.#socket = socket;
    socket.onmessage = (/** @type {any} */ { data }) => this.#receive(data);
    socket.onclose = (/** @type {any} */ { code, reason }) => this.#lost(code, String(reason));
    let isOpen = false;
    socket.onopen = () => (isOpen = true);
    // A close follows, and says as much; but not for a failed handshake in some versions of Node.
    socket.onerror = (/** @type {any} */ { message }) => {
      if (!isOpen && socket === this.#socket) this.#lost(1006, message || 'there was no connection to be had');
    };
  }

  /** Lets go of the connection, whatever its state. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#current = {};
    clearTimeout(this.#timer);
    clearTimeout(this.#turnTimer);
    this.#turnTimer = undefined;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    if (socket.readyState < 2) socket.close(1000);
  }

  /**
   * The connection has ended, or is given up.
   *
   * @param {number} code
   * @param {string} reason
   * @param {boolean} [atOnce] without a wait, as the program wants it so
   */
  #lost(code, reason, atOnce = false) {
    if (STABLE_AFTER <= Date.now() - this.#openedAt) this.#attempts = this.#refusals = 0;
    if (code === 1008) this.#refusals++;
    const tries = typeof this.#options.token === 'function' ? REFUSALS : 0;
    if (this.#isKicked || (code === 1008 && tries < this.#refusals)) return this.#end(code, reason);
    this.#drop();
    const hint = this.#hint;
    this.#hint = null;
    this.#notBefore = Date.now() + (hint ?? 0);
    this.#openedAt = Infinity;
    // A little more than asked for: others were told the same.
    const wait = hint === null ? jitter(this.#attempts, this.#options.maxDelay) : hint * (1 + Math.random() / 10);
    this.#unanswered(code);
    const current = this.#current;
    if (!atOnce) {
      this.#attempts++;
      this.retryAt = Date.now() + wait;
      this.#in(wait, () => this.#open());
    }
    this.emit('close', { code, reason });
    // A listener may have done something else.
    if (current !== this.#current) return;
    if (atOnce) this.#open();
    else this.#enter('waiting');
  }

  /** What was asked gets no answer any more. @param {number} code */
  #unanswered(code) {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    // Or it would be sent, and end the connection, again and again.
    const largest = code === 1009 && waiting.filter(({ size }) => 1024 < size).sort((a, b) => b.size - a.size)[0];
    for (const outcome of waiting) {
      if (outcome === largest) outcome.fail(failure('too_large', 'the server takes no message as large as this'));
      else outcome.lost();
    }
    for (const room of this.#rooms.values()) room._lost();
  }

  /** For good. @param {number} code @param {string} reason */
  #end(code, reason) {
    this.#drop();
    this.state = 'closed';
    this.retryAt = null;
    globalThis.removeEventListener?.('online', this.#wake);
    globalThis.removeEventListener?.('pageshow', this.#wake);
    globalThis.document?.removeEventListener('visibilitychange', this.#wake);
    this.#unanswered(code);
    const error = failure('closed', reason ? `the line is closed: ${reason}` : 'the line is closed');
    for (const room of this.#rooms.values()) room._end(error);
    this.#directs.end(error);
    this.emit('close', { code, reason });
    this.emit('state', this.state);
  }

  /** @param {State} state */
  #enter(state) {
    if (state !== 'waiting') this.retryAt = null;
    if (state === this.state) return;
    this.state = state;
    this.emit('state', state);
  }

  /** @param {number} ms @param {() => void} then */
  #in(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  // ---- is it still there?

  /** Looks at the clock again and again: a sleep of the machine shows there only. */
  #watch() {
    const { pingAfter } = this.#options;
    const tick = Math.min(TICK, pingAfter / 4);
    const from = Date.now();
    this.#in(tick, () => {
      const now = Date.now();
      // The clock was set back.
      if (now < this.#heardAt) this.#heardAt = now;
      if (pingAfter <= now - this.#heardAt || tick + SLEPT <= now - from) this.#probe();
      else this.#watch();
    });
  }

  #probe() {
    this.#isQuiet = true;
    const { pongWithin } = this.#options;
    const from = Date.now();
    this.#in(pongWithin, () => {
      if (!this.#isQuiet) this.#watch();
      // Slept meanwhile: the answer may be there, and not yet read.
      else if (pongWithin + SLEPT <= Date.now() - from) this.#probe();
      else {
        // In the package `ws` only: the others wait for the server, or until TCP gives up.
        this.#socket?.terminate?.();
        this.#lost(1006, 'the server does not answer any more');
      }
    });
    if (this.#isReady()) this._ask('ping', '', { reply() {}, fail() {}, lost() {} });
  }

  /** The network is back, or somebody looks at the page again. */
  #awake() {
    if (this.state === 'waiting') this.#notBefore <= Date.now() && this.#open();
    else if (this.state === 'open' && !this.#isQuiet) this.#probe();
  }

  // ---- what comes

  /** @param {any} text */
  #receive(text) {
    this.#heardAt = Date.now();
    this.#isQuiet = false;
    if (typeof text !== 'string') return;
    this.emit('frame', { out: false, text });
    let m;
    try {
      m = Object(JSON.parse(text));
    } catch {
      return this.emit('error', failure('bad_json', 'what the server has sent is no JSON'));
    }
    const outcome = this.#waiting.get(m.id);
    if (outcome) {
      this.#waiting.delete(m.id);
      if (m.type === 'error') outcome.fail(told(m));
      else {
        this.#fine();
        outcome.reply(m);
      }
      this._pump();
    } else if (m.type === 'welcome') this.#welcome(m);
    else if (m.type === 'going_away') {
      this.#hint = Math.min(Math.max(0, Number(m.reconnect_after) || 0), LONGEST_HINT);
      this.emit('going_away', m);
    } else if (m.type === 'kicked') this.#kicked(m);
    else if (m.type === 'direct' || m.type === 'broadcast') this.emit(m.type, m);
    else if (m.type === 'error') this.emit('error', told(m));
    else this.#rooms.get(m.room)?._receive(m);
  }

  /** @param {any} m */
  #welcome(m) {
    ({ user: this.user, connection: this.connection, node: this.node, limits: this.limits = {} } = m);
    this.#openedAt = Date.now();
    this.#turnAt = this.#slowUntil = this.#interval = this.#pauses = 0;
    this.#window = Math.max(WINDOW, this.#options.inFlight);
    this.#watch();
    const current = this.#current;
    this.emit('welcome', m);
    if (current !== this.#current) return;
    this.#enter('open');
    this._pump();
  }

  /** @param {any} m */
  #kicked(m) {
    if (m.room === undefined) this.#isKicked = true;
    else this.#rooms.get(m.room)?._out();
    this.emit('kicked', m);
  }

  // ---- what goes; for rooms and queues

  #isReady() {
    return this.state === 'open' && this.#socket?.readyState === 1;
  }

  /** Sends a request. @internal @param {string} type @param {string} fields JSON @param {Outcome} outcome */
  _ask(type, fields, outcome) {
    const id = ++this.#lastId;
    const text = `{"type":"${type}","id":${id}${fields && ','}${fields}}`;
    this.#waiting.set(id, { ...outcome, size: text.length });
    this.#socket.send(text);
    this.emit('frame', { out: true, text });
  }

  /** Whether a request may be sent now; it is to be sent then. @internal */
  _turn() {
    // The next answer pumps.
    if (!this.#isReady() || this.#window <= this.#waiting.size) return false;
    const now = Date.now();
    if (this.#turnAt <= now) {
      this.#turnAt = now + this.#interval;
      return true;
    }
    this.#turnTimer ??= setTimeout(() => {
      this.#turnTimer = undefined;
      this._pump();
    }, this.#turnAt - now);
    return false;
  }

  /** Whether this error means later rather than no; then later it is. @internal @param {Failure} error */
  _slowed(error) {
    if (!TRANSIENT.includes(error.code)) return false;
    if (Date.now() < this.#slowUntil) return true;
    if (error.code === 'rate_limited') {
      // How long to wait is told as well how often it may be asked.
      const told = /\bwait (\d+) ms\b/.exec(error.message);
      this.#interval = told ? Math.max(1.1 * Number(told[1]), 1.2 * this.#interval) : Math.max(100, 2 * this.#interval);
      this.#interval = Math.min(this.#interval, LONGEST_PAUSE);
      this.#turnAt = Date.now() + this.#interval;
    } else this._pause();
    this.#slowUntil = this.#turnAt;
    return true;
  }

  /** No request for some time, longer each time in a row. @internal */
  _pause() {
    const wait = FIRST_DELAY / 4 + jitter(this.#pauses++, Math.min(LONGEST_PAUSE, this.#options.maxDelay));
    this.#turnAt = Date.now() + wait;
  }

  /** A request was carried out. */
  #fine() {
    this.#pauses = 0;
    // What more the server takes is found out in small steps: after a burst of refusals it would close.
    this.#window = Math.max(this.#window, Math.min(WINDOW_MAX, this.#window + 1 / 8));
  }

  /** Sends what waits, one room after another; with few turns a different one is first each time. @internal */
  _pump() {
    const rooms = [...this.#rooms.values()];
    const first = Math.floor(Math.random() * rooms.length);
    for (const room of [...rooms.slice(first), ...rooms.slice(0, first)]) room._pump();
    this.#directs.pump();
  }

  /** Whether the server takes a message with these fields. @internal @param {string} fields */
  _fits(fields) {
    const most = (this.limits.message ?? Infinity) - 64; // for `type` and `id`
    return fields.length * 3 <= most || utf8.encode(fields).length <= most;
  }

  /** @internal @param {number} size */
  _reserve(size) {
    if (this.state === 'closed') throw failure('closed', 'the line is closed');
    const { maxPending, maxPendingSize } = this.#options;
    if (maxPending <= this.#pending || maxPendingSize < this.#pendingSize + size) {
      throw failure('full', `${this.#pending} requests wait for the server already: wait for their answers`);
    }
    this.#pendingSize += size;
    this.emit('pending', ++this.#pending);
  }

  /** @internal @param {number} size */
  _release(size) {
    this.#pendingSize -= size;
    this.emit('pending', --this.#pending);
  }
}

/** @extends {Emitter<RoomEvents>} */
export class Room extends Emitter {
  /** @type {'joining' | 'joined' | 'left'} */
  state = 'left';
  /** Users, and how many connections each had when we joined; at least 1 for who came later. @type {Map<string, number>} */
  members = new Map();
  /** How many users are in it. Of very many, `members` has as many as the server's answer holds, and who came since. */
  users = 0;
  /** @type {string | null} */
  epoch = null;
  /** Of the newest message that was emitted or, at the first join, skipped. @type {number | null} */
  offset = null;

  #line;
  #history;
  #queue;
  #isAsked = false;
  #isRefreshing = false;
  /** How many users the server's answer held, if that was not all. @type {number | null} */
  #listed = null;
  #holes = 0;
  /** Whether the program wants to be in it; it may take a while until it is so. */
  #isWanted = false;
  #isLeaveAsked = false;
  /** @type {{promise: Promise<void>, resolve: () => void} | null} */
  #leaving = null;

  /** Made by `line.room(name)`. @param {Line} line @param {string} name @param {number} history @param {() => number} window */
  constructor(line, name, history, window) {
    super();
    this.#line = line;
    this.name = name;
    this.#history = history;
    this.#queue = new Queue(line, () => this.state !== 'joining' && line._turn(), window);
  }

  /**
   * Says something to the room. It is kept until the server has acknowledged it, and is there once, in the order of
   * the calls. `data` is taken as it is now. Rejects with `full` when too much is waiting already.
   *
   * @param {any} data whatever JSON can say
   * @param {{key?: string}} [options] `key`: 1 to 64 bytes that name this message in this room; default: random
   * @returns {Promise<Since>} where it is
   */
  async publish(data, { key = randomKey() } = {}) {
    const m = await this.#queue.add('publish', `${this.#field()},"key":${JSON.stringify(key)},"data":${json(data)}`, true);
    return { epoch: m.epoch, offset: m.offset };
  }

  /**
   * Messages from before: those right before the offset `before`, those right after `after`, or the newest.
   *
   * @param {{before?: number, after?: number, limit?: number}} [which]
   * @returns {Promise<{messages: Message[], more: boolean}>} ascending; `more`: there are further ones in that direction
   */
  async history({ before, after, limit } = {}) {
    const which = JSON.stringify({ before, after, limit }).slice(1, -1);
    const m = await this.#queue.add('history', `${this.#field()}${which && ','}${which}`, true);
    return { messages: m.messages.map((/** @type {any} */ message) => messageOf(message, m.epoch)), more: m.more };
  }

  /**
   * Emits no message any more, sends what was published before, and leaves. A lost connection leaves the room as well;
   * what was published is then sent after the next connect. `line.room(name)` joins again.
   *
   * @returns {Promise<void>}
   */
  leave() {
    this.#isWanted = false;
    if (this.state === 'left') return Promise.resolve();
    if (!this.#leaving) {
      let resolve = () => {};
      const promise = new Promise((/** @type {(value: void) => void} */ done) => (resolve = done));
      this.#leaving = { promise, resolve };
    }
    const { promise } = this.#leaving;
    if (this.#line.state === 'open') this._pump();
    else this.#left();
    return promise;
  }

  #field() {
    return `"room":${JSON.stringify(this.name)}`;
  }

  /** To be joined, again if it was left. @internal */
  _want() {
    this.#isWanted = true;
    if (!this.#isLeaveAsked) this.#endLeaving();
    if (this.state === 'left') this.state = 'joining';
    this._pump();
  }

  /** Sends what may be sent now. @internal */
  _pump() {
    if (this.state === 'joining' && !this.#isAsked) this.#join();
    this.#queue.pump();
    if (this.state === 'joined' && !this.#isWanted && !this.#isLeaveAsked && this.#queue.isEmpty) this.#leave();
  }

  #join() {
    if (!this.#line._turn()) return;
    this.#isAsked = true;
    const since = this.epoch === null ? null : { epoch: this.epoch, offset: this.offset ?? 0 };
    const from = since ? `,"since":${JSON.stringify(since)}` : this.#history ? `,"history":${this.#history}` : '';
    this.#line._ask('join', this.#field() + from, {
      reply: (m) => {
        this.#isAsked = false;
        this.#joined(m, since);
      },
      fail: (error) => {
        this.#isAsked = false;
        if (this.#line._slowed(error)) return;
        this._out();
        this.emit('error', error);
      },
      lost: () => (this.#isAsked = false),
    });
  }

  #leave() {
    if (!this.#line._turn()) return;
    this.#isLeaveAsked = true;
    this.#line._ask('leave', this.#field(), {
      reply: () => this.#left(),
      fail: (error) => {
        this.#isLeaveAsked = false;
        if (!this.#line._slowed(error)) this.#left();
      },
      lost() {},
    });
  }

  /** No member any more; on the way back if that is wanted. */
  #left() {
    this.state = this.#isWanted ? 'joining' : 'left';
    this.members = new Map();
    this.users = 0;
    this.#endLeaving();
    this._pump();
  }

  #endLeaving() {
    this.#isLeaveAsked = false;
    this.#leaving?.resolve();
    this.#leaving = null;
  }

  /** The connection is lost. @internal */
  _lost() {
    this.#isAsked = this.#isRefreshing = false;
    this.#holes = 0;
    if (!this.#isWanted) this.#left();
    else {
      this.#endLeaving();
      this.state = 'joining';
    }
  }

  /** Out of it, and not to come back by itself. @internal */
  _out() {
    this.#isWanted = false;
    this.#left();
  }

  /** @internal @param {Failure} error */
  _end(error) {
    this._out();
    this.#queue.end(error);
  }

  /** @internal @param {any} m */
  _receive(m) {
    if (this.state === 'left' || !this.#isWanted) return;
    if (m.type === 'message') this.#message(m);
    else if (m.type === 'gap') this.#rejoin();
    else if (m.type === 'presence') this.#presence(m);
  }

  /** @param {any} m @param {Since | null} since */
  #joined(m, since) {
    this.state = 'joined';
    if (!this.#isWanted) return;
    this.#setMembers(m);
    const isKnown = since !== null && m.epoch === since.epoch;
    const next = m.messages.length ? m.messages[0].offset : m.offset + 1;
    const isWhole = isKnown && m.recovered && next === since.offset + 1 && m.messages.length === m.offset - since.offset;
    this.epoch = m.epoch;
    if (!isKnown) this.offset = next - 1;
    if (since && !isWhole) {
      const missed = isKnown ? Math.max(0, next - since.offset - 1) : null;
      this.emit('gap', { since, epoch: m.epoch, offset: m.offset, missed });
    }
    for (const message of m.messages) {
      // A listener may have left, or closed the line.
      if (this.state !== 'joined' || !this.#isWanted) return;
      if (message.offset <= (this.offset ?? 0)) continue;
      this.offset = message.offset;
      this.emit('message', messageOf(message, m.epoch));
    }
    if (this.state !== 'joined' || !this.#isWanted) return;
    this.offset = m.offset;
    this.emit('joined', { recovered: m.recovered, epoch: m.epoch, offset: m.offset, members: this.members, users: this.users });
  }

  /** @param {any} m */
  #message(m) {
    // The answer to the join has this message too, or it comes again after that.
    if (this.state !== 'joined') return;
    const offset = this.offset ?? 0;
    if (m.epoch === this.epoch && m.offset <= offset) return;
    if (m.epoch !== this.epoch || m.offset !== offset + 1) return this.#rejoin();
    this.offset = m.offset;
    this.#holes = 0;
    this.emit('message', messageOf(m, m.epoch));
  }

  /** Something may be missing: the server is asked for all since the last. */
  #rejoin() {
    if (this.state !== 'joined') return;
    this.state = 'joining';
    if (0 < this.#holes++) this.#line._pause();
    this._pump();
  }

  /** @param {any} m */
  #presence(m) {
    if (m.change === 'leave') this.members.delete(m.user);
    else this.members.set(m.user, Math.max(1, this.members.get(m.user) ?? 0));
    this.users = m.users;
    const isSo = this.#listed === null ? m.users === this.members.size : Math.max(this.#listed + 1, this.members.size) <= m.users;
    if (!isSo) this.#refresh();
    this.emit('presence', m);
    this.emit('members', this.members);
  }

  /** The server counts others than we do: one change must have passed us by. Or so many have gone that all fit an answer. */
  #refresh() {
    if (this.#isRefreshing || this.state !== 'joined' || !this.#line._turn()) return;
    this.#isRefreshing = true;
    const done = () => (this.#isRefreshing = false);
    const reply = (/** @type {any} */ m) => {
      done();
      if (this.state !== 'left' && this.#isWanted) this.#setMembers(m);
    };
    this.#line._ask('members', this.#field(), { reply, fail: done, lost: done });
  }

  /** @param {{members: {user: string, connections: number}[], users?: number}} m */
  #setMembers({ members, users = members.length }) {
    this.members = new Map(members.map(({ user, connections }) => [user, connections]));
    this.users = users;
    this.#listed = members.length < users ? members.length : null;
    this.emit('members', this.members);
  }
}

/** @param {any} m @param {string} epoch @returns {Message} */
const messageOf = ({ offset, from, data, time }, epoch) => ({ offset, from, data, time, epoch });

/** @param {any} data */
function json(data) {
  const text = JSON.stringify(data);
  if (text === undefined) throw new TypeError('this cannot be said in JSON: send null, a string, a number, a list or an object');
  return text;
}
