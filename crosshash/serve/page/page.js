// Searches by words, by a picture, or by an item. What comes from the index is text, never markup.

const $ = (id) => document.getElementById(id);
const KEY = "crosshash-key";
const CAPTIONS = ["caption", "text", "captions", "title", "name"];
let about = { reads: { text: true, image: true }, shows_pictures: false, items: 0, bits: 0 };
let last = null; // what was asked last: {q}, {id} or {file}
let code = ""; // of the query
let running = null;
let kept = []; // addresses of pictures in memory, given back when others are shown

// Half a surrogate pair, as a name that is no UTF-8 has, is shown as "�".
function whole(text) {
  return String(text).toWellFormed?.() ?? String(text);
}

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") made.className = value;
    else if (key === "text") made.textContent = whole(value);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, whole(value));
  }
  made.append(...children);
  return made;
}

function tell(text, fault = false) {
  $("status").textContent = whole(text);
  $("status").classList.toggle("fault", fault);
}

// Half a surrogate pair stands for a byte of a file's name that is no UTF-8.
function encoded(id) {
  return Array.from(id, (one) => {
    const point = one.codePointAt(0);
    if (point >= 0xdc80 && point <= 0xdcff) return "%" + (point - 0xdc00).toString(16);
    return point >= 0xd800 && point <= 0xdfff ? "%EF%BF%BD" : encodeURIComponent(one);
  }).join("");
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers, credentials: "omit" });
  if (response.ok) return response;
  if (response.status === 401) {
    $("keys").hidden = false;
    $("key").focus();
    throw new Error(key ? "The service does not know this key." : "");
  }
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error || `The service answered ${response.status}.`);
}

// Filters

function condition(name = "", sign = "==", value = "") {
  const number = $("conditions").children.length + 1;
  const signs = [["==", "is"], ["!=", "is not"], [">=", "≥"], ["<=", "≤"], [">", ">"], ["<", "<"],
    ["in", "is one of"]];
  const select = element("select", { "aria-label": `Comparison of condition ${number}` });
  for (const [key, word] of signs) select.append(element("option", { value: key, text: word }));
  select.value = sign;
  const field = { list: "names", placeholder: "name", "aria-label": `Name in condition ${number}` };
  const left = element("input", field);
  const right = element("input", {
    placeholder: "value", "aria-label": `Value of condition ${number}`,
  });
  left.value = name;
  right.value = value;
  const gone = element("button", {
    type: "button", text: "✕", "aria-label": `Remove condition ${number}`,
    onclick: () => { gone.parentElement.remove(); $("add").focus(); again(); },
  });
  for (const one of [left, select, right]) one.addEventListener("change", again);
  return element("div", { class: "condition" }, left, select, right, gone);
}

// 12 and true are what they look like; "12" in quotes is a text.
function scalar(text) {
  try {
    const value = JSON.parse(text);
    if (value === null || typeof value !== "object") return value;
  } catch { /* a text */ }
  return text;
}

// The other way round.
function spelt(value) {
  return typeof value !== "string" || scalar(value) !== value ? JSON.stringify(value) : value;
}

function where() {
  const found = {};
  for (const row of $("conditions").children) {
    const [name, sign, value] = [...row.querySelectorAll("input, select")].map((one) => one.value);
    if (!name) continue;
    const listed = sign === "in" ? value.split(",").map((one) => scalar(one.trim())) : scalar(value);
    found[name] = { ...found[name], [sign]: listed };
  }
  return Object.keys(found).length ? found : null;
}

// Codes

function bits(hex) {
  return Array.from(hex.match(/../g) || [], (byte) => parseInt(byte, 16)).flatMap((byte) =>
    Array.from({ length: 8 }, (_, place) => (byte >> place) & 1));
}

function drawn(own, other, label) {
  const differing = [];
  const grid = element("div", { class: "code", role: "img" });
  own.forEach((bit, place) => {
    const differs = other !== null && other[place] !== bit;
    if (differs) differing.push(place + 1);
    grid.append(element("span", { class: `bit${bit ? " on" : ""}${differs ? " differs" : ""}` }));
  });
  const told = other === null ? "" : `; bits that differ: ${differing.join(", ") || "none"}`;
  grid.setAttribute("aria-label", `${label}, ${own.length} bits${told}`);
  return [grid, differing.length];
}

