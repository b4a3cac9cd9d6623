// Owns the inspector: the frames of one link as rows, the anatomy of one frame, and the figures above them.
// Reads a Link, never changes it (but for the button that closes the connection).

import { BINARY, CLOSE, TEXT, hexByte } from './connection.js';
import { closeMeaning, t } from './i18n.js';

const opcodeName = { [TEXT]: 'text', [BINARY]: 'binaryOp', [CLOSE]: 'closeOp' };
const $ = (id) => document.getElementById(id);
const number = (n) => n.toLocaleString('en').replaceAll(',', '\u202f');
const milliseconds = (ms) => (ms === null ? '–' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
export { milliseconds, number };

/** An element with a class and a text. */
export function make(tag, className = '', text = '') {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== '') el.textContent = text;
  return el;
}

let link = null;
let picked = null; // the frame whose anatomy is shown; null: always the newest
let shown = null; // the frame and language the anatomy was drawn for
let clearedAt = 0;
const rows = new Map(); // log entry -> { item, button, rtt }, the last two for frames only

/** Shows the frames of another link. */
export function inspect(next) {
  if (next !== link) {
    link = next;
    picked = null;
    clearedAt = 0;
    reset();
  }
  refresh();
}

/** Draws everything anew, for example in another language. */
export function reset() {
  rows.clear();
  shown = null;
  $('frames').replaceChildren();
}

/** Brings rows and figures up to date. Cheap when nothing changed; does nothing while the inspector is hidden. */
export function refresh() {
  if (!link || $('inspector').hidden) return;
  const list = $('frames');
  const entries = link.frames.filter((entry) => clearedAt < entry.at);
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;

  const current = new Set(entries);
  for (const [entry, { item }] of rows) {
    if (current.has(entry)) continue;
    item.remove();
    rows.delete(entry);
  }
  for (const entry of entries) {
    if (!rows.has(entry)) {
      rows.set(entry, entry.event ? eventRow(entry) : frameRow(entry));
      list.append(rows.get(entry).item);
    }
    if (entry.rtt) rows.get(entry).rtt.textContent = milliseconds(entry.rtt);
  }
  $('frames-empty').hidden = entries.length > 0;
  if (atEnd) list.scrollTop = list.scrollHeight;

  const frames = entries.filter((entry) => !entry.event);
  if (!frames.includes(picked)) picked = null;
  // A frame someone is just reading stays, even when newer ones arrive.
  const reading = $('anatomy').matches(':hover') || $('anatomy').contains(document.activeElement);
  anatomy(picked ?? (reading && frames.includes(shown) ? shown : frames.at(-1)) ?? null);
  for (const [entry, { button }] of rows) button?.setAttribute('aria-pressed', String(entry === shown));
  figures();
}

function figures() {
  const { count } = link;
  const total = count.header + count.payload;
  const share = total ? ` (${Math.round((100 * count.header) / total)} %)` : '';
  $('fact-url').textContent = link.url;
  $('fact-queue').textContent = t('bytes', { n: number(link.queued) });
  $('fact-rtt').textContent = milliseconds(link.rtt);
  $('fact-traffic').textContent = `↑ ${number(count.out)}  ↓ ${number(count.in)}`;
  $('fact-overhead').textContent = t('bytes', { n: number(count.header) }) + share;
  $('deflate').hidden = !link.extensions.includes('permessage-deflate');
  $('hang-up').hidden = link.state !== 'open';
}

function eventRow(entry) {
  const text = t(entry.event, { path: decodeURI(link.path), n: entry.ms?.toFixed(1) });
  const item = make('li', 'event', text);
  item.prepend(clock(entry.at));
  return { item };
}

function clock(at) {
  const pad = (n, width) => String(n).padStart(width, '0');
  const time = make('time', '', `${pad(at.getHours(), 2)}:${pad(at.getMinutes(), 2)}:${pad(at.getSeconds(), 2)}.${pad(at.getMilliseconds(), 3)}`);
  time.dateTime = at.toISOString();
  return time;
}

