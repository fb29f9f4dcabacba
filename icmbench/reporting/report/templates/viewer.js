// Viewer: one canvas of the crop's own pixels, left of the slider one image, right of it another.
packed.then(() => document.querySelectorAll("[data-viewer]").forEach(box => {
  const { images, metrics } = explored;
  const part = role => box.querySelector(`[data-role=${role}]`), sides = ["left", "right"];
  const canvas = part("canvas"), slider = part("slider"), loaded = new Map(), every = 600; // milliseconds
  let shown = null, timer = null, bitmaps = [null, null];
  const number = value => shortNumber(value) || "—";
  const image = () => images[part("image").value];
  const entry = side => image().entries[part(side).value];

  function load(address) {
    if (!loaded.has(address)) {
      const picture = new Image();
      picture.src = address;
      loaded.set(address, picture.decode().then(() => picture));
    }
    return loaded.get(address);
  }
  // Alone: 0 or 1, the side that fills the canvas; null: both, divided at the slider.
  function paint() {
    const { width, height } = canvas, at = shown === null ? Number(slider.value) : shown === 0 ? width : 0;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    if (at > 0) context.drawImage(bitmaps[0], 0, 0, at, height, 0, 0, at, height);
    if (at < width) context.drawImage(bitmaps[1], at, 0, width - at, height, at, 0, width - at, height);
    part("edge").hidden = shown !== null;
    part("edge").style.left = `${100 * at / width}%`;
    for (const [k, side] of sides.entries()) {
      part(`${side}-name`).textContent = entry(side).family;
      part(`${side}-name`).hidden = shown !== null && shown !== k;
    }
  }
  // A whole number of the screen's pixels per pixel, whatever the device's ratio.
  function resize() {
    const ratio = devicePixelRatio || 1, scale = Math.max(1, Math.round(part("zoom").value * ratio)) / ratio;
    part("stage").style.width = `${canvas.width * scale}px`;
  }
  function flicker(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => { shown = shown === 0 ? 1 : 0; paint(); }, every) : null;
    shown = on ? 0 : null;
    part("flicker").setAttribute("aria-pressed", on);
    part("flicker").textContent = on ? "Stop flicker" : "Flicker";
    paint();
  }
  function values() {
    const [a, b] = sides.map(entry), body = part("values");
    for (const [side, each] of [["left", a], ["right", b]]) part(`${side}-spec`).textContent = each.codec || each.family;
    const known = value => value !== null && value !== undefined;
    const rows = [["Rate", "bpp", false, a.bpp, b.bpp]];
    for (const [name, m] of Object.entries(metrics)) {
      if (image().entries.some(each => known(each.values[name]))) rows.push([m.title, m.unit, m.higher, a.values[name], b.values[name]]);
    }
    body.replaceChildren(...rows.map(([title, unit, higher, x, y]) => {
      const row = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      head.textContent = `${title}${unit ? ` (${unit})` : ""} ${higher ? "↑" : "↓"}`;
      row.append(head, ...[[x, y], [y, x]].map(([mine, other]) => {
        const cell = document.createElement("td");
        cell.className = "number";
        cell.textContent = number(mine);
        if (known(mine) && known(other) && mine !== other && (mine > other) === higher) cell.classList.add("better");
        return cell;
      }));
      return row;
    }));
  }
  async function show() {
    const wanted = sides.map(side => entry(side).source);
    const found = await Promise.all(wanted.map(load));
    if (sides.some((side, k) => entry(side).source !== wanted[k])) return; // another was chosen meanwhile
    bitmaps = found;
    const [left, top, width, height] = image().crop;
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      slider.max = width;
      slider.value = Math.round(width / 2);
    }
    const whole = width === image().size[0] && height === image().size[1];
    part("place").textContent = (whole ? `The whole image, ${width} × ${height} pixels.`
      : `${width} × ${height} of ${image().size.join(" × ")} pixels, from (${left}, ${top}): the most detail.`)
      + " Pixels are exact, coded without loss; rate and metrics are of the whole image."
      + (image().left_out.length ? ` No point near this rate: ${image().left_out.join(", ")}.` : "");
    resize();
    values();
    paint();
  }
  function choose() {
    for (const [side, first] of [["left", 0], ["right", 1]]) {
      part(side).replaceChildren(...image().entries.map((each, k) => menuItem(k, each.bpp === null ? each.family : `${each.family}, ${number(each.bpp)} bpp`)));
      part(side).value = first;
    }
    slider.max = 1;
    show();
  }
  part("image").append(...images.map((each, k) => menuItem(k, each.name)));
  part("image").addEventListener("change", choose);
  for (const side of sides) part(side).addEventListener("change", show);
  part("zoom").addEventListener("change", resize);
  part("flicker").addEventListener("click", () => flicker(timer === null));
  slider.addEventListener("input", () => { if (timer !== null) flicker(false); else paint(); });
  function drag(event) {
    const frame = canvas.getBoundingClientRect();
    slider.value = Math.round((event.clientX - frame.left) / frame.width * canvas.width);
    slider.dispatchEvent(new Event("input"));
  }
  canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); drag(event); });
  canvas.addEventListener("pointermove", event => { if (event.buttons) drag(event); });
  box.hidden = false;
  choose();
}));
