// The npm client `ws`, driven by lines of JSON: commands on stdin, events on stdout.
//   {"do":"open","url":…,"protocols":[…]}  {"do":"send","text":…}  {"do":"send","base64":…}
//   {"do":"ping","text":…}  {"do":"close","code":…}
import readline from 'node:readline';
import WebSocket from 'ws';

let socket;
const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');

const commands = {
  open({ url, protocols }) {
    socket = new WebSocket(url, protocols || []);
    socket.on('open', () => say({ event: 'open', protocol: socket.protocol,
                                  extensions: socket.extensions }));
    socket.on('message', (data, binary) => say(binary
      ? { event: 'message', base64: data.toString('base64') }
      : { event: 'message', text: data.toString('utf8') }));
    socket.on('ping', (data) => say({ event: 'ping', text: data.toString('latin1') }));
    socket.on('pong', (data) => say({ event: 'pong', text: data.toString('latin1') }));
    socket.on('close', (code, reason) => say({ event: 'close', code, reason: reason.toString() }));
    socket.on('error', (error) => say({ event: 'error', message: error.message }));
    socket.on('unexpected-response', (request, response) => {
      say({ event: 'refused', status: response.statusCode });
      request.destroy();
    });
  },
  send({ text, base64 }) {
    if (base64 === undefined) socket.send(text);
    else socket.send(Buffer.from(base64, 'base64'));
  },
  ping({ text }) { socket.ping(text); },
  close({ code }) { socket.close(code); },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => { const command = JSON.parse(line); commands[command.do](command); });
lines.on('close', () => process.exit(0));
