// Owns what /single_chat does: log in under a nick, then write to another nick.

const field = (id) => document.getElementById(id);
let ws = null; // the connection, once logged in
let nick = ''; // the name it was opened with

function show(line) {
  const p = document.createElement('div');
  p.textContent = line; // text, never HTML: others wrote it
  field('chat_list').append(p);
}

function login() {
  if (ws) ws.close();
  nick = field('nick').value;
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const [, token] = location.hash.match(/^#token=(.+)/) ?? [];
  const url = `${scheme}//${location.host}/conn_ws/${encodeURIComponent(nick)}`;
  const mine = ws = new WebSocket(url, token ? [`bearer.${token}`] : []);
  ws.onopen = () => show(`[logged in as ${nick}]`);
  ws.onmessage = (event) => {
    const data = JSON.parse(event.data);
    if (data.type === 'error') show(`[error] ${data.message}`);
    else show(`${data.from_user}:${data.message}`);
  };
  ws.onclose = (event) => { if (ws === mine) show(`[closed, code ${event.code}] ${event.reason}`); };
}

function send() {
  if (!ws || ws.readyState !== WebSocket.OPEN) return show('[not connected: log in first]');
  const data = { from_user: nick, to_user: field('to_user').value, message: field('send_str').value };
  ws.send(JSON.stringify(data));
  if (data.to_user !== nick) show(`${nick}:${data.message}`); // to oneself: it comes back anyway
  field('send_str').value = '';
}

field('login_form').addEventListener('submit', (event) => {
  event.preventDefault();
  login();
});
field('send_form').addEventListener('submit', (event) => {
  event.preventDefault();
  send();
});
