// The client of browsers, src/web/client.js, and a server that plays a part: `client_scripted.mjs SCENE`. What the real one does
// too rarely or too slowly. The server is Node's `ws`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { load, WebSocket, ws } from './client_load.mjs';

setTimeout(() => { throw new Error('took longer than a minute'); }, 60_000).unref();

const { connect } = await load(await readFile(new URL('../../src/web/client.js', import.meta.url), 'utf8'));

/** A queue that can be waited for. */
class Inbox {
  #items = [];
  #wake = () => {};

  put(item) {
    this.#items.push(item);
    this.#wake();
  }

  /** The next that fits; others stay. */
  async take(fits = () => true) {
    for (;;) {
      const at = this.#items.findIndex(fits);
      if (at >= 0) return this.#items.splice(at, 1)[0];
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }

  get size() {
    return this.#items.length;
  }
}

const stages = [];
const lines = [];

/** A server that waits for its words. */
async function stage() {
  const server = new ws.WebSocketServer({ port: 0, host: '127.0.0.1' });
  stages.push(server);
  await once(server, 'listening');
  const peers = new Inbox();
  server.on('connection', (socket, request) => {
    const asked = new Inbox();
    const say = (m) => socket.send(JSON.stringify(m));
    socket.on('message', (data) => {
      const m = JSON.parse(data);
      if (m.type === 'ping') say({ type: 'pong', id: m.id, time: 0 });
      asked.put(m);
    });
    peers.put({
      url: request.url,
      socket,
      asked,
      say,
      /** The next request of that type. */
      next: (type) => asked.take((m) => m.type === type),
      welcome: (limits = { message: 100_000, history: 100 }) =>
        say({ type: 'welcome', connection: '1', user: 'ann', node: 'n', version: 1, limits }),
      joined: ({ id, room }, { epoch = 'e', offset = 0, recovered = false, messages = [], members = [{ user: 'ann', connections: 1 }] } = {}) =>
        say({ type: 'joined', id, room, epoch, offset, recovered, messages, members }),
      published: ({ id, room }, offset, epoch = 'e') => say({ type: 'published', id, room, epoch, offset }),
      message: (offset, epoch = 'e', room = 'tea') =>
        say({ type: 'message', room, epoch, offset, from: 'bob', data: `${epoch}${offset}`, time: 1 }),
      refuse: ({ id }, code) => say({ type: 'error', id, code, message: `${code} is the answer` }),
    });
  });
  const url = `ws://127.0.0.1:${server.address().port}/ws`;
  return {
    url,
    open: (options) => {
      const line = connect(url, { WebSocket, user: 'ann', maxDelay: 50, ...options });
      lines.push(line);
      return line;
    },
    /** The next connection. */
    nextPeer: () => peers.take(),
    peers,
  };
}

const next = (emitter, name) => new Promise((resolve) => {
  const off = emitter.on(name, (value) => { off(); resolve(value); });
});

const until = async (line, state) => {
  while (line.state !== state) await next(line, 'state');
};

/** All events of a room, by name and what is telling. */
function record(room) {
  const events = [];
  room.on('message', (m) => events.push(m.data));
  room.on('gap', ({ since, epoch, offset, missed }) => events.push(['gap', `${since.epoch}${since.offset}`, `${epoch}${offset}`, missed]));
  room.on('joined', ({ recovered }) => events.push(['joined', recovered]));
  room.on('error', ({ code }) => events.push(['error', code]));
  return events;
}

const elements = (epoch, from, to) =>
  Array.from({ length: to - from + 1 }, (_, n) => ({ offset: from + n, from: 'bob', data: `${epoch}${from + n}`, time: 1 }));

/** A line whose room has been joined, with the offset 5 as its newest. */
async function inTea(options) {
  const at = await stage();
  const line = at.open(options);
  const room = line.room('tea');
  const events = record(room);
  const peer = await at.nextPeer();
  peer.welcome();
  peer.joined(await peer.next('join'), { offset: 5 });
  await next(room, 'joined');
  events.length = 0;
  return { ...at, line, room, events, peer };
}

const scenes = {
  async refused_for_now_is_asked_again() {
    const at = await stage();
    const line = at.open();
    const room = line.room('tea');
    const events = record(room);
    const sent = ['a', 'b'].map((data) => room.publish(data));
    const peer = await at.nextPeer();
    peer.welcome();
    for (const code of ['unavailable', 'rate_limited', 'unavailable']) peer.refuse(await peer.next('join'), code);
    assert.equal(peer.asked.size, 0);
    assert.equal(room.state, 'joining');
    peer.joined(await peer.next('join'));
    let last;
    for (const code of ['unavailable', 'rate_limited']) {
      last = await peer.next('publish');
      peer.refuse(last, code);
    }
    const again = await peer.next('publish');
    assert.deepEqual([again.key, again.data], [last.key, 'a']);
    assert.ok(/^[0-9a-f]{32}$/.test(again.key) && again.id !== last.id);
    // The next waits until it is there.
    assert.equal(peer.asked.size, 0);
    peer.published(again, 1);
    const b = await peer.next('publish');
    assert.notEqual(b.key, again.key);
    peer.refuse(b, 'forbidden');
    assert.deepEqual(await sent[0], { epoch: 'e', offset: 1 });
    await assert.rejects(sent[1], { code: 'forbidden', message: 'forbidden is the answer' });
    assert.deepEqual([events, line.pending], [[['joined', false]], 0]);
  },

  async refused_for_good_is_told() {
    const at = await stage();
    const line = at.open();
    const room = line.room('tea');
    const events = record(room);
    const sent = room.publish('not as a member');
    const peer = await at.nextPeer();
    peer.welcome();
    const join = await peer.next('join');
    assert.equal(peer.asked.size, 0);
    peer.refuse(join, 'forbidden');
    // Whether who is no member may publish is for the server to say.
    peer.published(await peer.next('publish'), 7);
    assert.equal((await sent).offset, 7);
    assert.deepEqual([events, room.state], [[['error', 'forbidden']], 'left']);
    // Nor is it joined after a reconnect; but when it is asked for.
    peer.socket.terminate();
    const second = await at.nextPeer();
    second.welcome();
    await until(line, 'open');
    await line.ping();
    await second.next('ping');
    assert.equal(second.asked.size, 0);
    assert.equal(line.room('tea'), room);
    await second.next('join');
    // An error that answers nothing.
    const error = next(line, 'error');
    second.refuse({}, 'bad_json');
    assert.equal((await error).code, 'bad_json');
  },

  async no_message_is_emitted_twice_or_out_of_order() {
    const { room, events, peer } = await inTea();
    for (const offset of [6, 6, 5, 7, 1, 7]) peer.message(offset);
    // One is missing, and said once more in the answer.
    peer.message(9);
    const join = await peer.next('join');
    assert.deepEqual([join.since, join.history], [{ epoch: 'e', offset: 7 }, undefined]);
    peer.message(10);
    peer.joined(join, { offset: 10, recovered: true, messages: elements('e', 8, 10) });
    peer.message(11);
    await next(room, 'joined');
    peer.message(12);
    while (room.offset < 12) await next(room, 'message');
    assert.deepEqual(events, ['e6', 'e7', 'e8', 'e9', 'e10', ['joined', true], 'e11', 'e12']);
    assert.equal(peer.asked.size, 0);
  },

  async a_gap_is_told_when_it_cannot_be_filled() {
    const { room, events, peer } = await inTea();
    const rejoin = async (cause, answer) => {
      cause();
      const join = await peer.next('join');
      peer.joined(join, answer);
      await next(room, 'joined');
      return join.since;
    };
    const gap = (epoch, offset) => () => peer.say({ type: 'gap', room: 'tea', epoch, offset });
    // The server's word alone is none: it may be filled.
    assert.deepEqual(await rejoin(gap('e', 7), { offset: 7, recovered: true, messages: elements('e', 6, 7) }), { epoch: 'e', offset: 5 });
    assert.deepEqual(events.splice(0), ['e6', 'e7', ['joined', true]]);
    // Not recovered: what there is comes after the gap; what was emitted does not come again.
    await rejoin(gap('e', 20), { offset: 20, messages: elements('e', 19, 20) });
    assert.deepEqual(events.splice(0), [['gap', 'e7', 'e20', 11], 'e19', 'e20', ['joined', false]]);
    await rejoin(gap('e', 21), { offset: 21, messages: elements('e', 18, 21) });
    assert.deepEqual(events.splice(0), [['gap', 'e20', 'e21', 0], 'e21', ['joined', false]]);
    // A part that claims to be whole.
    await rejoin(gap('e', 25), { offset: 25, recovered: true, messages: elements('e', 24, 25) });
    assert.deepEqual(events.splice(0), [['gap', 'e21', 'e25', 2], 'e24', 'e25', ['joined', true]]);
    // A new epoch, by a message or by the server's word.
    assert.deepEqual(await rejoin(() => peer.message(3, 'f'), { epoch: 'f', offset: 3, messages: elements('f', 1, 3) }), { epoch: 'e', offset: 25 });
    assert.deepEqual(events.splice(0), [['gap', 'e25', 'f3', null], 'f1', 'f2', 'f3', ['joined', false]]);
    await rejoin(gap('g', 0), { epoch: 'g', offset: 0 });
    assert.deepEqual(events.splice(0), [['gap', 'f3', 'g0', null], ['joined', false]]);
    peer.message(1, 'g');
    await next(room, 'message');
    assert.deepEqual([room.epoch, room.offset], ['g', 1]);
  },

  async the_last_offset_is_told_after_a_reconnect() {
    const at = await stage();
    const line = at.open();
    const room = line.room('tea', { history: 3 });
    const events = record(room);
    const first = await at.nextPeer();
    first.welcome();
    assert.equal((await first.next('join')).history, 3);
    // The answer never comes: it asks for the history again.
    first.socket.terminate();
    const second = await at.nextPeer();
    second.welcome();
    const join = await second.next('join');
    assert.deepEqual([join.history, join.since], [3, undefined]);
    second.joined(join, { offset: 9, messages: elements('e', 7, 9) });
    second.message(10);
    while (room.offset !== 10) await next(room, 'message');
    second.socket.terminate();
    const third = await at.nextPeer();
    third.welcome();
    const rejoin = await third.next('join');
    assert.deepEqual([rejoin.history, rejoin.since], [undefined, { epoch: 'e', offset: 10 }]);
    third.joined(rejoin, { offset: 11, recovered: true, messages: elements('e', 11, 11) });
    await next(room, 'joined');
    assert.deepEqual(events, ['e7', 'e8', 'e9', ['joined', false], 'e10', 'e11', ['joined', true]]);
    assert.equal(third.url, '/ws?user=ann');
  },

  async a_publish_without_an_answer_is_sent_again_after_the_join() {
    const { line, room, peer, ...at } = await inTea();
    const sent = ['a', 'b', 'c'].map((data) => room.publish(data));
    const a = await peer.next('publish');
    peer.published(a, 6);
    const b = await peer.next('publish');
    assert.equal(line.pending, 2);
    peer.socket.terminate();
    await until(line, 'waiting');
    assert.equal(room.state, 'joining');
    sent.push(room.publish('d', { key: 'mine' }));
    const second = await at.nextPeer();
    second.welcome();
    const join = await second.next('join');
    assert.equal(second.asked.size, 0);
    second.joined(join, { offset: 7, recovered: true, messages: elements('e', 6, 7) });
    const again = await second.next('publish');
    assert.deepEqual([again.data, again.key], ['b', b.key]);
    second.published(again, 7);
    const c = await second.next('publish');
    second.published(c, 8);
    const d = await second.next('publish');
    assert.deepEqual([c.data, d.data, d.key], ['c', 'd', 'mine']);
    second.published(d, 9);
    assert.deepEqual((await Promise.all(sent)).map(({ offset }) => offset), [6, 7, 8, 9]);
  },

  async several_are_on_their_way_only_if_asked_for() {
    for (const [inFlight, expected] of [[undefined, 1], [4, 4], [1000, 50]]) {
      const { line, room, peer } = await inTea({ inFlight });
      const sent = Array.from({ length: 60 }, (_, n) => room.publish(n));
      // The ping is behind all that may be sent.
      await line.ping();
      await peer.next('ping');
      assert.equal(peer.asked.size, expected);
      for (let n = 0; n < 60; n++) {
        const publish = await peer.next('publish');
        assert.equal(publish.data, n);
        peer.published(publish, 6 + n);
      }
      await Promise.all(sent);
    }
  },

  async a_direct_message_is_never_sent_twice() {
    const { line, peer, ...at } = await inTea();
    const lost = line.direct('bob', 1);
    await peer.next('direct');
    peer.socket.terminate();
    await assert.rejects(lost, { code: 'unknown' });
    await until(line, 'waiting');
    // This one was surely not sent.
    const kept = line.direct('bob', 2);
    const second = await at.nextPeer();
    second.welcome();
    const direct = await second.next('direct');
    assert.equal(direct.data, 2);
    second.say({ type: 'sent', id: direct.id, to: 'bob', connections: 3 });
    assert.deepEqual(await kept, { connections: 3 });
    const refused = line.direct('bob', 3);
    second.refuse(await second.next('direct'), 'unavailable');
    await assert.rejects(refused, { code: 'unavailable' });
  },

  async who_is_kicked_stays_away() {
    const { line, room, peer, ...at } = await inTea({ token: () => 'good' });
    const other = line.room('other');
    peer.joined(await peer.next('join'));
    await next(other, 'joined');
    // From a room only.
    const kicked = next(line, 'kicked');
    peer.say({ type: 'kicked', room: 'other', reason: 'spam' });
    assert.equal((await kicked).reason, 'spam');
    assert.deepEqual([other.state, room.state, line.state], ['left', 'joined', 'open']);
    const sent = room.publish('never');
    const closed = next(line, 'close');
    peer.say({ type: 'kicked', reason: 'more spam' });
    peer.socket.close(1008, 'more spam');
    assert.deepEqual(await closed, { code: 1008, reason: 'more spam' });
    await assert.rejects(sent, { code: 'closed', message: 'the line is closed: more spam' });
    assert.deepEqual([line.state, room.state, at.peers.size], ['closed', 'left', 0]);
    await assert.rejects(line.room('tea').publish(1), { code: 'closed' });
  },

  async more_than_it_keeps_is_refused() {
    const at = await stage();
    const line = at.open({ maxPending: 3 });
    const room = line.room('tea');
    const counts = [];
    line.on('pending', (count) => counts.push(count));
    const sent = [1, 2, 3].map((n) => room.publish(n));
    await assert.rejects(room.publish(4), { code: 'full' });
    await assert.rejects(line.direct('bob', 4), { code: 'full' });
    const peer = await at.nextPeer();
    peer.welcome();
    peer.joined(await peer.next('join'));
    for (let n = 1; n <= 3; n++) peer.published(await peer.next('publish'), n);
    assert.deepEqual((await Promise.all(sent)).map(({ offset }) => offset), [1, 2, 3]);
    assert.deepEqual([counts, line.pending], [[1, 2, 3, 2, 1, 0], 0]);
    // There is room again.
    const fourth = room.publish(4);
    peer.published(await peer.next('publish'), 4);
    await fourth;

    const small = at.open({ maxPendingSize: 200 });
    const kept = small.room('tea').publish('x');
    await assert.rejects(small.room('tea').publish('x'.repeat(200)), { code: 'full' });
    small.close();
    await assert.rejects(kept, { code: 'closed' });
  },

  async a_message_that_ends_the_connection_is_not_sent_again() {
    const { room, peer, ...at } = await inTea({ inFlight: 4 });
    const sent = ['a', 'b'.repeat(2000), 'c'].map((data) => room.publish(data));
    for (let n = 0; n < 3; n++) await peer.next('publish');
    peer.socket.close(1009, 'too large for the proxy');
    await assert.rejects(sent[1], { code: 'too_large' });
    const second = await at.nextPeer();
    second.welcome();
    second.joined(await second.next('join'), { offset: 5, recovered: true });
    for (const [offset, data] of [[6, 'a'], [7, 'c']]) {
      const publish = await second.next('publish');
      assert.equal(publish.data, data);
      second.published(publish, offset);
    }
    assert.deepEqual([(await sent[0]).offset, (await sent[2]).offset], [6, 7]);
  },

  async the_wait_doubles_at_random_and_begins_anew() {
    const at = await stage();
    const { random } = Math;
    const { now } = Date;
    const line = at.open({ maxDelay: 10_000 });
    // The end of one connection; the wait before the next, which is not waited for.
    const lost = async (end) => {
      const peer = await at.nextPeer();
      end(peer);
      await until(line, 'waiting');
      const wait = line.retryAt - Date.now();
      line.reconnect();
      assert.deepEqual([line.state, line.retryAt], ['connecting', null]);
      return wait;
    };
    const refuse = (peer) => peer.socket.close(1013);
    const near = (wait, expected) => assert.ok(Math.abs(wait - expected) < 800, `${wait} ms, not ${expected}`);
    Math.random = () => 0.9999;
    for (const bound of [1000, 2000, 4000, 8000, 10_000, 10_000]) near(await lost(refuse), bound);
    Math.random = () => 0.5;
    near(await lost(refuse), 5000);
    Math.random = () => 0;
    near(await lost(refuse), 0);
    Math.random = random;
    const waits = [];
    for (let n = 0; n < 10; n++) waits.push(await lost(refuse));
    assert.ok(waits.some((wait) => 500 < Math.abs(wait - waits[0])), `${waits}`);
    // What the server says, and a little more; once.
    Math.random = () => 0.5;
    const going = (peer) => {
      peer.welcome();
      peer.say({ type: 'going_away', reconnect_after: 20_000 });
      peer.socket.close(1001);
    };
    near(await lost(going), 21_000);
    near(await lost(refuse), 5000);
    // Not stable yet; then it is.
    const after = (ms) => async (peer) => {
      peer.welcome();
      await until(line, 'open');
      Date.now = () => now() + ms;
      peer.socket.close(1013);
      await next(line, 'close');
    };
    const ended = async (ms) => {
      const peer = await at.nextPeer();
      await after(ms)(peer);
      Date.now = now;
      const wait = line.retryAt - ms - now();
      line.reconnect();
      return wait;
    };
    near(await ended(4000), 5000);
    near(await ended(6000), 500);
    near(await lost(refuse), 1000);
  },

  async the_network_is_back() {
    /** Knows who listens. */
    class Page extends EventTarget {
      visibilityState = 'hidden';
      listeners = [];

      addEventListener(name, listener) {
        this.listeners.push(name);
        super.addEventListener(name, listener);
      }

      removeEventListener(name, listener) {
        this.listeners.splice(this.listeners.indexOf(name), 1);
        super.removeEventListener(name, listener);
      }
    }
    const page = new Page();
    globalThis.addEventListener = page.addEventListener.bind(page);
    globalThis.removeEventListener = page.removeEventListener.bind(page);
    globalThis.document = new Page();
    Math.random = () => 0.9999;
    const { line, peer, ...at } = await inTea({ maxDelay: 30_000 });
    const hide = () => document.dispatchEvent(new Event('visibilitychange'));
    const online = () => page.dispatchEvent(new Event('online'));
    // Still there? It is asked.
    online();
    await peer.next('ping');
    peer.socket.terminate();
    await until(line, 'waiting');
    hide();
    assert.equal(line.state, 'waiting');
    online();
    assert.equal(line.state, 'connecting');
    const second = await at.nextPeer();
    second.socket.terminate();
    await until(line, 'waiting');
    document.visibilityState = 'visible';
    hide();
    assert.equal(line.state, 'connecting');
    // But not before the server wants.
    const third = await at.nextPeer();
    third.welcome();
    third.say({ type: 'going_away', reconnect_after: 20_000 });
    third.socket.close(1012);
    await until(line, 'waiting');
    online();
    assert.equal(line.state, 'waiting');
    assert.deepEqual([page.listeners, document.listeners], [['online', 'pageshow'], ['visibilitychange']]);
    line.close();
    assert.deepEqual([page.listeners, document.listeners], [[], []]);
  },

  async a_sleep_is_noticed() {
    const { line, peer } = await inTea({ pingAfter: 4000, pongWithin: 1000 });
    const { now } = Date;
    const from = now();
    Date.now = () => now() + 3_600_000;
    await peer.next('ping');
    assert.ok(now() - from < 3000);
    // Set back: neither asked all the time, nor never again.
    Date.now = () => now() - 3_600_000;
    await line.ping();
    await peer.next('ping');
    await peer.next('ping');
    assert.equal(line.state, 'open');
  },

  async a_server_without_a_welcome_is_none() {
    const at = await stage();
    const line = at.open({ connectTimeout: 300 });
    await at.nextPeer();
    assert.deepEqual(await next(line, 'close'), { code: 1006, reason: 'there was no answer in time' });
    (await at.nextPeer()).welcome();
    await until(line, 'open');
  },

  async a_failed_handshake_is_noticed_at_once() {
    const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    stages.push(server);
    await once(server, 'listening');
    const line = connect(`ws://127.0.0.1:${server.address().port}/`, { WebSocket, maxDelay: 10 });
    lines.push(line);
    for (let n = 0; n < 3; n++) {
      const { code, reason } = await next(line, 'close');
      assert.equal(code, 1006);
      assert.notEqual(reason, 'there was no answer in time');
    }
  },

  async a_lost_connection_leaves_what_is_being_left() {
    const { line, room, events, peer, ...at } = await inTea();
    // The acknowledgement is missing, so that leaving waits.
    const sent = room.publish('bye');
    const left = room.leave();
    const publish = await peer.next('publish');
    peer.message(6);
    peer.socket.terminate();
    await left;
    assert.deepEqual([room.state, events], ['left', []]);
    const second = await at.nextPeer();
    second.welcome();
    // Sent again all the same, without joining.
    const again = await second.next('publish');
    assert.deepEqual([again.key, second.asked.size], [publish.key, 0]);
    second.published(again, 6);
    await sent;
    // Wanted again while the server is being told to leave.
    line.room('tea');
    second.joined(await second.next('join'), { offset: 6, recovered: true, messages: elements('e', 6, 6) });
    await next(room, 'joined');
    const leaving = room.leave();
    const leave = await second.next('leave');
    line.room('tea');
    second.say({ type: 'left', id: leave.id, room: 'tea' });
    await leaving;
    await second.next('join');
    // Offline there is nobody to tell.
    second.socket.terminate();
    await until(line, 'waiting');
    await room.leave();
    assert.equal(room.state, 'left');
  },

  async members_are_counted() {
    const { room, peer } = await inTea();
    const presence = (user, change, users) => peer.say({ type: 'presence', room: 'tea', user, change, users, version: 1 });
    presence('bob', 'join', 2);
    assert.equal((await next(room, 'presence')).user, 'bob');
    assert.deepEqual([...room.members], [['ann', 1], ['bob', 1]]);
    presence('bob', 'leave', 1);
    assert.deepEqual([...await next(room, 'members')], [['ann', 1]]);
    assert.equal(peer.asked.size, 0);
    // Somebody's coming has passed us by.
    presence('dan', 'join', 3);
    const { id } = await peer.next('members');
    peer.say({ type: 'members', id, room: 'tea', members: ['ann', 'carl', 'dan'].map((user) => ({ user, connections: 2 })) });
    while (room.members.size !== 3) await next(room, 'members');
    assert.equal(room.members.get('carl'), 2);
  },

  async members_that_no_answer_holds_are_counted() {
    const { room, peer } = await inTea();
    const presence = async (user, change, users) => {
      peer.say({ type: 'presence', room: 'tea', user, change, users, version: 1 });
      while ((await next(room, 'presence')).user !== user);
    };
    const answer = async (users, all) => {
      const { id } = await peer.next('members');
      peer.say({ type: 'members', id, room: 'tea', users: all, members: users.map((user) => ({ user, connections: 1 })) });
      await next(room, 'members');
    };
    await presence('bob', 'join', 5);
    await answer(['ann', 'bob', 'carl'], 5);
    assert.deepEqual([room.users, room.members.size], [5, 3]);
    // That some are not listed is no reason to ask again, whoever comes or goes.
    await presence('dan', 'join', 6);
    await presence('unseen', 'leave', 5);
    await presence('unheard', 'leave', 4);
    assert.deepEqual([room.users, [...room.members.keys()]], [4, ['ann', 'bob', 'carl', 'dan']]);
    assert.equal(peer.asked.size, 0);
    // Now they fit.
    await presence('bob', 'leave', 3);
    await answer(['ann', 'carl', 'dan'], 3);
    await presence('eve', 'join', 4);
    assert.equal(peer.asked.size, 0);
    assert.deepEqual([room.users, room.members.size], [4, 4]);
  },

  async a_listener_that_throws_hinders_nobody() {
    const { room, peer } = await inTea();
    const thrown = once(process, 'uncaughtException');
    room.on('message', () => { throw new Error('a mistake'); });
    const message = next(room, 'message');
    peer.message(6);
    assert.equal((await message).offset, 6);
    assert.equal((await thrown)[0].message, 'a mistake');
  },

  async what_cannot_be_connected_to_is_told_at_once() {
    for (const url of ['/ws', 'ftp://host/', 'ws://', '']) {
      assert.throws(() => connect(url, { WebSocket }), Error, url);
    }
    const at = await stage();
    const line = connect(at.url.replace('ws:', 'http:') + '?user=bob&x=1#part', { WebSocket });
    lines.push(line);
    assert.equal((await at.nextPeer()).url, '/ws?user=bob&x=1');
  },
};

await scenes[process.argv[2]]();
// Nothing but the server keeps the program from ending.
lines.forEach((line) => line.close());
stages.forEach((server) => server.close());
const closedAt = performance.now();
process.on('exit', () => {
  const took = performance.now() - closedAt;
  if (5000 < took) throw new Error(`it ended ${took} ms after all was closed`);
});
