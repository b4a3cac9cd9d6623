// Owns what the browser keeps for the page. Where storage is off (private windows, blocked cookies) it throws; then things
// are kept for as long as the page is open, and nobody notices anything else.

const memory = new Map();

function area(name) {
  return {
    get(key) {
      try { return window[name].getItem(`switchboard.${key}`); } catch { return memory.get(name + key) ?? null; }
    },
    set(key, value) {
      try {
        if (value === null) window[name].removeItem(`switchboard.${key}`);
        else window[name].setItem(`switchboard.${key}`, value);
      } catch { memory.set(name + key, value); } // also when it is full
    },
  };
}

/** In this browser, for all windows. */
export const browser = area('localStorage');
/** In this window, across reloads. */
export const tab = area('sessionStorage');

/** A value of `place` that was JSON; null when there is none, or somebody else wrote it. */
export function read(place, key) {
  try { return JSON.parse(place.get(key)); } catch { return null; }
}

export const write = (place, key, value) => place.set(key, JSON.stringify(value));

/** Names only: whatever else is there did not come from this page. */
const names = (list) => (Array.isArray(list) ? list.filter((name) => typeof name === 'string') : []);

/**
 * What is remembered of a user: the rooms, the people, and up to where each room was read. Read anew for each change, as
 * other windows of the same user change it too.
 */
export function remembered(user) {
  const { rooms, people, read: marks } = read(browser, `user.${user}`) ?? {};
  return { known: rooms !== undefined, rooms: names(rooms), people: names(people), read: { ...marks } };
}

export function remember(user, change) {
  const { rooms, people, read: marks } = remembered(user);
  const record = { rooms, people, read: marks };
  change(record);
  write(browser, `user.${user}`, record);
}
