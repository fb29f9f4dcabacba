"use strict";
// What is large and needs a script lies in the page compressed.
async function unpack(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), c => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
const packed = unpack("packed").then(JSON.parse);
packed.catch(() => { document.getElementById("unpacked").hidden = false; });
// A cell has the classes of its column; what is cut off shows under the pointer.
for (const head of document.querySelectorAll("th[data-cells]")) {
  for (const row of head.closest("table").tBodies[0].rows) {
    const cell = row.cells[head.cellIndex];
    cell.className = head.dataset.cells;
    cell.title = cell.textContent;
  }
}
// Sorting: numbers by value, an empty cell last in both directions, ties in the table's own order.
for (const table of document.querySelectorAll("table[id^=data-]")) {
  const body = table.tBodies[0];
  [...body.rows].forEach((row, i) => { row.dataset.i = i; });
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, k) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.classList.contains("number"), sign = down ? -1 : 1;
    const key = row => {
      const cell = row.cells[k];
      if (!numeric) return cell.textContent;
      const text = cell.dataset.v ?? cell.textContent;
      return text === "" ? null : text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
    };
    const empty = value => value === null || value === "";
    const pairs = [...body.rows].map(row => [key(row), row]);
    pairs.sort(([a, x], [b, y]) => {
      if (empty(a) !== empty(b)) return empty(a) ? 1 : -1;
      const order = empty(a) ? 0 : numeric ? (a === b ? 0 : a < b ? -1 : 1)
        : a.localeCompare(b, "en", { numeric: true });
      return order * sign || x.dataset.i - y.dataset.i;
    });
    body.append(...pairs.map(pair => pair[1]));
  }));
}
// Filters: every control of a table must agree before a row shows.
function applyFilters(name) {
  const table = document.getElementById("data-" + name);
  const heads = [...table.tHead.rows[0].cells].map(cell => cell.dataset.column);
  const controls = [...document.querySelectorAll(`[data-filter="${name}"]`)];
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const match = controls.every(control => {
      const wanted = control.value.trim();
      if (!wanted) return true;
      if (control.dataset.column) return row.cells[heads.indexOf(control.dataset.column)].textContent === control.value;
      return row.textContent.toLowerCase().includes(wanted.toLowerCase());
    });
    row.hidden = !match;
    shown += match;
  }
  const all = table.tBodies[0].rows.length;
  document.getElementById("count-" + name).textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
}
for (const control of document.querySelectorAll("[data-filter]")) {
  for (const kind of ["input", "change"]) control.addEventListener(kind, () => applyFilters(control.dataset.filter));
}
// Figures are in the page once; links and the viewer point at the same data.
packed.then(({ csv, figures }) => {
  for (const [id, svg] of Object.entries(figures)) {
    document.getElementById(`${id}-image`).src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  }
  for (const link of document.querySelectorAll("a.save")) link.href = document.getElementById(link.dataset.image).src;
  for (const link of document.querySelectorAll("[data-csv]")) {
    link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(csv[link.dataset.csv])}`;
  }
});
const viewer = document.getElementById("viewer"), zoom = document.getElementById("zoom");
const stage = viewer.querySelector(".stage");
function full(on) {
  stage.classList.toggle("full", on);
  zoom.setAttribute("aria-pressed", on);
  zoom.textContent = on ? "Fit" : "Full size";
}
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const image = button.querySelector("img"), save = button.closest("figure").querySelector("a.save");
    document.getElementById("viewer-image").src = image.src;
    document.getElementById("viewer-image").alt = image.alt;
    document.getElementById("viewer-caption").textContent = image.alt;
    Object.assign(document.getElementById("viewer-save"), { href: image.src, download: save.download, textContent: "Save " + save.textContent });
    viewer.classList.toggle("raster", !image.src.startsWith("data:image/svg"));
    full(innerWidth < 640);
    viewer.showModal();
  });
}
zoom.addEventListener("click", () => full(!stage.classList.contains("full")));
viewer.addEventListener("click", event => { if (event.target === viewer) viewer.close(); });
// The section in view is marked in the navigation.
const links = new Map([...document.querySelectorAll("nav li a")].map(a => [a.getAttribute("href").slice(1), a]));
const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach(link => link.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
document.querySelectorAll("section").forEach(section => watcher.observe(section));
