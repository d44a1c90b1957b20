// The form says what is wanted; the server's events say what to show. Nothing is computed here.
const $ = (id) => document.getElementById(id);
const form = $("form");
const marksOf = (slider) => slider.dataset.marks.split(",").map(Number);
let events = null; // the stream of the settings that stand
let visit = ""; // its name
let due = 0;

function follow() {
  clearTimeout(due);
  due = setTimeout(open, 60);
}

function open() {
  events?.close();
  const query = new URLSearchParams(new FormData(form));
  for (const axis of ["x", "y"]) query.set(axis, $(axis).value);
  query.set("earlier", visit);
  events = new EventSource(`/events?${query}`);
  events.addEventListener("settings", (event) => settle(JSON.parse(event.data)));
  events.addEventListener("show", (event) => show(JSON.parse(event.data)));
  events.addEventListener("end", (event) => event.target.close());
  events.onerror = (event) => {
    event.target.close();
    $("state").textContent = "The server has gone: start augscope explore again.";
  };
}

function show(pieces) {
  for (const [id, html] of Object.entries(pieces)) $(id).innerHTML = html;
}

function settle(said) {
  visit = said.visit || visit;
  for (const place of document.querySelectorAll(".beside")) {
    const name = place.id.slice("beside-".length);
    place.textContent = [...(name === "rho_2" ? [`leaves ρ₁ = ${said.first}`] : []), ...(said.problems[name] ?? [])].join(" ");
    place.classList.toggle("problem", said.wrong && name in said.problems);
    place.classList.toggle("note", !said.wrong && name in said.problems);
  }
  $("problem").hidden = !said.wrong;
  $("results").hidden = said.wrong;
  if (said.wrong) $("state").textContent = "nothing to train";
  $("preset").value = said.preset;
  $("schematic").src = `/schematic.svg?num_patches=${said.values.num_patches}`;
  const address = new URLSearchParams(said.query);
  for (const axis of ["x", "y"]) address.set(axis, $(axis).value);
  history.replaceState(null, "", `?${address}`);
  for (const link of document.querySelectorAll(".download")) link.href = `/download/${link.dataset.name}?visit=${visit}`;
}

// A slider's value is the number of a mark; beside it stands the number that counts, which may lie between marks.
function place(slider) {
  const value = Number($(slider.dataset.for).value);
  if (slider.dataset.for === "num_cut") slider.max = Math.max(0, Math.min(6, Number($("num_patches").value) - 2));
  const distances = marksOf(slider).map((mark) => Math.abs(mark - value));
  slider.value = distances.indexOf(Math.min(...distances));
  slider.setAttribute("aria-valuetext", value.toLocaleString("en"));
}

function placeAll() {
  const cut = $("num_cut"), most = Number($("num_patches").value) - 1;
  if (most >= 1 && Number(cut.value) > most) cut.value = most;
  for (const slider of form.querySelectorAll("[type=range]")) place(slider);
}

function set(values) {
  for (const [name, value] of Object.entries(values)) $(name).value = value;
  placeAll();
  follow();
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", ({ target }) => {
  if (target.id === "preset") {
    const presets = JSON.parse(target.dataset.presets);
    if (target.value in presets) set(presets[target.value]);
    return;
  }
  if (target.type === "range") $(target.dataset.for).value = marksOf(target)[target.value];
  placeAll();
  follow();
});
$("x").addEventListener("change", follow);
$("y").addEventListener("change", follow);
$("again").addEventListener("click", open);
$("stop").addEventListener("click", () => fetch(`/stop?visit=${visit}`, { method: "POST" }));
$("maps").addEventListener("click", (event) => {
  const map = event.target.closest("[data-map]");
  if (!map) return;
  const [left, top, right, bottom] = map.dataset.box.split(",").map(Number);
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  const shares = [(point.x - left) / (right - left), (bottom - point.y) / (bottom - top)];
  const lists = [map.dataset.xs, map.dataset.ys].map((text) => text.split(","));
  const at = shares.map((share, i) => lists[i][Math.min(lists[i].length - 1, Math.max(0, Math.floor(share * lists[i].length)))]);
  const [x, y] = map.dataset.map.split(",");
  set({ [x]: at[0], [y]: at[1] });
});

if (innerWidth < 700) $("settings").open = false;
for (const slider of form.querySelectorAll("[type=range]")) place(slider);
open();
