// Owns the anatomy of one frame: its bytes as groups, each part with its name and an explanation.

import { $, hexByte, make, makeButton, number } from './dom.js';
import { BINARY, CLOSE, TEXT, headerHex } from './frames.js';
import { closeMeaning, t } from './i18n.js';

export const opcodeName = { [TEXT]: 'text', [BINARY]: 'binaryOp', [CLOSE]: 'closeOp' };

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
  if (size) list.push([t('payloadBytes', { n: number(size) }), '', payload(frame)]);
  return list;
}

function payload(frame) {
  const { size, code, header } = frame;
  const parts = [];
  if (code) parts.push(['code', `${hexByte(code >> 8)} ${hexByte(code & 0xff)}`, t('codeHelp', { value: code, meaning: closeMeaning(code) })]);
  if ((code ? 2 : 0) < size) parts.push(['data', frame.head + (frame.cut ? '…' : ''), t('dataHelp', { n: number(size), total: number(size + header.length) })]);
  return parts;
}

/** Draws a frame, or with null none. */
export function drawAnatomy(frame) {
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
