"use strict";
const samples = JSON.parse(document.getElementById("samples").textContent);
const about = JSON.parse(document.getElementById("about").textContent);
const at = id => document.getElementById(id);

// An element with a class, a text and children. Text is never markup.
function make(tag, name, text, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined && text !== null) element.textContent = text;
  element.append(...children);
  return element;
}

function color(label) {
  let hash = 7;
  for (const c of String(label)) hash = (hash * 31 + c.codePointAt(0)) % 360;
  return `hsl(${(hash * 137) % 360} 85% 55%)`;
}

const filter = { fields: new Set(about.fields), label: "", least: 0, which: "all" };

function passes(shape) {
  if (filter.label && shape.l !== filter.label) return false;
  return shape.c === null || shape.c === undefined || shape.c >= filter.least;
}

// The shapes of a sample that are shown, each with its field.
function shapes(sample) {
  const all = [];
  for (const field of about.fields) {
    if (!filter.fields.has(field)) continue;
    for (const shape of sample.labels[field] ?? []) if (passes(shape)) all.push([field, shape]);
  }
  return all;
}

function differs(sample) {
  const names = field => (sample.labels[field] ?? []).map(shape => shape.l).sort().join("\n");
  const truth = names(about.truth);
  return about.fields.some(f => f !== about.truth && filter.fields.has(f) && f in sample.labels && names(f) !== truth);
}

function wanted(sample) {
  switch (filter.which) {
    case "failed": return sample.failure !== undefined;
    case "labelled": return shapes(sample).length > 0;
    case "different": return about.truth !== null && differs(sample);
    default: return !filter.label || shapes(sample).length > 0;
  }
}

function described(shape) {
  const name = shape.l ?? "(no label)";
  return shape.c === null || shape.c === undefined ? name : `${name} ${shape.c.toFixed(3)}`;
}

function bytes(raster) {
  const text = atob(raster.d);
  return Uint8Array.from(text, c => c.charCodeAt(0));
}

// A raster as an image: each byte becomes a color by `paint(byte)`, `[red, green, blue, alpha]`.
function painted(raster, paint) {
  const canvas = document.createElement("canvas");
  canvas.width = raster.w;
  canvas.height = raster.h;
  const context = canvas.getContext("2d");
  const image = context.createImageData(raster.w, raster.h);
  bytes(raster).forEach((byte, i) => image.data.set(paint(byte), i * 4));
  context.putImageData(image, 0, 0);
  return canvas;
}

function rgb(css) {
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = css;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

function drawShape(context, shape, width, height) {
  const paint = color(shape.l);
  context.strokeStyle = context.fillStyle = paint;
  switch (shape.t) {
    case "box": {
      const [x, y, w, h] = [shape.b[0] * width, shape.b[1] * height, shape.b[2] * width, shape.b[3] * height];
      if (shape.r) {
        const [r, g, b] = rgb(paint);
        context.drawImage(painted(shape.r, v => [r, g, b, v ? 130 : 0]), x, y, w, h);
      }
      context.strokeRect(x, y, w, h);
      break;
    }
    case "lines":
      for (const line of shape.p) {
        context.beginPath();
        line.forEach(([x, y], i) => i ? context.lineTo(x * width, y * height) : context.moveTo(x * width, y * height));
        if (shape.closed) context.closePath();
        if (shape.filled) { context.globalAlpha = 0.4; context.fill(); context.globalAlpha = 1; }
        context.stroke();
      }
      break;
    case "points":
      for (const [x, y] of shape.p) {
        if (x === null || y === null) continue;
        context.beginPath();
        context.arc(x * width, y * height, Math.max(2, width / 100), 0, 7);
        context.fill();
      }
      break;
    case "classes": {
      const colors = shape.n.map(n => n === 0 ? [0, 0, 0, 0] : [...rgb(color(n)), 140]);
      context.drawImage(painted(shape.r, v => colors[v]), 0, 0, width, height);
      break;
    }
    case "heat":
      context.drawImage(painted(shape.r, v => [v, Math.max(0, 2 * v - 255), 255 - v, 150]), 0, 0, width, height);
      break;
  }
}

function picture(sample, shown, scale) {
  const image = make("img");
  image.alt = sample.name;
  // Tiny images are shown larger.
  const factor = Math.max(1, Math.ceil(128 / Math.max(...sample.size)));
  const [width, height] = sample.size.map(side => side * factor);
  image.width = width;
  image.height = height;
  image.src = sample.image;
  const canvas = make("canvas");
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.lineWidth = 2 * Math.max(1, scale / 2);
  for (const [, shape] of shown) drawShape(context, shape, canvas.width, canvas.height);
  return make("div", "picture", undefined, image, canvas);
}

function list(shown, limit) {
  const labels = make("ul", "labels");
  for (const [field, shape] of shown.slice(0, limit)) {
    const mark = make("i");
    mark.style.background = color(shape.l);
    const text = shape.t === "classes" ? `classes ${shape.n.filter(n => n !== 0).join(", ")}`
      : shape.t === "heat" ? "heat map" : described(shape);
    labels.append(make("li", undefined, undefined, mark, `${field}: ${text}`));
  }
  if (shown.length > limit) labels.append(make("li", undefined, `and ${shown.length - limit} more`));
  return labels;
}

function content(sample, limit, scale) {
  const shown = shapes(sample);
  const parts = [];
  if (sample.image) parts.push(picture(sample, shown, scale));
  if (sample.text !== undefined) parts.push(make("p", "text", sample.text));
  if (sample.failure !== undefined) parts.push(make("div", "failure", sample.failure));
  parts.push(make("div", "name", sample.name), list(shown, limit));
  return parts;
}

// Cells are empty until they come near the screen.
const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const shown = entry.isIntersecting ? content(samples[entry.target.dataset.index], 4, 2) : [];
    entry.target.replaceChildren(...shown);
  }
}, { rootMargin: "600px" });