async function compare(hit) {
  try {
    const item = await (await ask(`items/${encoded(hit.id)}`)).json();
    const [mine, theirs] = [bits(code), bits(item.code)];
    const [grid, count] = drawn(theirs, mine, "Code of the result");
    $("compare-heading").textContent = whole(caption(hit));
    $("compare-told").textContent = `${count} of ${mine.length} bits differ.`;
    $("code-a").replaceChildren(drawn(mine, null, "Code of the query")[0]);
    $("code-b").replaceChildren(grid);
    const facts = [["id", hit.id], ...Object.entries(item.metadata || {})];
    $("metadata").replaceChildren(...facts.flatMap(([name, value]) => [
      element("dt", { text: name }),
      element("dd", { text: typeof value === "string" ? value : JSON.stringify(value) }),
    ]));
    $("compare").showModal();
  } catch (error) {
    tell(error.message, true);
  }
}

// Results

function caption(hit) {
  const metadata = hit.metadata || {};
  const first = CAPTIONS.map((name) => [metadata[name]].flat()[0]); // of several
  return first.find((one) => typeof one === "string" && one) || hit.id.split("/").pop() || hit.id;
}

async function show(image, id) {
  const path = `items/${encoded(id)}/image`;
  if (!sessionStorage.getItem(KEY)) {
    image.src = path;
    return;
  }
  const blob = await (await ask(path)).blob();
  image.src = URL.createObjectURL(blob); // an <img> sends no key
  kept.push(image.src);
}

function picture(id, instead) {
  const image = element("img", { alt: "", loading: "lazy", decoding: "async" });
  const fail = () => image.isConnected && image.replaceWith(instead());
  image.addEventListener("error", fail);
  show(image, id).catch(fail);
  return image;
}

function tile(hit) {
  const said = caption(hit);
  const likely = hit.probability === undefined || hit.probability === null
    ? null : `${Math.round(100 * hit.probability)} %`;
  const facts = `distance ${hit.distance}${likely ? `, probability ${likely}` : ""}`;
  const text = () => element("span", { class: "text", text: said });
  const button = element("button", {
    type: "button", class: "tile", title: "Search by this",
    "aria-label": `Result ${hit.rank}: ${said}; ${facts}. Search by it`,
    onclick: () => search({ id: hit.id, said }),
  });
  button.append(about.shows_pictures ? picture(hit.id, text) : text());
  const codes = element("button", {
    type: "button", text: "Code", "aria-label": `Compare the code of result ${hit.rank}`,
    onclick: () => compare(hit),
  });
  const row = element("p", { class: "facts" });
  if (likely) row.append(element("span", { class: "likely", title: "Probability", text: likely }));
  row.append(element("span", { text: `distance ${hit.distance}` }), codes);
  const shown = about.shows_pictures ? [element("p", { class: "caption", title: hit.id, text: said })]
    : [];
  return element("li", {}, button, ...shown, row);
}

function asked(query) {
  if (query.q !== undefined) return [element("p", { text: query.q })];
  if (query.file) {
    const image = element("img", { alt: "Your picture" });
    image.src = URL.createObjectURL(query.file);
    kept.push(image.src);
    return [image, element("p", { text: query.file.name || "A picture" })];
  }
  const name = element("p", { text: query.said || query.id });
  return about.shows_pictures ? [picture(query.id, () => element("span")), name] : [name];
}

function render(query, found) {
  kept.forEach((address) => URL.revokeObjectURL(address));
  kept = [];
  code = found.code;
  $("found").hidden = false;
  $("asked").replaceChildren(...asked(query));
  $("query-code").replaceChildren(drawn(bits(code), null, "Code of the query")[0]);
  $("results").replaceChildren(...found.hits.map(tile));
  const names = new Set(found.hits.flatMap((hit) => Object.keys(hit.metadata || {})));
  $("names").replaceChildren(...Array.from(names, (name) => element("option", { value: name })));
  const count = found.hits.length;
  const weighed = found.rank === "asymmetric" ? "; bits of which the query is sure weigh more" : "";
  const told = `${count} result${count > 1 ? "s" : ""}, nearest first${weighed}`;
  tell(count ? told : "No item matches.");
}

// Asking

