/* Times: the server writes UTC; here they become the chosen zone's, and "3 min ago" counts on. */
(() => {
  const { local, now, touch } = jobs;
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const TWO = "2-digit";
  const EXACT = { year: "numeric", month: TWO, day: TWO, hour: TWO, minute: TWO, second: TWO, timeZoneName: "short" };

  const span = (seconds) => {
    const [unit, size] = UNITS.find(([, each]) => seconds >= each) || UNITS[3];
    return `${Math.floor(seconds / size)} ${unit}`;
  };
  const relative = (at) => {
    const seconds = (now() - at) / 1000;
    return seconds >= 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
  };
  const chosenZone = () => local.get("jobs-zone") || "utc";
  const formats = new Map();
  const format = (options, timeZone) => {
    try {
      return new Intl.DateTimeFormat("sv-SE", { ...options, timeZone });
    } catch {
      return format(options, "UTC"); // the server may know newer zones than the browser
    }
  };
  // Returns what formats times as `options` say, in the zone that was chosen.
  const inZone = (options, jobZone) => {
    const zone = { utc: "UTC", job: jobZone || "UTC", browser: undefined }[chosenZone()];
    const name = `${zone} ${Object.keys(options)}`;
    if (!formats.has(name)) formats.set(name, format(options, zone));
    return formats.get(name);
  };

  const written = new WeakMap(); // an absolute time and what it was made of: to format all of them each second is dear
  const exactly = (time, at) => {
    const of = `${time.dateTime} ${time.dataset.zone} ${chosenZone()}`;
    const known = written.get(time);
    if (known && known.of === of) return known.text;
    const text = inZone(EXACT, time.dataset.zone).format(at);
    written.set(time, { of, text });
    return text;
  };
  const tell = (time) => {
    const at = new Date(time.dateTime);
    let text = exactly(time, at);
    if (time.title !== text) time.title = text; // also where Gradio wrote the server's over it
    if ("relative" in time.dataset) text = relative(at);
    else if ("elapsed" in time.dataset) text = span(Math.max(0, (now() - at) / 1000));
    if (time.textContent !== text) time.textContent = text;
    const usual = Number(time.dataset.usual);
    if (usual) time.classList.toggle("late", now() - at > usual * 1000);
  };
  const tellAll = () => document.querySelectorAll("#jobs time, #jobs-first time").forEach(tell);
  const showChoice = () => {
    document.querySelectorAll("#jobs-zone").forEach((select) => {
      if (select.value !== chosenZone()) select.value = chosenZone();
    });
  };
  document.addEventListener("change", ({ target }) => {
    if (target.id !== "jobs-zone") return;
    local.set("jobs-zone", target.value);
    tellAll();
  });
  touch(showChoice);
  // At once, not with the next frame as others do: whole dates take more lines, and the window would be scrolled for them.
  new MutationObserver(tellAll).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["datetime", "title"] });
  setInterval(tellAll, 1000);
  Object.assign(jobs, { inZone });
})();
