// Shared by the charts and the viewer: their data, the chart library, the swatch of a curve.
const shortNumber = value => value === null || value === undefined ? "" : String(Number(value.toPrecision(4))).replace("-", "−");
const menuItem = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
const escapeText = text => String(text).replace(/[&<>]/g, c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
const FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const FAINT = 0.45;
let explored = null;
packed.then(found => { explored = found; });

// The policy allows its text by the digest.
let loading = null;
function library() {
  loading ??= (async () => {
    const script = document.createElement("script");
    script.textContent = await unpack("library");
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

// A trace of Plotly with the points of a curve, or with those that it passes by.
function curveTrace(name, style, points, on, more) {
  const thin = style.symbol.endsWith("-thin");
  return {
    name, x: points.map(p => p.x), y: points.map(p => p.y), type: "scatter",
    text: points.map(p => p.lines.map((line, k) => k ? escapeText(line) : `<b>${escapeText(line)}</b>`).join("<br>")),
    customdata: points.map(p => p.lines.join("; ")),
    mode: on ? "lines+markers" : "markers", hovertemplate: "%{text}<extra></extra>", showlegend: false,
    line: { color: style.colour, width: 1.25 * style.width, dash: style.dash ? style.dash.split(",").map(v => `${1.25 * v}px`).join() : "solid" },
    marker: {
      symbol: style.symbol, size: on ? (style.symbol === "star" ? 13 : 10) : 7, opacity: on ? 1 : FAINT,
      color: points.map(p => p.hollow ? "#fff" : style.colour),
      line: { width: thin ? 2 : 1.2, color: points.map(p => p.hollow || thin ? style.colour : "#fff") },
    },
    hoverlabel: { bgcolor: "#fff", bordercolor: style.colour, font: { color: "#222", family: FONT }, align: "left" },
    ...more,
  };
}