function request(query, topk, conditions) {
  const shared = { topk, ...(conditions ? { where: conditions } : {}) };
  if (query.file) {
    const form = new FormData();
    form.append("file", query.file);
    form.append("topk", topk);
    if (conditions) form.append("where", JSON.stringify(conditions));
    return ["search/image", { method: "POST", body: form }];
  }
  const body = query.id === undefined ? { q: query.q, ...shared } : { id: query.id, ...shared };
  return [query.id === undefined ? "search/text" : "search/image", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }];
}

async function search(query, { remember = true } = {}) {
  last = query;
  $("words").value = query.q ?? "";
  running?.abort();
  const mine = (running = new AbortController());
  const [topk, conditions] = [Number($("topk").value), where()];
  tell("Searching…");
  $("found").classList.add("busy");
  try {
    const [path, options] = request(query, topk, conditions);
    const response = await ask(path, { ...options, signal: mine.signal });
    const found = await response.json();
    render(query, found);
    if (remember) remembered(query, conditions);
    if (query.id !== undefined) {
      window.scrollTo({ top: 0 });
      $("results").focus({ preventScroll: true });
    }
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, true);
  } finally {
    if (running === mine) $("found").classList.remove("busy");
  }
}

function again() {
  if (last) search(last);
}

function remembered(query, conditions) {
  const told = new URLSearchParams();
  if (query.q !== undefined) told.set("q", query.q);
  if (query.id !== undefined) told.set("id", query.id);
  if (conditions) told.set("where", JSON.stringify(conditions));
  const address = query.file || !told.size ? location.pathname : `?${told}`;
  if (address !== location.search) history.pushState(null, "", address);
}

function fromAddress() {
  const told = new URLSearchParams(location.search);
  $("conditions").replaceChildren();
  for (const [name, asked] of Object.entries(read(told.get("where")))) {
    const plain = asked === null || typeof asked !== "object";
    const signs = plain ? { "==": asked } : Array.isArray(asked) ? { in: asked } : asked;
    for (const [sign, value] of Object.entries(signs)) {
      const text = [value].flat().map(spelt).join(", ");
      $("conditions").append(condition(name, sign, text));
    }
  }
  filters($("conditions").children.length > 0);
  $("words").value = told.get("q") || "";
  if (told.get("id")) search({ id: told.get("id") }, { remember: false });
  else if (told.get("q")) search({ q: told.get("q") }, { remember: false });
}

function read(text) {
  try {
    const value = JSON.parse(text || "{}");
    return value !== null && typeof value === "object" ? value : {};
  } catch {
    return {};
  }
}

function filters(open) {
  $("filters").hidden = !open;
  $("more").setAttribute("aria-expanded", String(open));
  if (open && !$("conditions").children.length) $("conditions").append(condition());
}

function byFile(file) {
  if (!file) return;
  if (!file.type.startsWith("image/")) tell("That is no picture.", true);
  else search({ file });
}

async function begin() {
  try {
    about = await (await ask("about")).json();
    $("about").textContent =
      `${about.items.toLocaleString("en")} items, codes of ${about.bits} bits, ${about.model}`;
    document.querySelector(".picture").hidden = !about.reads.image;
    for (const one of $("topk").options) one.hidden = one.disabled = Number(one.value) > about.max_topk;
    $("words").maxLength = about.max_text;
    fromAddress();
  } catch (error) {
    tell(error.message, true);
  }
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const q = $("words").value.trim();
  if (q) search({ q });
  else $("words").focus();
});
$("picture").addEventListener("change", () => {
  byFile($("picture").files[0]);
  $("picture").value = ""; // so that the same file can be chosen again
});
$("topk").addEventListener("change", again);
$("more").addEventListener("click", () => filters($("filters").hidden));
$("add").addEventListener("click", () => {
  const row = condition();
  $("conditions").append(row);
  row.querySelector("input").focus();
});
$("keys").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  $("keys").hidden = true;
  begin();
});
addEventListener("popstate", fromAddress);
addEventListener("paste", (event) => byFile(event.clipboardData.files[0]));
addEventListener("dragover", (event) => { event.preventDefault(); $("veil").hidden = false; });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("veil").hidden = true; });
addEventListener("drop", (event) => {
  event.preventDefault();
  $("veil").hidden = true;
  byFile(event.dataTransfer.files[0]);
});
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("words").focus();
  }
});
begin();
