/* Refreshing: the stamp says when the last answer was made and when to ask again. The server sends what has changed since
 * the answer before. An answer may be lost, or pass another one: then what is seen is not what it takes for seen, and it
 * is asked for everything. */
(() => {
  const { address, byId, fill, filling, press, touch } = jobs;
  const LOST_AFTER_MS = 10_000;
  const SOON_MS = 200;
  const SKEWED_MS = 5000;
  // The last one's stamp, when it came, and since when a question has none: a hidden window asks for nothing.
  const answers = { stamp: "", at: Date.now(), awaitedSince: 0 };
  let serverIsAhead = 0; // milliseconds; what an answer takes is nobody's clock being wrong
  const now = () => Date.now() + serverIsAhead;
  let isKnown = false; // whether what is seen is the server's last answer, and to this address
  let overtaken = null; // the filling that a later question may pass: if that is answered first, it is lost, or very late
  let byHand = false; // a person, and not the timer, asks: the audit log is told of that
  let barredUntil = 0; // after a refusal: each further one would be a line in the audit log
  let timer = 0;

  const bar = (milliseconds) => (barredUntil = Date.now() + milliseconds);
  const isBarred = () => Date.now() < barredUntil;
  const refresh = (ask = () => press("again")) => {
    clearTimeout(timer);
    timer = setTimeout(refresh, LOST_AFTER_MS);
    if (document.hidden || isBarred()) return;
    if (ask()) answers.awaitedSince ||= Date.now();
  };
  const look = () => refresh(isKnown && filling() && filling() === overtaken ? fill : undefined);
  const lookAgain = () => {
    byHand = true;
    refresh();
  };
  // Gradio calls this for what it asks.
  const asking = () => {
    const how = `${byHand ? "click" : ""} ${isKnown ? "" : "all"}`;
    byHand = isKnown = false;
    overtaken = filling();
    return `${address()}#${how}`;
  };
  touch(() => {
    const stamp = document.querySelector("#jobs-stamp [data-at]");
    if (!stamp || stamp.dataset.at === answers.stamp) return;
    isKnown = stamp.dataset.of === address() && stamp.dataset.at > answers.stamp;
    Object.assign(answers, { stamp: stamp.dataset.at, at: Date.now(), awaitedSince: 0 });
    const ahead = Date.parse(stamp.dataset.at) - Date.now();
    serverIsAhead = Math.abs(ahead) > SKEWED_MS ? ahead : 0;
    clearTimeout(timer);
    timer = setTimeout(look, isKnown ? stamp.dataset.next * 1000 : SOON_MS);
    const first = byId("jobs-first");
    if (first) first.remove();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (!byId("jobs-header")) answers.at = Date.now(); // what loads is not late yet
    refresh();
  });
  Object.assign(jobs, { answers, asking, bar, isBarred, lookAgain, now, refresh });
})();
