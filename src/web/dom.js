// Owns the few helpers for the page's elements that every part shares.

export const $ = (id) => document.getElementById(id);

/** An element with a class and a text. Text only ever becomes a text node. */
export function make(tag, className = '', text = '') {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== '') el.textContent = text;
  return el;
}

/** A button with a class, a text, and what it does. */
export function makeButton(className, text, act) {
  const el = make('button', className, text);
  el.type = 'button';
  el.addEventListener('click', act);
  return el;
}

/** Sets a text, and leaves the element alone when it is there already. */
export function write(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

/** The same for an accessible name, which is also the tooltip. */
export function label(el, text) {
  if (el.getAttribute('aria-label') !== text) el.setAttribute('aria-label', text);
  if (el.title !== text) el.title = text;
}

/** Makes `parent` have exactly these children, in this order, and moves as few of them as it can. */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of wanted) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
}

/** A person's colour, as a hue of the colour circle: always the same for a name. */
export function hue(name) {
  let hash = 7;
  for (const char of name.slice(0, 128)) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return hash % 360;
}

const letters = new Intl.Segmenter();

/** What a person sees as the first letter: an emoji can be several characters. */
export const initial = (name) => ([...letters.segment(name.trim().slice(0, 32))][0]?.segment ?? '?').toLocaleUpperCase();

export function avatar(name) {
  const el = make('span', 'avatar', name === null ? '◆' : initial(name));
  el.setAttribute('aria-hidden', 'true');
  if (name === null) el.classList.add('nobody');
  else el.style.setProperty('--hue', hue(name));
  return el;
}

const utf8 = new TextEncoder();

/** `data` (string or ArrayBuffer) as the bytes that travel. */
export const bytesOf = (data) => (typeof data === 'string' ? utf8.encode(data) : new Uint8Array(data));

export const hexByte = (byte) => byte.toString(16).padStart(2, '0');

export const randomId = () => [...crypto.getRandomValues(new Uint8Array(9))].map(hexByte).join('');

/** 65 536 rather than 65536, in every language. */
export const number = (n) => n.toLocaleString('en').replaceAll(',', '\u202f');

export const milliseconds = (ms) => (ms === null ? '–' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);

/**
 * Keeps a scrolling element at its end, also when its size changes, unless somebody scrolled up in it. Its own anchoring
 * of the browser is off (`overflow-anchor: none`): it would pull us off the end.
 */
export function stickToEnd(el, scrolled = () => {}) {
  let top = 0; // where we last left it
  const look = () => { stick.following = el.scrollHeight - el.scrollTop - el.clientHeight < 40; };
  const stick = {
    following: true,
    toEnd() {
      stick.following = true;
      el.scrollTop = el.scrollHeight;
      top = el.scrollTop;
    },
    /** Moves what is shown by `delta`, which is no scrolling by somebody. */
    shift(delta) {
      if (delta) el.scrollTop += delta;
      top = el.scrollTop;
    },
    /** To be called before something is added: somebody may have scrolled whose scroll event is still to come. */
    check() {
      if (el.scrollTop !== top) look();
    },
    /** To be called after something was added. */
    keep() {
      if (stick.following) stick.toEnd();
    },
  };
  el.addEventListener('scroll', () => {
    stick.check();
    top = el.scrollTop;
    scrolled();
  });
  new ResizeObserver(() => stick.keep()).observe(el);
  return stick;
}
