// Owns every word the page shows, in English and Chinese, and the choice between the two.
// Knows nothing of connections. Elements with data-i18n="key" get their text from here, data-i18n-label="key" their
// accessible name and tooltip, data-i18n-hint="key" their placeholder.

const table = {
  en: {
    noscript: 'This page needs JavaScript.',
    you: 'Your name', youHint: 'your name', lobby: 'Lobby', rooms: 'Rooms', people: 'People', lab: 'Lab', echo: 'Echo',
    roomHint: 'join a room', join: 'Join the room', dmHint: 'write to someone', open: 'Open the conversation',
    menu: 'Conversations', close: 'Close', theme: 'Light or dark', language: '切换到中文', languageShort: '中',
    conversations: 'Conversations', messages: 'Messages', message: 'Message', send: 'Send',
    keys: 'Alt ↑ ↓ switches, Shift Enter starts a new line.',
    composeHint: 'Message {name}', newMessages: '{n} new ↓', unread: '{n} unread', leave: 'Leave {name}', someone: 'someone',
    badName: 'A name has 1 to 128 bytes, no control characters, and is not “.” or “..”.',
    connecting: 'connecting…', stateOpen: 'connected', waiting: 'lost, retry in {n} s', closed: 'not connected',
    retry: 'Retry now', connect: 'Connect', hangUp: 'Close connection',
    tokenNeeded: 'This server asks for a token.', token: 'token',
    statusWaiting: 'waiting for the connection', statusSent: 'sent', statusDelivered: 'delivered', statusFailed: 'not delivered',
    waitingShort: 'waiting', sendAgain: 'Send again',
    no_such_user: '{name} is not connected right now.', tooLarge: 'Larger than the server accepts (close code 1009).',
    showAll: 'Show all {n} characters',
    noEcho: 'Sent several times, the connection broke each time.',
    refused: 'The server refused this message: {why}', binary: 'binary, {n} bytes: {hex}',
    emptyTitleGroup: 'You are in the lobby, {nick}', emptyTitleRoom: 'Room {name}', emptyTitleDirect: 'You and {name}',
    emptyGroup: 'Whatever you write goes to everyone connected here. To see it from both sides, open a second window as somebody else.',
    emptyRoom: 'Everyone who joins a room of this name reads along. Share the address of this page to invite others.',
    emptyDirect: 'Only {name} receives what you write here, in every window {name} has open.',
    emptyNote: 'Messages are passed on, not stored. Any WebSocket client can take part:',
    second: 'Open a second window', rename: 'Change my name',
    tryRoom: 'Join a room', tryRoomText: 'Share its name; whoever joins is in.', tryDirect: 'Write to one person', tryDirectText: 'By name, to all their windows.',
    tryInspector: 'Watch the frames', tryInspectorText: 'See what travels, byte by byte.',
    inspector: 'Inspector', inspectorIntro: 'Every message travels in frames: a header of a few bytes, then the payload. Here they are, as they pass.',
    factQueue: 'queue', factRtt: 'round trip', factTraffic: 'frames', factOverhead: 'headers',
    queueHelp: 'bufferedAmount: bytes handed to the browser that have not left yet', rttHelp: 'from sending a message until its own echo is back',
    overheadHelp: 'frame header bytes against payload bytes, both directions',
    frames: 'Frames', noFrames: 'No frames yet. Send something.', anatomyHint: 'Point at or tap a part to see what it means.',
    clear: 'Clear', deflate: 'Compression was negotiated: on the wire RSV1 may be set and the payload smaller. Shown is the message before compression.',
    limitsNote: 'A script sees messages, not frames: headers are computed for unfragmented frames; the mask key, pings and pongs stay inside the browser.',
    handshake: 'HTTP GET {path} → 101 Switching Protocols, {n} ms', noHandshake: 'HTTP GET {path} → no connection', lost: 'connection lost without a close frame (1006)',
    rowHelp: '{direction} {opcode}, payload {size} bytes, header {header} bytes', outgoing: 'sent', incoming: 'received',
    header: 'header', payload: 'payload', text: 'text', binaryOp: 'binary', closeOp: 'close', bytes: '{n} B',
    byte: 'byte {n} =', byteRange: 'bytes {from}–{to}', payloadBytes: 'payload, {n} bytes',
    fin: 'FIN', rsv: 'RSV', opcode: 'opcode', mask: 'MASK', len: 'length', ext: 'long length', key: 'mask key', code: 'close code', data: 'data',
    finHelp: 'FIN = 1: this is the last frame of the message. A message cut into several frames has FIN = 0 on all but the last.',
    rsvHelp: 'Three reserved bits. Extensions use them: compression sets the first. Otherwise they must be 0.',
    opcodeHelp: 'Opcode {value} = {name}. The others: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, A pong.',
    maskOutHelp: 'MASK = 1: a browser must XOR all it sends with a key, so that no page can make a frame that a proxy mistakes for HTTP.',
    maskInHelp: 'MASK = 0: a server never masks.',
    lenHelp: 'The length, if it is 125 or less. Otherwise 126: the next 2 bytes hold it; 127: the next 8 bytes do. Here: {value}.',
    extHelp: 'The payload length {n} as a {bits}-bit number, the most significant byte first.',
    keyHelp: 'Four random bytes, new for each frame: sent byte i = payload byte i XOR key byte (i mod 4). The browser does not show them to scripts.',
    codeHelp: 'The first two bytes of a close payload are the code, {value}: {meaning}. A reason in UTF-8 may follow.',
    dataHelp: '{n} bytes of payload. Header and payload together: {total} bytes.',
    c1000: 'normal', c1001: 'server is going away', c1002: 'protocol error', c1003: 'data of a kind not accepted', c1005: 'closed without a code', c1006: 'lost, no close frame',
    c1007: 'invalid UTF-8', c1008: 'policy', c1009: 'message too large', c1010: 'extension missing', c1011: 'keepalive timeout or handler failed',
    c1012: 'server restarts', c1013: 'too slow a reader, try again later', c1015: 'TLS failed', cOther: 'application code',
    echoIntro: 'Whatever you send to /echo comes back. Text or bytes; compared byte for byte.',
    echoText: 'Text', echoHex: 'Bytes (hex)', echoFile: 'File', echoInput: 'What to send', echoFileLabel: 'File to send', echoTextHint: 'any text: héllo, 你好, 👋', echoHexHint: 'de ad be ef 00 01',
    echoSizes: 'Random bytes at the limits of the header:', echoBadHex: 'Hex digits in pairs, please: de ad be ef',
    echoNoFile: 'Choose a file first.', echoWaiting: 'waiting for the connection', echoSent: 'sent, waiting for the echo', echoNone: 'Nothing sent yet.',
    identical: 'identical ✓', different: 'different ✗', echoLost: 'no echo: closed with {code}, {meaning} ✗', echoBack: '{n} bytes back', result: 'Result',
    adjectives: 'quiet brisk sunny gentle clever merry plucky bright mellow nimble',
    animals: 'otter heron badger finch lynx robin marten beaver falcon hedgehog', guest: '{adjective}-{animal}-{n}',
  },
  zh: {
    noscript: '本页需要 JavaScript。',
    you: '你的名字', youHint: '你的名字', lobby: '大厅', rooms: '房间', people: '私聊', lab: '实验室', echo: '回显',
    roomHint: '加入房间', join: '加入房间', dmHint: '写给某人', open: '打开对话',
    menu: '对话列表', close: '关闭', theme: '浅色或深色', language: 'Switch to English', languageShort: 'EN',
    conversations: '对话', messages: '消息', message: '消息', send: '发送',
    keys: 'Alt ↑ ↓ 切换对话，Shift Enter 换行。',
    composeHint: '发消息到 {name}', newMessages: '{n} 条新消息 ↓', unread: '{n} 条未读', leave: '离开 {name}', someone: '某人',
    badName: '名字须为 1 到 128 字节，不含控制字符，也不能是“.”或“..”。',
    connecting: '连接中…', stateOpen: '已连接', waiting: '连接断开，{n} 秒后重试', closed: '未连接',
    retry: '立即重试', connect: '连接', hangUp: '关闭连接',
    tokenNeeded: '连接本服务器需要令牌。', token: '令牌',
    statusWaiting: '等待连接', statusSent: '已发出', statusDelivered: '已送达', statusFailed: '未送达',
    waitingShort: '等待中', sendAgain: '重新发送',
    no_such_user: '{name} 现在不在线。', tooLarge: '超过服务器允许的大小（关闭码 1009）。',
    showAll: '显示全部 {n} 个字符',
    noEcho: '已多次发送，每次连接都断开。',
    refused: '服务器拒绝了这条消息：{why}', binary: '二进制，{n} 字节：{hex}',
    emptyTitleGroup: '{nick}，你在大厅里', emptyTitleRoom: '房间 {name}', emptyTitleDirect: '你和 {name}',
    emptyGroup: '你写的内容会发给所有连接到这里的人。想同时看到两边，就以另一个人的身份再开一个窗口。',
    emptyRoom: '加入同名房间的人都能看到。把本页地址发给别人，即可邀请。',
    emptyDirect: '这里写的内容只发给 {name}，对方打开的每个窗口都会收到。',
    emptyNote: '消息只转发，不保存。任何 WebSocket 客户端都可以参加：',
    second: '再开一个窗口', rename: '改名字',
    tryRoom: '加入房间', tryRoomText: '告诉别人房间名，谁加入都能聊。', tryDirect: '写给一个人', tryDirectText: '按名字发送，到对方的所有窗口。',
    tryInspector: '观察帧', tryInspectorText: '逐字节查看线上传送的内容。',
    inspector: '检查器', inspectorIntro: '消息以帧传送：几个字节的帧头，然后是载荷。这里逐帧显示。',
    factQueue: '队列', factRtt: '往返时间', factTraffic: '帧数', factOverhead: '帧头',
    queueHelp: 'bufferedAmount：已交给浏览器、尚未发出的字节', rttHelp: '从发出一条消息到它自己的回声返回',
    overheadHelp: '帧头字节与载荷字节之比，两个方向合计',
    frames: '帧', noFrames: '还没有帧。发点什么吧。', anatomyHint: '指向或点按某一部分，查看含义。',
    clear: '清空', deflate: '已协商压缩：线上的 RSV1 可能为 1，载荷更小。这里显示压缩前的消息。',
    limitsNote: '脚本看到的是消息而不是帧：帧头按不分片计算；掩码、ping 和 pong 留在浏览器内部。',
    handshake: 'HTTP GET {path} → 101 Switching Protocols，{n} 毫秒', noHandshake: 'HTTP GET {path} → 未能连接', lost: '连接断开，没有关闭帧（1006）',
    rowHelp: '{direction}，{opcode}，载荷 {size} 字节，帧头 {header} 字节', outgoing: '发出', incoming: '收到',
    header: '帧头', payload: '载荷', text: '文本', binaryOp: '二进制', closeOp: '关闭', bytes: '{n} B',
    byte: '字节 {n} =', byteRange: '字节 {from}–{to}', payloadBytes: '载荷，{n} 字节',
    fin: 'FIN', rsv: 'RSV', opcode: '操作码', mask: 'MASK', len: '长度', ext: '扩展长度', key: '掩码', code: '关闭码', data: '数据',
    finHelp: 'FIN = 1：这是消息的最后一帧。一条消息分成几帧时，只有最后一帧的 FIN 为 1。',
    rsvHelp: '三个保留位，供扩展使用：压缩会置第一位。否则必须为 0。',
    opcodeHelp: '操作码 {value} = {name}。其他：0 延续，1 文本，2 二进制，8 关闭，9 ping，A pong。',
    maskOutHelp: 'MASK = 1：浏览器发出的一切都必须与一个密钥异或，使网页无法造出会被代理误认为 HTTP 的帧。',
    maskInHelp: 'MASK = 0：服务器从不加掩码。',
    lenHelp: '不超过 125 时就是长度本身。126：长度在后面 2 个字节；127：在后面 8 个字节。这里是 {value}。',
    extHelp: '载荷长度 {n}，写成 {bits} 位数，高位字节在前。',
    keyHelp: '四个随机字节，每帧不同：发出的第 i 字节 = 载荷第 i 字节 XOR 掩码第 (i mod 4) 字节。浏览器不让脚本看到它。',
    codeHelp: '关闭帧载荷的前两个字节是关闭码 {value}：{meaning}。后面可以有 UTF-8 的原因。',
    dataHelp: '载荷 {n} 字节。帧头和载荷共 {total} 字节。',
    c1000: '正常', c1001: '服务器即将离开', c1002: '协议错误', c1003: '不接受这种数据', c1005: '关闭时没有关闭码', c1006: '断开，没有关闭帧',
    c1007: 'UTF-8 无效', c1008: '违反策略', c1009: '消息过大', c1010: '缺少扩展', c1011: '心跳超时或处理出错',
    c1012: '服务器重启', c1013: '接收太慢，请稍后再试', c1015: 'TLS 失败', cOther: '应用自定义',
    echoIntro: '发到 /echo 的内容会原样返回。文本或字节，逐字节比较。',
    echoText: '文本', echoHex: '字节（十六进制）', echoFile: '文件', echoInput: '要发送的内容', echoFileLabel: '要发送的文件', echoTextHint: '任意文本：héllo，你好，👋', echoHexHint: 'de ad be ef 00 01',
    echoSizes: '在帧头界限上的随机字节：', echoBadHex: '请成对输入十六进制数字：de ad be ef',
    echoNoFile: '请先选择文件。', echoWaiting: '等待连接', echoSent: '已发出，等待回显', echoNone: '还没有发送过。',
    identical: '完全一致 ✓', different: '不一致 ✗', echoLost: '没有回显：关闭码 {code}，{meaning} ✗', echoBack: '返回 {n} 字节', result: '结果',
    adjectives: '安静的 轻快的 温和的 聪明的 快乐的 勇敢的 明亮的 机灵的',
    animals: '水獭 苍鹭 獾 燕雀 猞猁 知更鸟 河狸 刺猬', guest: '{adjective}{animal}{n}',
  },
};

