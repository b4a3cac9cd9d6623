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

/** 65 536 rather than 65536, in every language. */
export const number = (n) => n.toLocaleString('en').replaceAll(',', '\u202f');

export const milliseconds = (ms) => (ms === null ? '–' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);

/**
 * Keeps a scrolling element at its end, also when its size changes, unless somebody scrolled up in it.
 * `ended()` is called whenever it comes to its end.
 */
export function stickToEnd(el, ended = () => {}) {
  let top = 0; // where we last left it
  const follow = (yes) => {
    stick.following = yes;
    // The browser's own anchoring keeps the place of a reader when old messages go; at the end it would pull us off it.
    el.style.overflowAnchor = yes ? 'none' : 'auto';
  };
  const look = () => follow(el.scrollHeight - el.scrollTop - el.clientHeight < 40);
  const stick = {
    following: true,
    toEnd() {
      follow(true);
      el.scrollTop = el.scrollHeight;
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
    if (stick.following) ended();
  });
  new ResizeObserver(() => stick.keep()).observe(el);
  return stick;
}
