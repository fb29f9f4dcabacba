// Shared by the charts and the viewer: their data, the chart library, the swatch of a curve.
const shortNumber = value => value === null || value === undefined ? "" : String(Number(value.toPrecision(4))).replace("-", "−");
const menuItem = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
const explored = document.getElementById("explored") && JSON.parse(document.getElementById("explored").textContent);

// The library lies in the page compressed; the policy allows its text by the digest.
let loading = null;
function library() {
  loading ??= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("library").textContent.trim()), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  })();
  return loading;
}

// A swatch of a curve: its dash pattern and its marker, as in the static figures.
function swatch(style, hollow) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const add = (name, values) => {
    const part = svg.appendChild(document.createElementNS(svg.namespaceURI, name));
    for (const [key, value] of Object.entries(values)) part.setAttribute(key, value);
  };
  svg.setAttribute("viewBox", "-18 -7 36 14");
  svg.setAttribute("aria-hidden", "true");
  add("line", { x1: -18, x2: 18, y1: 0, y2: 0, stroke: style.colour, "stroke-width": style.width, "stroke-dasharray": style.dash });
  add("path", { d: style.marker, fill: hollow ? "#fff" : style.colour, stroke: hollow || style.symbol.endsWith("-thin") ? style.colour : "#fff", "stroke-width": 1 });
  return svg;
}

// Round numbers on a log axis, as the static figures have them; too few of them: null.
function logTicks([low, high], most) {
  const choices = [[1, 1.5, 2, 3, 4, 5, 7], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]];
  const decades = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, k) => Math.floor(low) + k);
  for (const steps of choices) {
    const found = decades.flatMap(d => steps.map(s => Number(`${s}e${d}`))).filter(v => Math.log10(v) >= low && Math.log10(v) <= high);
    if (found.length <= most) return found.length > 2 ? found : null;
  }
  return null;
}
