// Owns the inspector: the frames of one connection as rows, the anatomy of one of them, and the figures above. Reads a
// source, {log, queue(), isOpen(), hangUp()}, never changes it but for the button that closes the connection.

import { drawAnatomy, opcodeName } from './anatomy.js';
import { $, arrange, make, makeButton, milliseconds, number, stickToEnd } from './dom.js';
import { headerHex } from './frames.js';
import { closeMeaning, t } from './i18n.js';

let source = null;
let picked = null; // the frame whose anatomy is shown; null: always the newest
let shown; // the frame whose anatomy is drawn, null for none; undefined: draw it anew
const cleared = new WeakSet(); // entries that somebody no longer wants to see
const stick = stickToEnd($('frames'));
const rows = new WeakMap(); // entry -> { item, button, rtt }, the last two for frames only

/** Shows the frames of another connection. */
export function inspect(next) {
  if (next !== source) {
    source = next;
    picked = null;
    resetInspector();
    stick.toEnd();
  }
  refreshInspector();
}

/** Draws everything anew, for example in another language. */
export function resetInspector() {
  for (const entry of source?.log.entries ?? []) rows.delete(entry);
  shown = undefined;
}

/** Brings rows and figures up to date. Cheap when nothing changed; does nothing while the inspector is hidden. */
export function refreshInspector() {
  if (!source || $('inspector').hidden) return;
  const entries = source.log.entries.filter((entry) => !cleared.has(entry));
  stick.check();
  for (const entry of entries) {
    if (!rows.has(entry)) rows.set(entry, entry.event ? eventRow(entry) : frameRow(entry));
    const { rtt } = rows.get(entry);
    if (entry.rtt && rtt.textContent === '') rtt.textContent = milliseconds(entry.rtt);
  }
  arrange($('frames'), entries.map((entry) => rows.get(entry).item));
  $('frames-empty').hidden = 0 < entries.length;

  const frames = entries.filter((entry) => !entry.event);
  if (!frames.includes(picked)) picked = null;
  // A frame someone is just reading stays, even when newer ones arrive.
  const reading = $('anatomy').matches(':hover') || $('anatomy').contains(document.activeElement);
  draw(picked ?? (reading && frames.includes(shown) ? shown : frames.at(-1)) ?? null);
  for (const entry of frames) {
    const pressed = String(entry === shown);
    const { button } = rows.get(entry);
    if (button.getAttribute('aria-pressed') !== pressed) button.setAttribute('aria-pressed', pressed);
  }
  figures();
  stick.keep();
}

function draw(frame) {
  if (shown === frame) return;
  shown = frame;
  drawAnatomy(frame);
}

function figures() {
  const { count, rtt, lastClose, url } = source.log;
  const total = count.header + count.payload;
  const share = total ? ` (${((100 * count.header) / total).toFixed(1)} %)` : '';
  $('fact-url').textContent = url;
  $('fact-queue').textContent = source.queue();
  $('fact-rtt').textContent = milliseconds(rtt);
  $('fact-traffic').textContent = `↑ ${number(count.out)}  ↓ ${number(count.in)}`;
  $('fact-overhead').textContent = t('bytes', { n: number(count.header) }) + share;
  $('fact-close').textContent = lastClose ?? '–';
  $('fact-close').title = lastClose === null ? '' : closeMeaning(lastClose);
  $('hang-up').hidden = !source.isOpen();
}

function eventRow(entry) {
  const item = make('li', 'event', t(entry.event, { path: source.log.path, n: entry.ms?.toFixed(1) }));
  item.prepend(clock(entry.at));
  return { item };
}

function clock(at) {
  const pad = (n, width) => String(n).padStart(width, '0');
  const time = make('time', '', `${pad(at.getHours(), 2)}:${pad(at.getMinutes(), 2)}:${pad(at.getSeconds(), 2)}.${pad(at.getMilliseconds(), 3)}`);
  time.dateTime = at.toISOString();
  return time;
}

function frameRow(entry) {
  const item = make('li');
  const button = makeButton(`frame ${entry.direction}`, '', () => {
    picked = picked === entry ? null : entry;
    refreshInspector();
  });
  const opcode = t(opcodeName[entry.opcode]);
  const rtt = make('span', 'rtt');
  const preview = entry.code ? `${entry.code} ${closeMeaning(entry.code)}${entry.head ? `: ${entry.head}` : ''}` : entry.head;
  button.dataset.opcode = entry.opcode;
  button.dataset.kind = entry.kind;
  button.title = t('rowHelp', {
    direction: t(entry.direction === 'out' ? 'outgoing' : 'incoming'), opcode, size: number(entry.size), header: entry.header.length,
  });
  button.append(
    make('span', 'arrow', entry.direction === 'out' ? '↑' : '↓'), make('span', 'opcode', entry.kind || opcode),
    make('span', 'size', `${entry.header.length} + ${number(entry.size)} B`), rtt, clock(entry.at),
    make('span', 'hex', headerHex(entry.header)), make('bdi', 'preview', preview + (entry.cut ? '…' : '')),
  );
  item.append(button);
  return { item, button, rtt };
}

export function startInspector() {
  $('hang-up').addEventListener('click', () => source?.hangUp());
  $('frames-clear').addEventListener('click', () => {
    for (const entry of source.log.entries) cleared.add(entry);
    refreshInspector();
  });
  setInterval(refreshInspector, 500); // the queue has no event of its own
}
