/* What the browser keeps for this page: `local` for good, `session` as long as the window is open. Where it must not, it
 * throws at the first touch; then this page itself keeps it, until it is loaded anew. */
(() => {
  const inPage = () => {
    const held = new Map();
    return {
      get: (name) => held.get(name),
      set: (name, text) => held.set(name, text),
      remove: (name) => held.delete(name),
      names: () => [...held.keys()],
    };
  };
  const inBrowser = (kind) => {
    const store = window[kind];
    return {
      get: (name) => store.getItem(name),
      set: (name, text) => store.setItem(name, text),
      remove: (name) => store.removeItem(name),
      names: () => Object.keys(store),
    };
  };
  const storeOf = (kind) => {
    try {
      return inBrowser(kind);
    } catch {
      return inPage();
    }
  };
  Object.assign(jobs, { local: storeOf("localStorage"), session: storeOf("sessionStorage") });
})();
