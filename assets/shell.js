// Keys of the shell: Ctrl-K (or ⌘K, or /) opens the jump dialog, arrows walk through its hits.
(() => {
  const typing = (node) => node && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName));
  document.addEventListener("keydown", (event) => {
    const opens = (event.key === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !typing(event.target));
    const trigger = document.getElementById("jump-open");
    if (opens && trigger) {
      event.preventDefault();
      trigger.click();
      return;
    }
    const dialog = event.target.closest?.("#jump");
    if (!dialog || !/^(ArrowDown|ArrowUp|Enter)$/.test(event.key)) return;
    const hits = [...dialog.querySelectorAll("a[data-hit]")];
    if (!hits.length) return;
    const at = hits.indexOf(document.activeElement);
    if (event.key === "Enter") {
      if (at === -1) { event.preventDefault(); hits[0].click(); }
      return;
    }
    event.preventDefault();
    const to = at + (event.key === "ArrowDown" ? 1 : -1);
    (hits[to] ?? (to < 0 ? dialog.querySelector("input") : hits[0]))?.focus();
  });
})();

// Leaving a form with changes asks first.
(() => {
  const QUESTION = "You have unsaved changes. Leave without saving?";
  const unsaved = () => document.querySelector("[data-unsaved]");
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (link && !link.target && unsaved() && !window.confirm(QUESTION)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }, true);
  // A form that says data-ask has changes from the first key until it is sent.
  document.addEventListener("input", (event) => event.target.closest?.("form[data-ask]")?.setAttribute("data-unsaved", ""));
  document.addEventListener("submit", (event) => event.target.removeAttribute?.("data-unsaved"), true);
  window.addEventListener("beforeunload", (event) => {
    if (unsaved()) event.preventDefault();
  });
})();
