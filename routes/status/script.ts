/**
 * Keeps the page current: puts in what the router has made. It says so in words that are read out, and only when that
 * changes; whoever wants the page to hold still can pause it. Where it is not run, the page is as good as when it came.
 */
export const script = `
(() => {
  "use strict";
  const firstRetryMs = 1000;
  const live = document.getElementById("live");
  const button = document.getElementById("pause");
  // The router alone makes what is put in, and has escaped it; no script in it would run.
  const rules = { createHTML: (html) => html };
  const policy = window.trustedTypes ? window.trustedTypes.createPolicy("sallyport", rules) : rules;
  let source = null;
  let retry = 0;
  let failures = 0;
  let paused = false;
  const say = (words) => {
    if (live.textContent !== words) live.textContent = words;
  };
  const stop = () => {
    clearTimeout(retry);
    if (source !== null) source.close();
    source = null;
  };
  const start = () => {
    stop();
    if (paused || document.hidden) return;
    source = new EventSource("/status/events");
    source.addEventListener("part", ({ data }) => {
      failures = 0;
      say("Live.");
      const { id, html } = JSON.parse(data);
      const element = document.getElementById(id);
      if (element !== null) element.innerHTML = policy.createHTML(html);
    });
    source.addEventListener("error", () => {
      stop();
      // A stream ends from time to time, and begins anew at once.
      if (++failures > 1) say("Not live: trying again.");
      retry = setTimeout(start, Math.min(firstRetryMs * 2 ** failures, 60000));
    });
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    say(paused ? "Paused." : "Live.");
    start();
  });
  document.addEventListener("visibilitychange", start);
  start();
})();
`;