const headerHex = (header) => header.map((byte) => (byte === null ? '··' : hexByte(byte))).join(' ');

function frameRow(entry) {
  const item = make('li');
  const button = make('button', `frame ${entry.direction}`);
  const opcode = t(opcodeName[entry.opcode]);
  const rtt = make('span', 'rtt');
  const preview = entry.code ? `${entry.code} ${t(closeMeaning(entry.code))}${entry.head ? `: ${entry.head}` : ''}` : entry.head;
  button.type = 'button';
  button.dataset.opcode = entry.opcode;
  button.title = t('rowHelp', {
    direction: t(entry.direction === 'out' ? 'outgoing' : 'incoming'), opcode, size: number(entry.size), header: entry.header.length,
  });
  button.append(
    make('span', 'arrow', entry.direction === 'out' ? '↑' : '↓'), make('span', 'opcode', opcode),
    make('span', 'size', `${entry.header.length} + ${number(entry.size)} B`), rtt, clock(entry.at),
    make('span', 'hex', headerHex(entry.header)), make('span', 'preview', preview + (entry.cut ? '…' : '')),
  );
  button.addEventListener('click', () => {
    picked = picked === entry ? null : entry;
    refresh();
  });
  item.append(button);
  return { item, button, rtt };
}

/** The parts of a frame: [key, what the wire has, bits or bytes, explanation]. */
function parts(frame) {
  const { header, size, opcode, direction } = frame;
  const bits = (byte, from, to) => byte.toString(2).padStart(8, '0').slice(from, to);
  const masked = direction === 'out';
  const length = header[1] & 0x7f;
  const long = header.slice(2, masked ? -4 : undefined);
  const list = [
    ['fin', bits(header[0], 0, 1), t('finHelp')],
    ['rsv', bits(header[0], 1, 4), t('rsvHelp')],
    ['opcode', bits(header[0], 4, 8), t('opcodeHelp', { value: opcode, name: t(opcodeName[opcode]) })],
    ['mask', bits(header[1], 0, 1), t(masked ? 'maskOutHelp' : 'maskInHelp')],
    ['len', bits(header[1], 1, 8), t('lenHelp', { value: length })],
  ];
  if (long.length) list.push(['ext', headerHex(long), t('extHelp', { n: number(size), bits: long.length * 8 })]);
  if (masked) list.push(['key', '·· ·· ·· ··', t('keyHelp')]);
  if (frame.code && size) {
    const hex = `${hexByte(frame.code >> 8)} ${hexByte(frame.code & 0xff)}`;
    list.push(['code', hex, t('codeHelp', { value: frame.code, meaning: t(closeMeaning(frame.code)) })]);
  }
  if (size > (frame.code ? 2 : 0)) {
    const text = frame.head + (frame.cut ? '…' : '');
    list.push(['data', text, t('dataHelp', { n: number(size), total: number(size + header.length) })]);
  }
  return list;
}

function anatomy(frame) {
  if (shown === frame) return;
  shown = frame;
  const help = $('anatomy-help');
  help.textContent = t(frame ? 'anatomyHint' : 'noFrames');
  const cells = frame ? parts(frame).map(([key, value, text]) => {
    const cell = make('button', `part ${key}`);
    cell.type = 'button';
    cell.append(make('span', 'value', value), make('span', 'label', t(key)));
    const explain = () => {
      for (const other of $('anatomy').children) other.classList.toggle('chosen', other === cell);
      help.textContent = text;
    };
    for (const event of ['pointerenter', 'focus', 'click']) cell.addEventListener(event, explain);
    return cell;
  }) : [];
  $('anatomy').replaceChildren(...cells);
}

export function startInspector() {
  $('hang-up').addEventListener('click', () => link?.close());
  $('frames-clear').addEventListener('click', () => {
    clearedAt = new Date();
    refresh();
  });
  setInterval(refresh, 500); // the queue has no event of its own
}
