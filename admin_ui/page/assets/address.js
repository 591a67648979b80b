/* The address says what the page shows. The browser's own is the truth; what the server was told last may be older. */
(() => {
  const VIEWS = ["jobs", "history", "logs", "new", "edit"];
  const address = () => location.search || "?view=jobs";
  const value = (name) => new URLSearchParams(address()).get(name) || "";
  const view = () => VIEWS.find((name) => name === value("view")) || "jobs";
  // Returns this address with some fields changed; "" takes one away.
  const addressWith = (fields) => {
    const query = new URLSearchParams(address());
    for (const [name, text] of Object.entries(fields)) text ? query.set(name, text) : query.delete(name);
    return `?${query}`;
  };
  Object.assign(jobs, { address, addressWith, value, view });
})();
