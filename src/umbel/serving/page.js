"use strict";
// Everything that comes from the server or from a file is put in as text, never as HTML: names may hold anything.
const $ = (id) => document.getElementById(id);
const SHOWN_ROWS = 50, SHOWN_CLASSES = 12;
const TYPES = { csv: "text/csv", tsv: "text/tab-separated-values", tab: "text/tab-separated-values",
  parquet: "application/vnd.apache.parquet", pq: "application/vnd.apache.parquet", png: "image/png", jpg: "image/jpeg",
  jpeg: "image/jpeg", webp: "image/webp", bmp: "image/bmp", gif: "image/gif", tif: "image/tiff", tiff: "image/tiff",
  pgm: "image/x-portable-graymap", ppm: "image/x-portable-pixmap", pnm: "image/x-portable-anymap" };
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;  // what a table may hold; JavaScript reads 0x10, too
let model = null, latest = 0;

function made(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function complain(sentence) {
  $("trouble").textContent = sentence;
  $("trouble").hidden = !sentence;
  if (sentence) $("trouble").scrollIntoView({ block: "nearest" });
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  let said = null;
  try { said = (await answer.json()).error; } catch { /* no JSON: not from the service */ }
  throw new Error(said ? said[0].toUpperCase() + said.slice(1) + "." : `The server answered with status ${answer.status}.`);
}

// The form

function field(column, number) {
  const box = made("div", undefined, "field"), id = `field-${number}`;
  const label = made("label", column.name);
  label.htmlFor = id;
  const known = column.kind === "category" ? `${column.categories.length} categories`
    : column.standard_deviation ? `usually ${usual(column)}` : "a number; it did not vary in training";
  const hint = made("small", known);
  hint.id = `${id}-hint`;
  const input = made(column.kind === "category" ? "select" : "input");
  if (column.kind === "category") {
    input.append(new Option("(blank)", ""));
    column.categories.forEach((name, place) => input.append(new Option(name, String(place))));
  } else {
    input.type = "text";
    input.inputMode = "decimal";
    input.autocomplete = "off";
  }
  input.id = id;
  input.setAttribute("aria-describedby", hint.id);
  box.append(label, hint, input);
  return box;
}

function decimals(spread) {
  return Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(spread))));
}

function rounded(value, spread) {
  return spread ? value.toFixed(decimals(spread)).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "") : String(Number(value.toPrecision(7)));
}

function usual(column) {
  return `${rounded(column.mean, column.standard_deviation)} ± ${Number(column.standard_deviation.toPrecision(2))}`;
}

function inputOf(number) { return $(`field-${number}`); }

// One row as JSON, and the columns in which something stands that is no number.
function rowOfForm() {
  const row = Object.create(null), wrong = [];  // a column may be called __proto__
  model.inputs.columns.forEach((column, number) => {
    const input = inputOf(number), text = input.value.trim();
    let value = null;
    if (text && column.kind === "category") value = column.categories[Number(text)];
    if (text && column.kind === "number") value = Number(text);
    const bad = column.kind === "number" && value !== null && !(NUMBER.test(text) && Number.isFinite(value));
    if (column.kind === "number") input.setAttribute("aria-invalid", String(bad));
    if (bad) wrong.push([column.name, text, input]);
    row[column.name] = bad ? text : value;
  });
  return { row, wrong };
}

function fillExample() {
  model.inputs.columns.forEach((column, number) => {
    const value = model.inputs.example[column.name];
    inputOf(number).value = value === null ? "" : column.kind === "category" ? String(column.categories.indexOf(value)) : String(value);
  });
  showCurl();
}

async function submitForm(event) {
  event.preventDefault();
  const { row, wrong } = rowOfForm();
  if (wrong.length) {
    wrong[0][2].focus();
    return complain(`${wrong[0][0]}: “${wrong[0][1]}” is no number. Write it with a decimal point, or leave it blank.`);
  }
  await predict("application/json", JSON.stringify(row), null);
}

// Files

function typeOf(file) {
  const ending = file.name.split(".").pop().toLowerCase();
  return TYPES[ending] || file.type;
}

