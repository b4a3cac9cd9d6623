// Owns the inspector: the frames of one link as rows, the anatomy of one frame, and the figures above them.
// Reads a Link, never changes it (but for the button that closes the connection).

import { BINARY, CLOSE, TEXT, hexByte } from './connection.js';
import { $, make, makeButton, milliseconds, number, stickToEnd } from './dom.js';
import { closeMeaning, t } from './i18n.js';

const opcodeName = { [TEXT]: 'text', [BINARY]: 'binaryOp', [CLOSE]: 'closeOp' };
let link = null;
let picked = null; // the frame whose anatomy is shown; null: always the newest
let shown; // the frame whose anatomy is drawn, null for none; undefined: draw it anew
let clearedAt = 0;
const stick = stickToEnd($('frames'));
const rows = new Map(); // log entry -> { item, button, rtt }, the last two for frames only

/** Shows the frames of another link. */
export function inspect(next) {
  if (next !== link) {
    link = next;
    picked = null;
    clearedAt = 0;
    reset();
    stick.toEnd();
  }
  refresh();
}

/** Draws everything anew, for example in another language. */
export function reset() {
  rows.clear();
  shown = undefined;
  $('frames').replaceChildren();
}

/** Brings rows and figures up to date. Cheap when nothing changed; does nothing while the inspector is hidden. */
export function refresh() {
  if (!link || $('inspector').hidden) return;
  const list = $('frames');
  const entries = link.frames.filter((entry) => clearedAt < entry.at);

  stick.check();
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

  const frames = entries.filter((entry) => !entry.event);
  if (!frames.includes(picked)) picked = null;
  // A frame someone is just reading stays, even when newer ones arrive.
  const reading = $('anatomy').matches(':hover') || $('anatomy').contains(document.activeElement);
  anatomy(picked ?? (reading && frames.includes(shown) ? shown : frames.at(-1)) ?? null);
  for (const [entry, { button }] of rows) button?.setAttribute('aria-pressed', String(entry === shown));
  figures();
  stick.keep();
}

function figures() {
  const { count } = link;
  const total = count.header + count.payload;
  const share = total ? ` (${((100 * count.header) / total).toFixed(1)} %)` : '';
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
  const button = makeButton(`frame ${entry.direction}`, '', () => {
    picked = picked === entry ? null : entry;
    refresh();
  });
  const opcode = t(opcodeName[entry.opcode]);
  const rtt = make('span', 'rtt');
  const preview = entry.code ? `${entry.code} ${closeMeaning(entry.code)}${entry.head ? `: ${entry.head}` : ''}` : entry.head;
  button.dataset.opcode = entry.opcode;
  button.title = t('rowHelp', {
    direction: t(entry.direction === 'out' ? 'outgoing' : 'incoming'), opcode, size: number(entry.size), header: entry.header.length,
  });
  button.append(
    make('span', 'arrow', entry.direction === 'out' ? '↑' : '↓'), make('span', 'opcode', opcode),
    make('span', 'size', `${entry.header.length} + ${number(entry.size)} B`), rtt, clock(entry.at),
    make('span', 'hex', headerHex(entry.header)), make('span', 'preview', preview + (entry.cut ? '…' : '')),
  );
  item.append(button);
  return { item, button, rtt };
}

/** A frame as groups of bytes, each with its parts: [group, hex of the group, [[key, what the wire has, explanation]…]]. */
function groups(frame) {
  const { header, size, opcode, direction } = frame;
  const bits = (byte, from, to) => byte.toString(2).padStart(8, '0').slice(from, to);
  const masked = direction === 'out';
  const long = header.slice(2, masked ? -4 : undefined);
  const bytes = (from, count) => t('byteRange', { from, to: from + count - 1 });
  const list = [
    [t('byte', { n: 0 }), hexByte(header[0]), [
      ['fin', bits(header[0], 0, 1), t('finHelp')],
      ['rsv', bits(header[0], 1, 4), t('rsvHelp')],
      ['opcode', bits(header[0], 4, 8), t('opcodeHelp', { value: opcode, name: t(opcodeName[opcode]) })],
    ]],
    [t('byte', { n: 1 }), hexByte(header[1]), [
      ['mask', bits(header[1], 0, 1), t(masked ? 'maskOutHelp' : 'maskInHelp')],
      ['len', bits(header[1], 1, 8), t('lenHelp', { value: header[1] & 0x7f })],
    ]],
  ];
  if (long.length) list.push([bytes(2, long.length), '', [['ext', headerHex(long), t('extHelp', { n: number(size), bits: long.length * 8 })]]]);
  if (masked) list.push([bytes(2 + long.length, 4), '', [['key', '·· ·· ·· ··', t('keyHelp')]]]);
  const payload = [];
  if (frame.code && size) {
    const hex = `${hexByte(frame.code >> 8)} ${hexByte(frame.code & 0xff)}`;
    payload.push(['code', hex, t('codeHelp', { value: frame.code, meaning: closeMeaning(frame.code) })]);
  }
  if (size > (frame.code ? 2 : 0)) {
    payload.push(['data', frame.head + (frame.cut ? '…' : ''), t('dataHelp', { n: number(size), total: number(size + header.length) })]);
  }
  if (size) list.push([t('payloadBytes', { n: number(size) }), '', payload]);
  return list;
}

function anatomy(frame) {
  if (shown === frame) return;
  shown = frame;
  const help = $('anatomy-help');
  help.textContent = t(frame ? 'anatomyHint' : 'noFrames');
  const cellOf = ([key, value, text]) => {
    const cell = makeButton(`part ${key}`, '', explain);
    function explain() {
      for (const other of $('anatomy').querySelectorAll('.part')) other.classList.toggle('chosen', other === cell);
      help.textContent = text;
    }
    cell.append(make('span', 'value', value), make('span', 'label', t(key)));
    cell.addEventListener('pointerenter', explain);
    cell.addEventListener('focus', explain);
    return cell;
  };
  const groupOf = ([name, hex, list]) => {
    const group = make('div', 'bytes');
    const caption = make('div', 'caption', name);
    if (hex) caption.append(make('b', '', hex));
    const cells = make('div', 'parts');
    cells.append(...list.map(cellOf));
    group.append(caption, cells);
    return group;
  };
  $('anatomy').replaceChildren(...(frame ? groups(frame).map(groupOf) : []));
}

export function startInspector() {
  $('hang-up').addEventListener('click', () => link?.close());
  $('frames-clear').addEventListener('click', () => {
    clearedAt = new Date();
    refresh();
  });
  setInterval(refresh, 500); // the queue has no event of its own
}
