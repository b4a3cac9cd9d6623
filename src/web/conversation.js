// Owns one conversation: its lines, what of it is unread, and what is still to be sent. Knows neither server nor page.

const ITEMS_KEPT = 2000; // lines; older ones are forgotten, and asked for again
const TEXT_KEPT = 4_000_000; // characters, likewise
const SEEN_KEPT = 500; // ids of messages, to know a repetition

/** What `data` of a message says: {text}, and `code` when nobody wrote it to be read. Other programs publish too. */
export function words(data) {
  if (typeof data === 'string') return { text: data };
  if (typeof data?.text === 'string') return { text: data.text };
  return { text: JSON.stringify(data), code: true };
}

export class Conversation {
  items = []; // the lines, each with a number `n`, one more than the line above it
  pending = []; // own messages that the server has not confirmed
  begin = 0; // number of the first line
  size = 0; // characters
  unread = 0;
  firstUnread = null; // number of a line
  missed = 0; // messages that came while somebody read further up
  newest = null; // {epoch, offset} of the newest message of the room
  readTo = null; // the same, of the newest one that somebody has seen
  more = false; // whether the server may have older ones
  loading = false;
  draft = '';
  problem = ''; // why the server does not let us in
  awayUntil = 0; // when members without a connection are gone or back, in ms since 1970
  room = null; // of the client, and the line that it is on
  line = null;
  off = null; // takes the listeners away from the room
  entry = null; // its element in the sidebar
  #seen = new Set();

  /** `kind` is 'room' or 'direct', `name` the room's or the other person's. */
  constructor(kind, name) {
    Object.assign(this, { kind, name });
  }

  /** The number behind the last line. */
  get end() { return this.begin + this.items.length; }

  add(item) {
    item.n = this.end;
    this.items.push(item);
    this.size += item.text?.length ?? 0;
    while (ITEMS_KEPT < this.items.length || (TEXT_KEPT < this.size && 1 < this.items.length)) this.#forget();
  }

  #forget() {
    this.size -= this.items.shift().text?.length ?? 0;
    this.begin += 1;
    this.more = this.kind === 'room';
  }

  prepend(items) {
    this.items.unshift(...items);
    this.begin -= items.length;
    items.forEach((item, i) => {
      item.n = this.begin + i;
      this.size += item.text.length;
    });
  }

  /** Marks the place where messages may be missing; one mark is enough. */
  mark(mark) {
    const last = this.items.at(-1);
    if (last && !last.mark) this.add({ mark, at: Date.now() });
  }

  /** An own message is confirmed: from now on it is a line like all others. */
  settle(item) {
    this.drop(item);
    item.status = 'done';
    this.add(item);
  }

  /** Takes an own message away that was not confirmed. */
  drop(item) {
    this.pending = this.pending.filter((other) => other !== item);
  }

  /** Counts a message that nobody has seen. */
  count(item) {
    if (this.unread === 0) this.firstUnread = item.n;
    this.unread += 1;
  }

  /** Whether a message with this id was here before. */
  repeated(id) {
    if (typeof id !== 'string') return false;
    const key = id.slice(0, 64);
    if (this.#seen.has(key)) return true;
    this.#seen.add(key);
    if (SEEN_KEPT < this.#seen.size) this.#seen.delete(this.#seen.values().next().value);
    return false;
  }
}