async function sendFile(file) {
  if (!file) return;
  const type = typeOf(file), picture = model.inputs.kind === "picture";
  if (!model.media_types.includes(type)) return complain(`${file.name} is of a kind that this run does not take. ${wanted()}`);
  if (file.size > model.limits.bytes) return complain(`${file.name} is larger than ${model.limits.bytes / 1e6} MB. Send it in parts.`);
  if (picture) {
    URL.revokeObjectURL($("preview").src);
    $("preview").src = URL.createObjectURL(file);
    $("preview").hidden = false;
  }
  await predict(type, file, picture ? null : file.name);
}

function wanted() {
  const inputs = model.inputs;
  if (inputs.kind !== "picture") return "Give a CSV, TSV or Parquet file.";
  const size = `${inputs.width} × ${inputs.height} pixels`;
  return `Give a picture ${inputs.resized ? `(it is resized to ${size})` : `of ${size}`}: PNG, JPEG, WebP, BMP, TIFF, GIF or PPM.`;
}

// Answers

async function predict(type, body, fileName) {
  const mine = ++latest, button = document.querySelector("button.main");
  complain("");
  $("result").hidden = true;
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await (await ask("/predict", { method: "POST", headers: { "Content-Type": type }, body })).json();
    if (mine !== latest) return;  // another request was begun meanwhile
    $("result-title").textContent = fileName === null ? "Prediction" : `Predictions for ${fileName}`;
    $("answers").replaceChildren(...(fileName === null ? [cards(answer.predictions[0])] : table(answer.predictions, type, body)));
    $("notes").replaceChildren(...answer.notes.map((note) => made("li", note)));
    $("result").hidden = false;
    $("result").scrollIntoView({ block: "nearest" });  // below a long form
  } catch (error) {
    if (mine === latest) complain(error.message);
  } finally {
    if (mine === latest) button.removeAttribute("aria-busy");
  }
}

function withUnit(value, output) {
  if (value === null) return "no number";
  return rounded(value, output.standard_deviation) + (output.unit ? ` ${output.unit}` : "");
}

function percent(share) { return share === null ? "–" : `${(100 * share).toFixed(1)} %`; }

function main(output, answer) {
  if (output.kind === "class") return answer.class;
  return output.kind === "value" ? withUnit(answer.value, output) : "";
}

function cards(prediction) {
  const grid = made("div", undefined, "answers");
  for (const output of model.outputs) {
    const answer = prediction[output.name], card = made("div", undefined, "answer");
    card.append(made("h3", output.name));
    if (main(output, answer)) card.append(made("p", main(output, answer), "value"));
    if (answer.probabilities) card.append(bars(output, answer));
    if (answer.decision) card.append(made("p", `${answer.decision} (live from ${percent(output.threshold)} on)`));
    if (answer.values) card.append(values(output, answer));
    grid.append(card);
  }
  return grid;
}

function bars(output, answer) {
  const list = made("ul", undefined, "bars");
  let shares = output.labels.map((label) => [label, answer.probabilities[label]]);
  const all = shares.length;
  if (all > SHOWN_CLASSES) shares = shares.sort((a, b) => b[1] - a[1]).slice(0, SHOWN_CLASSES);
  for (const [label, share] of shares) {
    const item = made("li", undefined, label === answer.class ? "best" : ""), line = made("div", undefined, "line");
    line.append(made("span", label), made("span", percent(share)));
    const track = made("div", undefined, "track"), bar = made("div");
    bar.style.width = `${100 * share}%`;
    track.append(bar);
    item.append(line, track);
    list.append(item);
  }
  if (all > shares.length) list.append(made("li", `and ${all - shares.length} less likely`));
  return list;
}

function values(output, answer) {
  const list = made("ul", undefined, "bars");
  for (const label of output.labels) {
    const item = made("li"), line = made("div", undefined, "line");
    line.append(made("span", label), made("span", withUnit(answer.values[label], output)));
    item.append(line);
    list.append(item);
  }
  return list;
}

