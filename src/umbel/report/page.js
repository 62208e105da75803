// Sortable columns. Without JavaScript the tables are complete, in the study's order.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[index].dataset.value;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined) {
          if (x !== undefined || y !== undefined) return x === undefined ? 1 : -1;
          return (up ? 1 : -1) * a.cells[index].textContent.localeCompare(b.cells[index].textContent);
        }
        return (up ? 1 : -1) * (Number(x) - Number(y));
      });
      table.tBodies[0].append(...rows);
    });
  });
}
// Closed parts are printed too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
