// The client of browsers, src/web/client.js as it is served, against the real program: `client.mjs SCENARIO URL [URL]`. The first
// URL is often a cable that the test cuts; what the test waits for is printed, line by line. Each scenario ends by itself.

import assert from 'node:assert/strict';
import { load, WebSocket } from './client_load.mjs';

const [scenario, url, direct = url] = process.argv.slice(2);
setTimeout(() => { throw new Error('took longer than a minute'); }, 60_000).unref();

const served = new URL(direct.replace(/^ws/, 'http'));
const response = await fetch(new URL('/client.js', served));
assert.equal(response.status, 200);
const { connect } = await load(await response.text());

/** Not so patient as by default: the test would take long. */
const open = (to, options = {}) => connect(to, { WebSocket, maxDelay: 50, ...options });

/** The next event of that name; its value. */
const next = (emitter, name) => new Promise((resolve) => {
  const off = emitter.on(name, (value) => { off(); resolve(value); });
});

const until = async (line, state) => {
  while (line.state !== state) await next(line, 'state');
};

/** The room, with everything that it ever emits. */
function follow(line, name, options) {
  const room = line.room(name, options);
  room.seen = [];
  room.gaps = [];
  room.on('message', (m) => room.seen.push(m));
  room.on('gap', (gap) => room.gaps.push(gap));
  room.on('error', (error) => { throw error; });
  return room;
}

const joined = (room) => room.state === 'joined' || next(room, 'joined');

async function seen(room, count) {
  while (room.seen.length < count) await next(room, 'message');
}

/** Offsets rise by one, whatever happened. */
function assertWhole(room) {
  room.seen.forEach((m, at) => assert.equal(m.offset, room.seen[0].offset + at));
}

const say = (...words) => console.log(...words);

