// kinesis-local listens on every address; this makes it listen on 127.0.0.1 only: node -r kinesis_local.js main.js
const net = require("net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const [first] = args;
  const port = first !== null && typeof first === "object" ? first.port : first;
  return listen.call(this, { port, host: "127.0.0.1" }, args.find((one) => typeof one === "function"));
};
