// Owns the echo tab: sends text or bytes to /echo and compares what comes back, byte for byte.

import { Link, bytesOf, hexByte } from './connection.js';
import { $, make, makeButton, milliseconds, number } from './dom.js';
import { closeMeaning, t } from './i18n.js';

const RESULTS_KEPT = 20;
const SIZES = [125, 126, 65_535, 65_536]; // on both sides of the two places where the header grows
const PREVIEW = 96; // bytes shown of a result

const results = []; // all tests shown, newest first
const underWay = []; // tests sent or waiting, oldest first: echoes come back in order

export const echoLink = new Link('/echo', { open: flush, message: received, close: interrupted });

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
  flush();
}

function flush() {
  for (const test of underWay) {
    if (test.frame) continue;
    test.frame = echoLink.send(test.data);
    if (!test.frame) return;
    show(test, 'echoSent');
  }
}

function received(data) {
  const test = underWay[0];
  if (!test?.frame) return; // a broadcast of the server, no echo
  const bytes = bytesOf(data);
  const same = typeof data === typeof test.data && bytes.length === test.bytes.length && bytes.every((byte, i) => byte === test.bytes[i]);
  underWay.shift();
  echoLink.echoed(test.frame);
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