const scenarios = {
  /** Everything once, without trouble. */
  async talk() {
    const line = open(url, { user: 'ann' });
    const states = [];
    line.on('state', (state) => states.push(state));
    const room = follow(line, 'tea & 茶');
    assert.equal(line.state, 'connecting');
    const welcome = await next(line, 'welcome');
    assert.deepEqual([line.user, line.node, line.limits.history], ['ann', welcome.node, 100]);
    await joined(room);
    assert.equal(line.room('tea & 茶'), room);
    assert.deepEqual([...room.members], [['ann', 1]]);

    // In order, however many at once; whatever JSON can say, as it was at the call.
    const changing = { n: 0 };
    const published = Array.from({ length: 50 }, () => { changing.n++; return room.publish(changing); });
    assert.equal(line.pending, 50);
    const results = await Promise.all(published);
    assert.equal(line.pending, 0);
    assert.deepEqual(results.map((result) => result.offset), Array.from({ length: 50 }, (_, n) => n + 1));
    await seen(room, 50);
    assert.deepEqual(room.seen.map((m) => [m.from, m.data.n, m.epoch]), results.map((r) => ['ann', r.offset, r.epoch]));
    assert.deepEqual([room.epoch, room.offset], [results[0].epoch, 50]);
    await assert.rejects(room.publish(undefined), TypeError);
    await assert.rejects(room.publish('x'.repeat(line.limits.message)), { code: 'too_large' });
    await assert.rejects(room.publish('é'.repeat(line.limits.message / 2)), { code: 'too_large' });
    await assert.rejects(room.publish(1, { key: '' }), { code: 'bad_request' });
    const [first, second] = await Promise.all([room.publish('a', { key: 'k' }), room.publish('b', { key: 'k' })]);
    assert.deepEqual(first, second);

    const { messages, more } = await room.history({ before: 4, limit: 2 });
    assert.deepEqual([messages.map((m) => m.offset), more], [[2, 3], true]);
    assert.deepEqual(messages[0], room.seen[1]);
    assert.equal((await room.history()).messages.length, 51);
    assert.ok(await line.ping() >= 0);

    // Somebody else, who came late.
    const other = open(url, { user: 'bob' });
    const joining = next(room, 'presence');
    const theirs = follow(other, room.name, { history: 5 });
    const { recovered, offset, members } = await next(theirs, 'joined');
    assert.deepEqual([recovered, offset, [...members].sort()], [false, 51, [['ann', 1], ['bob', 1]]]);
    assert.deepEqual(theirs.seen.map((m) => m.offset), [47, 48, 49, 50, 51]);
    assert.deepEqual([(await joining).change, [...room.members.keys()].sort()], ['join', ['ann', 'bob']]);
    const told = next(other, 'direct');
    assert.deepEqual(await line.direct('bob', ['psst']), { connections: 1 });
    assert.deepEqual((({ from, data }) => [from, data])(await told), ['ann', ['psst']]);
    await assert.rejects(line.direct('nobody', 1), { code: 'no_such_user' });

    // What was said before leaving is said.
    const leaving = next(theirs, 'presence');
    const bye = [room.publish('so'), room.publish('long')];
    await room.leave();
    await Promise.all(bye);
    assert.deepEqual([room.state, room.members.size], ['left', 0]);
    await seen(theirs, 7);
    assert.deepEqual([(await leaving).change, [...theirs.members.keys()]], ['leave', ['bob']]);
    await assert.rejects(room.history(), { code: 'not_member' });
    // Again: it goes on behind what was emitted.
    assert.equal(line.room(room.name), room);
    await joined(room);
    await seen(room, 53);
    assertWhole(room);
    assertWhole(theirs);
    // Left and wanted again in one go.
    const left = room.leave();
    line.room(room.name);
    await left;
    await joined(room);
    assert.deepEqual([room.gaps, theirs.gaps, states], [[], [], ['open']]);

    const lost = room.publish('too late');
    line.close();
    other.close();
    await assert.rejects(lost, { code: 'closed' });
    await assert.rejects(room.publish(1), { code: 'closed' });
    await assert.rejects(line.ping(), { code: 'offline' });
    assert.deepEqual([line.state, room.state, states.at(-1), line.pending], ['closed', 'left', 'closed', 0]);
  },

  /** Cut by the cable again and again while it publishes. */
  async cuts() {
    const line = open(url, { user: 'ann', inFlight: Number(process.argv[5] ?? 1) });
    const other = open(direct, { user: 'bob' });
    const [mine, theirs] = [follow(line, 'tea'), follow(other, 'tea')];
    await Promise.all([joined(mine), joined(theirs)]);
    let closes = 0;
    const asides = [];
    // What ann misses for certain.
    line.on('close', () => {
      closes++;
      if (line.state !== 'closed') asides.push(theirs.publish(`aside ${asides.length}`), theirs.publish(`aside ${asides.length}`));
    });
    const results = [];
    for (let n = 0; n < 300;) {
      const portion = Array.from({ length: 60 }, () => mine.publish({ n: n++ }));
      results.push(...await Promise.all(portion));
    }
    await Promise.all(asides);
    const all = 300 + asides.length;
    await Promise.all([seen(mine, all), seen(theirs, all)]);
    assert.deepEqual(mine.seen, theirs.seen);
    assert.deepEqual([mine.gaps, theirs.gaps], [[], []]);
    assertWhole(theirs);
    assert.equal(theirs.seen[0].offset, 1);
    const own = theirs.seen.filter((m) => m.from === 'ann');
    assert.deepEqual(own.map((m) => m.data.n), Array.from({ length: 300 }, (_, n) => n));
    assert.deepEqual(own.map((m) => m.offset), results.map((result) => result.offset));
    line.close();
    other.close();
    say('closes', closes - 1, 'asides', asides.length);
  },

  /** The server is killed; another comes in its place. */
  async killed() {
    // The name is the server's at first, and kept: keys are apart by user.
    const line = open(url);
    const room = follow(line, 'tea', { history: 10 });
    await joined(room);
    const { user } = line;
    await room.publish('before');
    await seen(room, 1);
    say('joined');
    await until(line, 'waiting');
    assert.ok(line.retryAt >= Date.now() - 1000 && line.retryAt < Date.now() + 1000);
    await assert.rejects(line.ping(), { code: 'offline' });
    const offline = Array.from({ length: 10 }, (_, n) => room.publish(n));
    const letter = line.direct(user, 'a letter');
    const arrived = next(line, 'direct');
    assert.equal(line.pending, 11);
    const gap = next(room, 'gap');
    say('offline');
    const results = await Promise.all(offline);
    assert.deepEqual(await letter, { connections: 1 });
    assert.equal((await arrived).data, 'a letter');
    assert.equal(line.user, user);
    assert.deepEqual(results.map((result) => result.offset), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const { since, epoch, missed } = await gap;
    assert.deepEqual([since, epoch, missed], [{ epoch: room.seen[0].epoch, offset: 1 }, results[0].epoch, null]);
    assert.notEqual(epoch, since.epoch);
    await seen(room, 11);
    assert.deepEqual(room.seen.map((m) => m.data), ['before', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(room.gaps.length, 1);
    line.close();
  },

  /** A server that keeps its rooms is killed again and again. */
  async kills() {
    const [line, other] = [open(url, { user: 'ann', inFlight: 4 }), open(url, { user: 'bob' })];
    const [mine, theirs] = [follow(line, 'tea'), follow(other, 'tea')];
    await Promise.all([joined(mine), joined(theirs)]);
    const results = [];
    for (let n = 0; n < 150;) {
      const portion = Array.from({ length: 30 }, () => mine.publish({ n: n++ }));
      results.push(...await Promise.all([portion.shift()]));
      // The others are on their way, in a queue, or done.
      say('kill');
      results.push(...await Promise.all(portion));
    }
    await Promise.all([seen(mine, 150), seen(theirs, 150)]);
    assert.deepEqual(mine.seen, theirs.seen);
    assert.deepEqual(mine.seen.map((m) => m.data.n), Array.from({ length: 150 }, (_, n) => n));
    assert.deepEqual(mine.seen.map((m) => m.offset), results.map((result) => result.offset));
    assertWhole(mine);
    assert.deepEqual([mine.gaps, theirs.gaps, new Set(mine.seen.map((m) => m.epoch)).size], [[], [], 1]);
    line.close();
    other.close();
  },

  /** What a program says through the server's API. */
  async told() {
    const line = open(url, { user: 'ann' });
    const room = follow(line, 'tea');
    await joined(room);
    // All of it may come at once.
    const broadcast = next(line, 'broadcast');
    const end = Promise.all([next(line, 'kicked'), next(line, 'close'), until(line, 'closed')]);
    say('joined');
    assert.deepEqual((await broadcast).data, { any: 'JSON' });
    await seen(room, 1);
    assert.deepEqual([room.seen[0].from, room.seen[0].data], [null, 'news']);
    const [{ reason }, { code }] = await end;
    assert.deepEqual([reason, code], ['enough', 1008]);
  },

  /** More is said while it is away than the room keeps. */
  async gap() {
    const line = open(url, { user: 'ann' });
    const other = open(direct, { user: 'bob' });
    const [mine, theirs] = [follow(line, 'tea'), follow(other, 'tea')];
    await Promise.all([joined(mine), joined(theirs)]);
    await theirs.publish(0);
    await seen(mine, 1);
    say('joined');
    await until(line, 'waiting');
    await Promise.all(Array.from({ length: 150 }, (_, n) => theirs.publish(n + 1)));
    say('said');
    const back = await next(mine, 'joined');
    assert.equal(back.recovered, false);
    assert.deepEqual(mine.gaps, [{ since: { epoch: mine.epoch, offset: 1 }, epoch: mine.epoch, offset: 151, missed: 50 }]);
    assert.deepEqual(mine.seen.map((m) => m.data), [0, ...Array.from({ length: 100 }, (_, n) => n + 51)]);
    line.close();
    other.close();
  },

  /** The cable is dead, and nobody says so. */
  async dead() {
    const line = open(url, { user: 'ann', pingAfter: 300, pongWithin: 2000 });
    const room = follow(line, 'tea');
    await joined(room);
    // Asked, and answered.
    await next(line, 'frame');
    assert.equal(line.state, 'open');
    say('joined');
    const { code, reason } = await next(line, 'close');
    assert.deepEqual([code, reason], [1006, 'the server does not answer any more']);
    await until(line, 'open');
    await room.publish('here again');
    await seen(room, 1);
    assert.equal(room.seen[0].offset, 1);
    line.close();
    say('closed');
  },

  /** The server ends in order, and says when to come back. */
  async going() {
    const line = open(url, { user: 'ann' });
    const room = follow(line, 'tea');
    await joined(room);
    say('joined');
    const { reconnect_after: after } = await next(line, 'going_away');
    const { code } = await next(line, 'close');
    await until(line, 'waiting');
    const wait = line.retryAt - Date.now();
    assert.equal(code, 1001);
    assert.ok(after / 2 < wait && wait <= after * 1.1, `${wait} ms, and ${after} were asked for`);
    // Nothing of the wait remains.
    line.close();
  },

  /** Nobody is let in without a good token. */
  async tokens() {
    const refused = async (token) => {
      const line = open(url, { token });
      let closes = 0;
      line.on('close', () => closes++);
      line.on('welcome', () => assert.fail('let in'));
      const room = line.room('tea');
      const lost = assert.rejects(room.publish(1), { code: 'closed' });
      const { code } = await next(line, 'close');
      assert.equal(code, 1008);
      await until(line, 'closed');
      await lost;
      line.reconnect();
      assert.equal(line.state, 'closed');
      return closes;
    };
    assert.equal(await refused('wrong'), 1);
    assert.equal(await refused(undefined), 1);
    // Whoever can make new ones is asked for some.
    assert.equal(await refused(() => 'wrong'), 6);
    const given = ['old', 'older', 'good'];
    const welcomed = async (token) => {
      const line = open(url, { token, user: 'somebody' });
      await next(line, 'welcome');
      line.close();
      return line.user;
    };
    assert.equal(await welcomed(async () => given.shift()), 'ann');
    assert.deepEqual(given, []);
    assert.equal(await welcomed('good'), 'ann');
    // What no subprotocol can be called.
    assert.equal(await welcomed('a/b=='), 'bob');
    // No token to be had is no refusal: it is tried again.
    let tries = 0;
    const line = open(url, { token: async () => { if (tries++ < 3) throw new Error('no token now'); return 'good'; } });
    assert.equal((await next(line, 'error')).message, 'no token now');
    await until(line, 'open');
    assert.equal(tries, 4);
    line.close();
  },

  /** More than the server wants. */
  async rate() {
    const line = open(url, { user: 'ann' });
    const room = follow(line, 'tea');
    let refusals = 0;
    line.on('frame', ({ out, text }) => { if (!out && text.includes('"rate_limited"')) refusals++; });
    line.on('close', () => assert.equal(line.state, 'closed'));
    const results = await Promise.all(Array.from({ length: 100 }, (_, n) => room.publish(n)));
    assert.deepEqual(results.map((result) => result.offset), Array.from({ length: 100 }, (_, n) => n + 1));
    await seen(room, 100);
    assert.deepEqual(room.seen.map((m) => m.data), Array.from({ length: 100 }, (_, n) => n));
    say('refusals', refusals);
    line.close();
  },

  /** Many rooms, all of which it is in again. */
  async rooms() {
    const line = open(url, { user: 'ann' });
    const rooms = Array.from({ length: 50 }, (_, n) => follow(line, `room ${n}`));
    await Promise.all(rooms.map(joined));
    const refused = line.room('');
    assert.equal((await next(refused, 'error')).code, 'bad_request');
    assert.equal(refused.state, 'left');
    say('joined');
    await next(line, 'close');
    const results = await Promise.all(rooms.map((room) => room.publish(room.name)));
    assert.ok(results.every(({ offset }) => offset === 1));
    await Promise.all(rooms.map((room) => seen(room, 1)));
    assert.ok(rooms.every((room) => room.state === 'joined' && room.seen[0].data === room.name));
    line.close();
  },
};

let closedAt = 0;
await scenarios[scenario]();
closedAt = Date.now();
// No timer and no socket is left: the program ends by itself.
process.on('exit', () => {
  if (5000 < Date.now() - closedAt) throw new Error(`ended ${Date.now() - closedAt} ms after it was closed`);
});