let language = 'en';

export const currentLanguage = () => language;

/** The text of `key`, with {name} replaced from `values`. */
export function t(key, values = {}) {
  const text = table[language][key] ?? table.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** What a close code means. */
export const closeMeaning = (code) => t(`c${code}` in table.en ? `c${code}` : 'cOther');

/** Switches to 'en' or 'zh' and fills in the static parts of the page. */
export function setLanguage(next) {
  language = next in table ? next : 'en';
  document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
  for (const el of document.querySelectorAll('[data-i18n]')) el.textContent = t(el.dataset.i18n);
  for (const el of document.querySelectorAll('[data-i18n-hint]')) el.placeholder = t(el.dataset.i18nHint);
  for (const el of document.querySelectorAll('[data-i18n-label]')) {
    el.setAttribute('aria-label', t(el.dataset.i18nLabel));
    if (el.matches('button')) el.title = t(el.dataset.i18nLabel);
  }
}

/** A friendly name for someone who has not chosen one. */
export function guestName() {
  const [a, b, n] = crypto.getRandomValues(new Uint32Array(3));
  const pick = (list, i) => list[i % list.length];
  return t('guest', { adjective: pick(t('adjectives').split(' '), a), animal: pick(t('animals').split(' '), b), n: 10 + (n % 90) });
}
