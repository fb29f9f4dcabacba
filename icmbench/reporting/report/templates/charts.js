// Charts: curves of the run's tables, drawn by Plotly in the state of the menus.
{
const STEP = 0.06, ZOOM = 1.5, MOST_TICKS = 9;
const between = (lo, hi) => lo === null || hi === null ? "" : ` (${shortNumber(lo)} … ${shortNumber(hi)})`;
const unit = metric => metric.unit ? ` ${metric.unit}` : "";
const faded = (colour, alpha) => `rgba(${[1, 3, 5].map(k => parseInt(colour.slice(k, k + 2), 16)).join()},${alpha})`;

class Chart {
  constructor(box, chart) {
    this.box = box;
    this.chart = chart;
    this.off = new Set();
    this.part = role => box.querySelector(`[data-role=${role}]`);
    this.plot = this.part("plot");
    this.at = null;
    this.hint = this.part("readout").textContent;
    for (const [k, view] of chart.views.entries()) this.part("view").append(menuItem(k, view.name));
    this.part("view").addEventListener("change", () => { this.fillMetrics(); this.draw(); });
    for (const role of ["metric", "scale", "intervals"]) this.part(role).addEventListener("change", () => this.draw());
    this.part("in").addEventListener("click", () => this.zoom(1 / ZOOM));
    this.part("out").addEventListener("click", () => this.zoom(ZOOM));
    this.part("reset").addEventListener("click", () => this.reset());
    this.plot.addEventListener("keydown", event => this.key(event));
    for (const [role, on] of [["all", true], ["none", false]]) this.part(role).addEventListener("click", () => {
      for (const control of box.querySelectorAll("[data-curve]")) { control.checked = on; this.turn(control); }
      this.draw();
    });
    this.fillMetrics();
  }
  get view() { return this.chart.views[this.part("view").value]; }
  get metric() { return this.view.metrics[this.part("metric").value] ?? null; }

  fillMetrics() {
    const menu = this.part("metric"), before = menu.selectedOptions[0]?.dataset.name, groups = new Map();
    menu.replaceChildren();
    for (const [k, metric] of this.view.metrics.entries()) {
      if (!groups.has(metric.section)) {
        const group = Object.assign(document.createElement("optgroup"), { label: metric.section });
        groups.set(metric.section, group);
        menu.append(group);
      }
      const item = menuItem(k, metric.title);
      item.dataset.name = metric.name;
      item.selected = metric.name === before;
      groups.get(metric.section).append(item);
    }
  }

  turn(control) {
    if (control.checked) this.off.delete(control.dataset.curve);
    else this.off.add(control.dataset.curve);
  }

  // The switches of the curves that the metric has, kept in their state.
  fillCurves(ours, others) {
    for (const [role, names, styles, prefix] of [["ours", ours, explored.styles, ""], ["others", others, explored.published, "published "]]) {
      const list = this.part(role);
      list.closest("fieldset").hidden = !names.length;
      const wanted = names.join("\n");
      if (list.dataset.names === wanted) continue;
      list.dataset.names = wanted;
      list.replaceChildren(...names.map(name => {
        const label = document.createElement("label"), control = document.createElement("input");
        Object.assign(control, { type: "checkbox", checked: !this.off.has(prefix + name) });
        control.dataset.curve = prefix + name;
        control.addEventListener("change", () => { this.turn(control); this.draw(); });
        label.append(control, swatch(styles[name], prefix !== ""), styles[name].label);
        return label;
      }));
    }
  }

  // Traces of an entry: the band of the intervals, the points off the curve, the curve.
  ours(family) {
    const metric = this.metric, style = explored.styles[family], intervals = this.part("intervals").checked;
    const points = metric.points.filter(p => p[0] === family).map(p => ({
      x: p[2], y: p[5], lo: p[6], hi: p[7], on: p[8], hollow: p[9],
      lines: [p[1], `rate ${shortNumber(p[2])} bpp${between(p[3], p[4])}`,
        `${metric.title} ${shortNumber(p[5])}${unit(metric)}${between(p[6], p[7])}`,
        ...(p[8] || metric.log ? [] : ["not Pareto-optimal"])],
    }));
    const curve = points.filter(p => p.on), rest = points.filter(p => !p.on), traces = [];
    const known = p => p.lo !== null && p.hi !== null;
    const bars = part => intervals && part.some(known) ? { error_y: {
      type: "data", symmetric: false, color: faded(style.colour, FAINT), thickness: 1, width: 0,
      array: part.map(p => known(p) ? p.hi - p.y : 0), arrayminus: part.map(p => known(p) ? p.y - p.lo : 0),
    } } : {};
    const banded = curve.filter(known);
    if (intervals && banded.length > 1) traces.push({
      x: [...banded.map(p => p.x), ...banded.map(p => p.x).reverse()],
      y: [...banded.map(p => p.hi), ...banded.map(p => p.lo).reverse()],
      type: "scatter", mode: "lines", fill: "toself", line: { width: 0 }, fillcolor: faded(style.colour, 0.13), hoverinfo: "skip", showlegend: false,
    });
    if (rest.length) traces.push(curveTrace(family, style, rest, false, bars(rest)));
    if (curve.length) traces.push(curveTrace(family, style, curve, true, banded.length > 1 ? {} : bars(curve)));
    return traces;
  }

  // Published points of a codec: dashed, hollow.
  others(codec) {
    const style = explored.published[codec];
    return curveTrace(style.label, style, this.metric.published.filter(p => p.codec === codec).map(p => ({
      x: p.bpp, y: p.value, hollow: true,
      lines: [style.label, `rate ${shortNumber(p.bpp)} bpp, bits: ${p.bits}`,
        `${this.metric.title} ${shortNumber(p.value)}${unit(this.metric)}`, p.source, p.how_read],
    })), true);
  }

  // The axes at rest: they hold all curves, switched on or not.
  ranges() {
    const metric = this.metric, log = this.part("scale").value === "log";
    const pairs = metric.points.length ? metric.points.map(p => [p[2], p[5]]) : metric.published.map(p => [p.bpp, p.value]);
    const span = (values, low, high, least) => {
      const ends = [Math.min(...values), Math.max(...values)], width = Math.max(ends[1] - ends[0], least);
      const centre = (ends[0] + ends[1]) / 2;
      return [centre - width * (0.5 + low), centre + width * (0.5 + high)];
    };
    const x = pairs.map(p => log ? Math.log10(p[0]) : p[0]), y = pairs.map(p => metric.log ? Math.log10(p[1]) : p[1]);
    const across = log ? span(x, STEP, STEP, 0.3) : [0, Math.max(...x) * (1 + STEP)];
    const [low, high] = metric.range ?? span(y, STEP, STEP, metric.log ? 0.3 : 1e-6), to = log ? Math.log10 : Number;
    const published = metric.published.filter(p => to(p.bpp) >= across[0] && to(p.bpp) <= across[1]).map(p => p.value);
    const room = STEP * (Math.max(high, ...published) - Math.min(low, ...published));
    return { x: across, y: [Math.min(low, ...published.map(v => v - room)), Math.max(high, ...published.map(v => v + room))] };
  }

  layout(ranges) {
    const metric = this.metric, log = this.part("scale").value === "log";
    const axis = (words, range, kind, format) => ({
      title: { text: words, standoff: 8 }, range, type: kind, tickformat: format, gridcolor: "#e3e5e8", zeroline: false,
      linecolor: "#8a8d91", showline: true, ticks: "outside", tickcolor: "#8a8d91", automargin: true, hoverformat: "~g",
    });
    const better = metric.higher ? "higher is better ↑" : "lower is better ↓";
    const ceiling = metric.ceiling === null ? {} : {
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: metric.ceiling, y1: metric.ceiling, line: { color: "#222", width: 1.5, dash: "dot" } }],
      annotations: [{ xref: "paper", x: 0, y: metric.ceiling, text: `originals ${shortNumber(metric.ceiling)}`, showarrow: false, xanchor: "left", yanchor: metric.higher ? "bottom" : "top", bgcolor: "rgba(255,255,255,.8)" }],
    };
    return {
      xaxis: axis(`rate (bits per pixel${log ? ", log scale" : ""})`, [...ranges.x], log ? "log" : "linear", "~g"),
      yaxis: axis(`${escapeText(metric.title)}${metric.unit ? ` (${escapeText(metric.unit)})` : ""}, ${better}`, [...ranges.y], metric.log ? "log" : "linear", metric.log ? "~g" : undefined),
      font: { family: FONT, size: 13, color: "#222" },
      margin: { l: 62, r: 14, t: 12, b: 48 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest", hoverdistance: 18,
      dragmode: "zoom", showlegend: false, separators: ".", ...ceiling,
      uirevision: [this.part("view").value, metric.name, log].join(), // a switched curve leaves the axes as they are
    };
  }

  async draw() {
    const Plotly = await library(), metric = this.metric;
    this.at = null;
    this.part("readout").textContent = this.hint;
    if (!metric) {
      this.part("note").textContent = `No codec has a point. ${this.view.note}`;
      Plotly.purge(this.plot);
      this.fillCurves([], []);
      return;
    }
    const ours = [...new Set(metric.points.map(p => p[0]))], others = [...new Set(metric.published.map(p => p.codec))];
    this.fillCurves(ours, others);
    const traces = [
      ...others.filter(name => !this.off.has(`published ${name}`)).map(name => this.others(name)),
      ...ours.filter(name => !this.off.has(name)).flatMap(name => this.ours(name)),
    ];
    this.home = this.ranges();
    await Plotly.react(this.plot, traces, this.layout(this.home), { displayModeBar: false, responsive: true });
    await this.ticks();
    this.plot.setAttribute("aria-label", `${metric.title} against rate, ${this.view.name}. Arrow keys: points and curves; + and −: zoom; 0: reset.`);
    if (!this.listening) {
      this.listening = true;
      this.plot.on("plotly_relayout", change => { if (!("xaxis.tickmode" in change)) this.ticks(); });
      this.plot.on("plotly_hover", event => { this.part("readout").textContent = event.points[0].customdata; });
    }
    const beyond = traces.filter(t => t.hoverinfo !== "skip").flatMap(t => t.y.map((y, k) => [t.x[k], y])).filter(([x, y]) => !this.inside(x, y)).length;
    this.part("note").textContent = (metric.section === "Time"
      ? "Median seconds per image over its megapixels, one thread; bands: half the interquartile range each way. Hollow: other keys of the same codec entry (scale, decoder)."
      : metric.section === "Distribution" ? "Distance of the distributions of patches of reconstructions and of originals; no intervals. Hollow: coded at reduced scale." : this.view.note)
      + (beyond ? ` Points beyond the axes at rest: ${beyond}; zoom out or double-click the chart.` : "");
  }

  inside(x, y) {
    const to = (value, axis) => axis.type === "log" ? Math.log10(value) : value, { xaxis, yaxis } = this.layout(this.home);
    const held = (value, axis) => to(value, axis) >= axis.range[0] && to(value, axis) <= axis.range[1];
    return held(x, xaxis) && held(y, yaxis);
  }

  async ticks() {
    const change = {};
    for (const name of ["xaxis", "yaxis"]) {
      const { type, range } = this.plot._fullLayout[name], found = type === "log" ? logTicks(range, MOST_TICKS) : null;
      change[`${name}.tickmode`] = found ? "array" : "auto";
      change[`${name}.tickvals`] = found;
      change[`${name}.ticktext`] = found && found.map(shortNumber);
    }
    return (await library()).relayout(this.plot, change);
  }

  async zoom(factor) {
    const Plotly = await library(), change = {};
    for (const name of ["xaxis", "yaxis"]) {
      const [low, high] = this.plot.layout[name].range, centre = (low + high) / 2;
      change[`${name}.range`] = [low, high].map(end => centre + (end - centre) * factor);
    }
    return Plotly.relayout(this.plot, change);
  }

  async reset() {
    return (await library()).relayout(this.plot, { "xaxis.range": [...this.home.x], "yaxis.range": [...this.home.y] });
  }

  // Left and right go along the points of an entry, up and down to the next entry.
  async key(event) {
    if (event.key === "+" || event.key === "=") return this.zoom(1 / ZOOM);
    if (event.key === "-") return this.zoom(ZOOM);
    if (event.key === "0") return this.reset();
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }, move = moves[event.key];
    const Plotly = await library(), entries = new Map();
    for (const [curveNumber, trace] of this.plot.data.entries()) {
      if (trace.hoverinfo === "skip") continue;
      const points = trace.x.map((x, pointNumber) => ({ x, curveNumber, pointNumber }));
      entries.set(trace.name, [...entries.get(trace.name) ?? [], ...points].sort((p, q) => p.x - q.x));
    }
    const lists = [...entries.values()];
    if (!move || !lists.length) return;
    const [entry, point] = this.at ?? [0, move[1] < 0 ? 0 : -1], next = (entry + move[0] + lists.length) % lists.length;
    const count = lists[next].length;
    this.at = [next, move[0] ? Math.min(Math.max(point, 0), count - 1) : (point + move[1] + count) % count];
    const { curveNumber, pointNumber } = lists[next][this.at[1]];
    Plotly.Fx.hover(this.plot, [{ curveNumber, pointNumber }]);
    this.part("readout").textContent = this.plot.data[curveNumber].customdata[pointNumber];
  }
}

packed.then(() => {
  for (const box of document.querySelectorAll("[data-chart]")) {
    box.hidden = false;
    const chart = new Chart(box, explored.charts.find(each => each.name === box.dataset.chart));
    chart.plot.addEventListener("keydown", event => { if (event.key.startsWith("Arrow")) event.preventDefault(); });
    chart.draw().catch(error => {
      chart.part("readout").textContent = `This browser cannot draw the chart (${error.message}); the tables below hold its numbers.`;
    });
  }
});
}