function cell(output, answer) {
  if (output.kind === "class") return `${answer.class} (${percent(answer.probabilities[answer.class])})`;
  if (answer.probabilities) return output.labels.map((label) => `${label}: ${percent(answer.probabilities[label])}`).join(", ");
  if (answer.values) return output.labels.map((label) => `${label}: ${withUnit(answer.values[label], output)}`).join(", ");
  return main(output, answer);
}

function table(predictions, type, body) {
  const scroll = made("div", undefined, "scroll"), grid = made("table"), head = made("tr");
  scroll.tabIndex = 0;
  scroll.setAttribute("aria-labelledby", "result-title");
  head.append(made("th", "row"), ...model.outputs.map((output) => made("th", output.name)));
  grid.append(head);
  predictions.slice(0, SHOWN_ROWS).forEach((prediction, row) => {
    const line = made("tr");
    line.append(made("td", String(row + 1)), ...model.outputs.map((o) => made("td", cell(o, prediction[o.name]))));
    grid.append(line);
  });
  scroll.append(grid);
  const shown = Math.min(SHOWN_ROWS, predictions.length);
  const button = made("button", "Save all as CSV");
  button.type = "button";
  button.addEventListener("click", () => save(type, body));
  return [made("p", `${shown} of ${predictions.length} rows are shown.`, "hint"), scroll, button];
}

async function save(type, body) {
  try {
    const answer = await ask("/predict", { method: "POST", headers: { "Content-Type": type, Accept: "text/csv" }, body });
    const link = made("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = "predictions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    complain(error.message);
  }
}

// The shell, and the start

function quoted(text) { return `'${text.replaceAll("'", `'\\''`)}'`; }

function showCurl() {
  const kind = model.inputs.kind, url = `${location.origin}/predict`;
  const json = kind === "table" ? JSON.stringify(rowOfForm().row) : "";
  $("curl").textContent = kind === "picture"
    ? `curl -H 'Content-Type: image/png' --data-binary @picture.png ${url}`
    : `curl -H 'Content-Type: application/json' -d ${kind === "table" ? quoted(json) : "@rows.json"} ${url}`;
}

function receiveFiles() {
  const drop = $("drop"), file = $("file");
  $("drop-text").textContent = `${wanted()} Drop it here, or choose it:`;
  file.accept = Object.keys(TYPES).filter((ending) => model.media_types.includes(TYPES[ending])).map((e) => `.${e}`).join(",");
  file.addEventListener("click", () => { file.value = ""; });  // the same file again, after it was changed
  file.addEventListener("change", () => sendFile(file.files[0]));
  const over = (event, on) => { event.preventDefault(); drop.classList.toggle("over", on); };
  drop.addEventListener("dragover", (event) => over(event, true));
  drop.addEventListener("dragleave", (event) => over(event, false));
  drop.addEventListener("drop", (event) => { over(event, false); sendFile(event.dataTransfer.files[0]); });
}

function about() {
  const predicted = model.outputs.map((output) => output.name + (output.unit ? ` (${output.unit})` : "")).join(", ");
  const point = model.point ? ` at ${model.point}` : "";
  return `Predicts ${predicted}${point}. Umbel ${model.version}. Nothing that you send is kept.`;
}

async function start() {
  try {
    model = await (await ask("/model")).json();
  } catch (error) {
    $("about").textContent = "";
    return complain(error.message);
  }
  document.title = `${model.run} – Umbel`;
  $("run").textContent = model.run;
  $("about").textContent = about();
  if (model.inputs.kind === "table") {
    $("fields").replaceChildren(...model.inputs.columns.map(field));
    $("form").hidden = false;
    $("form").addEventListener("submit", submitForm);
    $("form").addEventListener("input", showCurl);
    $("form").addEventListener("reset", () => setTimeout(() => { complain(""); showCurl(); }));
    $("example").addEventListener("click", fillExample);
  }
  if (model.inputs.kind === "picture") $("file-title").textContent = "A picture";
  if (model.inputs.kind !== "array") {
    $("by-file").hidden = false;
    receiveFiles();
  }
  showCurl();
}

start();
