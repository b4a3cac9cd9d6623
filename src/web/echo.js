// Owns the echo tab: sends text or bytes to /echo and compares what comes back, byte for byte.

import { $, bytesOf, hexByte, make, makeButton, milliseconds, number } from './dom.js';
import { FrameLog } from './frames.js';
import { closeMeaning, t } from './i18n.js';

const RESULTS_KEPT = 20;
const SIZES = [125, 126, 65_535, 65_536]; // on both sides of the two places where the header grows
const PREVIEW = 96; // bytes shown of a result

const results = []; // all tests shown, newest first
const underWay = []; // tests sent or waiting, oldest first: echoes come back in order

const url = new URL('/echo', location.href);
url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';

/** The connection, a bare WebSocket: the protocol of the rooms knows no bytes. It is opened when it is wanted. */
export const echo = {
  log: new FrameLog(url.href),
  state: 'closed', // connecting | open | closed
  reason: '', // why the server closed it
  queue: () => t('bytes', { n: number(socket?.bufferedAmount ?? 0) }),
  isOpen: () => echo.state === 'open',
  hangUp: () => end(1000, 'closed by hand'),
  connect,
  /** Nobody looks: an idle connection is a thread of the server's. */
  rest: () => { if (underWay.length === 0) end(1000, ''); },
};
let socket = null;
let farewell = null; // code and reason that we close with
let access = { token: () => '', changed: () => {} };

/** What gives the token that lets in, and whom to tell that the state has changed. */
export function setEchoAccess(next) {
  access = { ...access, ...next };
}

function connect() {
  if (socket) return;
  const opened = openSocket();
  socket = opened;
  socket.binaryType = 'arraybuffer';
  farewell = null;
  echo.log.opening();
  become('connecting');
  socket.onopen = () => {
    echo.log.opened();
    become('open');
    flush();
  };
  socket.onmessage = ({ data }) => {
    echo.log.message('in', data);
    received(data);
    access.changed();
  };
  socket.onclose = ({ code, reason }) => {
    if (socket !== opened) return;
    socket = null;
    echo.log.closed({ code, reason }, farewell);
    echo.reason = reason;
    interrupted({ code });
    become('closed');
  };
}

/** The token is a subprotocol, all that a script can send; what no subprotocol can be called goes into the query. */
function openSocket() {
  const token = access.token();
  if (!token) return new WebSocket(url);
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(token)) return new WebSocket(url, `bearer.${token}`);
  return new WebSocket(`${url}?token=${encodeURIComponent(token)}`);
}

function end(code, reason) {
  farewell = { code, reason };
  socket?.close(code, reason);
}

function become(state) {
  echo.state = state;
  access.changed();
}

const kind = () => document.querySelector('input[name="echo-kind"]:checked').value;

/** "de ad, 0xbe" as bytes; null when it is no hex. */
function parseHex(text) {
  const digits = text.replace(/0x/gi, '').replace(/[\s,:;-]/g, '');
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

async function read() {
  if (kind() === 'text') return { data: $('echo-input').value };
  if (kind() === 'hex') {
    const bytes = parseHex($('echo-input').value);
    return bytes ? { data: bytes.buffer } : { problem: 'echoBadHex' };
  }
  const [file] = $('echo-file').files;
  return file ? { data: await file.arrayBuffer() } : { problem: 'echoNoFile' };
}

function run(data) {
  const test = { data, bytes: bytesOf(data), row: make('li', 'result') };
  underWay.push(test);
  results.unshift(test);
  for (const old of results.splice(RESULTS_KEPT)) old.row.remove();
  $('echo-none').hidden = true;
  $('echo-result').prepend(test.row);
  show(test, 'echoWaiting');
  connect();
  flush();
}

function flush() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  for (const test of underWay) {
    if (test.frame) continue;
    socket.send(test.data);
    test.frame = echo.log.message('out', test.data);
    show(test, 'echoSent');
  }
  access.changed();
}

function received(data) {
  const test = underWay[0];
  if (!test?.frame) return; // a broadcast of the server, no echo
  const bytes = bytesOf(data);
  const same = typeof data === typeof test.data && bytes.length === test.bytes.length && bytes.every((byte, i) => byte === test.bytes[i]);
  underWay.shift();
  echo.log.answered(test.frame);
  show(test, same ? 'identical' : 'different', { back: bytes });
}

function interrupted({ code }) {
  const lost = underWay.filter((test) => test.frame);
  underWay.splice(0, underWay.length, ...underWay.filter((test) => !test.frame));
  for (const test of lost) show(test, 'echoLost', { code });
}

const outcome = { identical: 'good', different: 'bad', echoLost: 'bad' };

/** Shows how a test stands: its verdict, with `code` of a close or the bytes that came `back`. */
function show(test, verdict, { code, back } = {}) {
  test.shown = [verdict, { code, back }];
  const text = typeof test.data === 'string';
  const line = make('div', 'line');
  line.append(
    make('span', 'kind', t(text ? 'text' : 'binaryOp')), make('span', 'size', t('bytes', { n: number(test.bytes.length) })),
    make('span', 'back', back ? t('echoBack', { n: number(back.length) }) : ''),
    make('span', 'rtt', back ? milliseconds(test.frame.rtt) : ''), make('span', `verdict ${outcome[verdict] ?? ''}`, t(verdict, { code, meaning: closeMeaning(code) })),
  );
  test.row.dataset.verdict = verdict;
  test.row.replaceChildren(line, make('pre', 'dump', text ? textDump(test.data) : hexDump(back ?? test.bytes)));
}

const textDump = (text) => text.slice(0, 4 * PREVIEW) + (4 * PREVIEW < text.length ? '…' : '');

function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, PREVIEW); at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const ascii = row.map((byte) => (0x20 <= byte && byte < 0x7f ? String.fromCharCode(byte) : '·')).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${row.map(hexByte).join(' ').padEnd(47)}  ${ascii}`);
  }
  return lines.join('\n') + (PREVIEW < bytes.length ? '\n…' : '');
}

function randomBytes(size) {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536)); // its limit per call
  return bytes.buffer;
}

/** Follows the chosen kind of input and the language. */
export function paintEcho() {
  $('echo-file').hidden = kind() !== 'file';
  $('echo-input').hidden = kind() === 'file';
  $('echo-input').placeholder = t(kind() === 'hex' ? 'echoHexHint' : 'echoTextHint');
  $('echo-problem').textContent = '';
  for (const test of results) show(test, ...test.shown);
}

export function startEcho() {
  $('echo-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const { data, problem } = await read();
    $('echo-problem').textContent = problem ? t(problem) : '';
    if (!problem) run(data);
  });
  $('echo-input').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    $('echo-form').requestSubmit();
  });
  for (const radio of document.querySelectorAll('input[name="echo-kind"]')) radio.addEventListener('change', paintEcho);
  for (const size of SIZES) $('echo-sizes').append(makeButton('quiet', number(size), () => run(randomBytes(size))));
  paintEcho();
}