function open(sample) {
  const original = sample.original ? [make("p", "name", `${sample.original[0]} × ${sample.original[1]} pixels`)] : [];
  at("shown").replaceChildren(...content(sample, 500, 4), ...original);
  at("detail").showModal();
}

function show() {
  watcher.disconnect();
  const cells = [];
  samples.forEach((sample, index) => {
    if (!wanted(sample)) return;
    const cell = make("button", "sample");
    cell.type = "button";
    cell.dataset.index = index;
    cell.addEventListener("click", () => open(sample));
    cells.push(cell);
  });
  at("gallery").replaceChildren(...cells);
  at("count").textContent = `${cells.length} of ${samples.length} samples`;
  cells.forEach(cell => watcher.observe(cell));
}

function counts(statistics) {
  const table = make("table", "counts");
  const most = Math.max(1, ...statistics.classes.map(([, count]) => count));
  for (const [name, count] of statistics.classes.slice(0, 200)) {
    const bar = make("div", "bar");
    bar.style.width = `${100 * count / most}%`;
    const button = make("button", undefined, name);
    button.type = "button";
    button.addEventListener("click", () => { at("label").value = name; update(); });
    table.append(make("tr", undefined, undefined, make("td", undefined, undefined, button), make("td", undefined, count), make("td", undefined, undefined, bar)));
  }
  return table;
}

function histogram(bins) {
  const most = Math.max(1, ...bins);
  const columns = bins.map((count, i) => {
    const column = make("div");
    column.style.height = `${100 * count / most}%`;
    column.title = `${(i / bins.length).toFixed(2)} to ${((i + 1) / bins.length).toFixed(2)}: ${count}`;
    return column;
  });
  const axis = make("div", "axis", undefined, make("span", undefined, "0"), make("span", undefined, "confidence"), make("span", undefined, "1"));
  return make("div", undefined, undefined, make("div", "histogram", undefined, ...columns), axis);
}

function matrix(confusion) {
  const shown = name => name ?? "(none)";
  const head = make("tr", undefined, undefined, make("th"), ...confusion.names.map(name => {
    const cell = make("th", undefined, shown(name));
    cell.title = shown(name);
    return cell;
  }));
  const table = make("table", "matrix", undefined, head);
  confusion.rows.forEach((row, i) => {
    const most = Math.max(1, ...row);
    table.append(make("tr", undefined, undefined, make("th", undefined, shown(confusion.names[i])), ...row.map(count => {
      const cell = make("td", undefined, count || "");
      cell.style.background = count ? `rgb(74 127 193 / ${0.15 + 0.6 * count / most})` : "";
      return cell;
    })));
  });
  const share = confusion.all ? (100 * confusion.correct / confusion.all).toFixed(1) : "0";
  const more = confusion.left_out ? `; ${confusion.left_out} rarer classes are not shown` : "";
  return make("div", undefined, undefined,
    make("p", "name", `rows: ${about.truth}; ${confusion.correct} of ${confusion.all} agree (${share} %)${more}`),
    make("div", "scroll", undefined, table));
}

function statistics() {
  for (const field of about.fields) {
    const of = about.statistics[field];
    if (!of) continue;
    const part = make("div", undefined, undefined, make("h2", undefined, field), make("p", "name", `${of.samples} samples`));
    part.dataset.field = field;
    if (of.classes.length) part.append(counts(of));
    if (of.others) part.append(make("p", "name", `${of.others} labels of rarer classes`));
    if (of.histogram.some(count => count)) part.append(histogram(of.histogram));
    if (of.confusion) part.append(matrix(of.confusion));
    at("statistics").append(part);
  }
}

function update() {
  filter.label = at("label").value;
  filter.least = Number(at("confidence").value);
  filter.which = at("which").value;
  at("least").textContent = filter.least.toFixed(2);
  filter.fields = new Set([...at("fields").querySelectorAll("input:checked")].map(box => box.value));
  show();
}

at("title").textContent = about.title;
at("summary").textContent = `${about.samples} samples, ${about.failed} failed` + (about.truth ? `, compared with ${about.truth}` : "");
for (const field of about.fields) {
  const box = make("input");
  box.type = "checkbox";
  box.value = field;
  box.checked = true;
  at("fields").append(make("label", undefined, undefined, box, ` ${field}`));
}
for (const name of new Set(Object.values(about.statistics).flatMap(of => of.classes.slice(0, 500).map(([name]) => name)))) {
  const option = make("option");
  option.value = name;
  at("labels").append(option);
}
at("filters").addEventListener("input", update);
at("filters").addEventListener("submit", event => event.preventDefault());
statistics();
update();
