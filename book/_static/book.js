/* The ledger's buttons: show only the claims of one verdict, or all. */
document.addEventListener("DOMContentLoaded", () => {
  const buttons = document.querySelectorAll(".kexue-filter button");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      for (const other of buttons) other.setAttribute("aria-pressed", String(on && other === button));
      for (const row of document.querySelectorAll("tr[data-claim]")) {
        row.hidden = on && !row.classList.contains("kexue-" + button.dataset.verdict);
      }
    });
  }
});
