// Links that ask first: with scripts in a dialog, without them on a page of their own.
export function openDialogs() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && open(link.dataset.dialog)) event.preventDefault();
    const cancel = event.target.closest("dialog [data-cancel]");
    if (cancel) {
      event.preventDefault();
      cancel.closest("dialog").close();
    }
  });
  // Only a whole click on the backdrop closes: a selection that ends there does not.
  document.addEventListener("mousedown", (event) => {
    if (event.target instanceof HTMLDialogElement && outside(event.target, event)) event.target.close();
  });
}

export function open(id) {
  const dialog = document.getElementById(id);
  if (!(dialog instanceof HTMLDialogElement) || document.querySelector("dialog[open]")) return false;
  dialog.showModal();
  dialog.querySelector("textarea")?.focus();
  return true;
}

function outside(dialog, event) {
  const box = dialog.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}
