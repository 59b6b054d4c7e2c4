// What may happen at the moment when a message leaves. `plan.sends = { every, times, fault, least }`: at every so many-th
// message of so many bytes at least, and at most so often,
//
// - throw: sending fails, as it does on a socket that is gone;
// - trap: the message leaves, and the instance is lost before it does anything else;
// - abort: the message leaves, and the object is ended by the platform, in the middle of the call;
//
// and `plan.careless` leaves undone what protects a session whose host was lost: the mark *running*, and that its socket is
// closed. It is the control that shows that the recorder at the other end would notice a session that goes on from an old state.

/** Eight bytes before what is kept of a session: its deadline, zero while it is at work. */
const DEADLINE = 8;

/** Puts itself between the Worker and its sockets. */
export function watch(trial) {
  const { send, close, serializeAttachment } = WebSocket.prototype;
  let doomed = false;

  WebSocket.prototype.send = function (message) {
    const { plan } = trial;
    const counts = message.byteLength >= (plan.sends?.least ?? 0);
    if (counts) trial.seen.sends += 1;
    const struck = counts && plan.sends?.times > 0 && trial.seen.sends % plan.sends.every === 0;
    const fault = plan.sends?.fault;
    if (struck) {
      trial.seen.faults += 1;
      plan.sends.times -= 1;
    }
    if (struck && fault === "throw") throw new TypeError("Can't call WebSocket send() after close().");
    send.call(this, message);
    if (struck && fault === "abort") trial.abort();
    if (struck && fault === "trap") doomed = true;
  };

  // The time is what an instance asks for next, and expects no exception from.
  globalThis.Date = new Proxy(Date, {
    construct(target, values) {
      if (doomed) {
        doomed = false;
        throw new WebAssembly.RuntimeError("unreachable");
      }
      return new target(...values);
    },
  });

  WebSocket.prototype.close = function (...values) {
    if (!trial.plan.careless) close.apply(this, values);
  };

  WebSocket.prototype.serializeAttachment = function (attachment) {
    const running = attachment.subarray(0, DEADLINE).every((byte) => byte === 0);
    if (!(running && trial.plan.careless)) serializeAttachment.call(this, attachment);
  };
}
