/* What is said above all else: that no answer comes, and what this window cannot get over by itself. */
(() => {
  const { answered, answers, bar, byId, element, isBarred, touch } = jobs;
  const SILENT_AFTER_MS = 10_000;
  const BACK_AFTER_MS = 20_000;
  const QUICK_MS = 2000;
  const BARRED_MS = 15_000;
  const TOLD_MS = 2000; // long enough to read why the sign-in comes

  // `over` says why this window cannot go on, and how its button is called.
  const ENDED = { why: "Your session has ended: what you did since was not carried out.", word: "Sign in" };
  const BACK = { why: "The service was restarted, or out of reach: this window has to be loaded anew.", word: "Reload" };
  const UNLOADED = { why: "This page has not finished loading: what you see does not change.", word: "Reload" };
  const COPY = "First copy what would be lost: the environment, and what you typed in the meantime.";
  let over = null;
  let lastStamp = "";
  touch(() => {
    if (answers.stamp !== lastStamp) over = null;
    lastStamp = answers.stamp;
  });
  let isHeld = () => false;
  const holdBack = (asked) => (isHeld = asked); // by the form: no draft keeps all that is typed into it

  const warn = () => {
    const isLoaded = Boolean(byId("jobs-header"));
    const since = isLoaded ? answers.awaitedSince : answers.at;
    const isSilent = since && Date.now() - since > SILENT_AFTER_MS && !document.hidden;
    if (isSilent && !isLoaded && byId("jobs-first")) over = UNLOADED;
    let warning = byId("jobs-silent");
    if (!over && !(isLoaded && isSilent)) {
      if (warning) warning.remove();
      return;
    }
    if (!warning) {
      const button = element("button", { type: "button", onclick: () => location.reload() });
      // The age is beside the alert and not in it: whatever changes in an alert is read out, each second.
      const parts = [element("span", { role: "alert" }), element("span", { className: "num" }), button];
      warning = element("p", { id: "jobs-silent", className: "trouble" }, ...parts);
      document.body.prepend(warning);
    }
    const quiet = Math.round((Date.now() - answers.at) / 1000);
    const [said, age, button] = warning.children;
    const text = over ? `${over.why}${isHeld() ? ` ${COPY}` : ""}` : "No answer from this page's server: what you see is old.";
    if (said.textContent !== text) said.textContent = text;
    age.textContent = over ? "" : `Last answer ${quiet} s ago.`;
    button.hidden = !over;
    button.textContent = over ? over.word : "";
    if (isLoaded && isSilent && quiet % 5 === 0) startAgain();
  };
  setInterval(warn, 1000);

  // A service that was started anew knows nothing of this window: only a new one can go on. Forms keep their drafts.
  // One that is only slow, to this or to many windows, would be made slower still.
  const startAgain = async () => {
    if (isBarred()) return;
    const asked = Date.now();
    const answer = await fetch(location.href, { method: "HEAD", redirect: "error" }).catch(() => null);
    if (answer && answer.status === 401) return signedOut();
    const isQuick = answer && answer.ok && Date.now() - asked < QUICK_MS;
    const isBack = isQuick && answers.stamp && Date.now() - answers.at > BACK_AFTER_MS;
    over = isBack ? BACK : null;
    if (isBack && !isHeld()) location.reload();
  };
  // The sign-in leads back to this address. Only our own is there for sure; of another one its owner has the say.
  const signedOut = () => {
    bar(BARRED_MS);
    if (over === ENDED) return;
    over = ENDED;
    answered(); // by this
    warn();
    const hasOwnSignIn = document.querySelector('form[action$="/sign-out"]');
    if (hasOwnSignIn && !isHeld()) setTimeout(() => location.reload(), TOLD_MS);
  };
  // Of a refusal Gradio says nothing.
  const fetchAnswer = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await fetchAnswer(...asked);
    if (answer.status === 401 && new URL(answer.url).pathname.includes("/gradio_api/")) signedOut();
    return answer;
  };
  Object.assign(jobs, { holdBack });
})();
