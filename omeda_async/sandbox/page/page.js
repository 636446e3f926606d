"use strict";

const MOST_ROWS = 200;
const SECONDS = 60;
const SAID_EVERY = 10_000;
const LOOKED_EVERY = 1_000;
const AGAIN_AFTER = 5_000;
const PROVIDERS = { omeda: "Omeda", ocamba: "Ocamba", journey_manager: "Journey Manager" };
const KINDS = {
  deployments: { title: "Deployments", sums: "deployments", id: "Track id", columns: { id: "Track id", status: "State", cancels: "Cancels", name: "Name" } },
  campaigns: { title: "Campaigns", sums: "campaigns", id: "Campaign id", columns: { id: "Id", status: "State", cancels: "Cancels", name: "Name" } },
  transactions: { title: "Transactions", sums: "transactions", id: "Submit key", columns: { id: "Submit key", status: "State", cancels: "Cancels" } },
  "opt-outs": { title: "Opt-outs", sums: "opt_outs", columns: { address: "Address", level: "Level", of: "Of" } },
};

const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");

function make(tag, kind = "", ...inside) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inside.map((one) => (one instanceof Node ? one : String(one))));
  return made;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- the stream -----------------------------------------------------------------------------------------------------

let source = null;
let paused = false;
let again = 0;

function connect() {
  disconnect();
  if (paused || document.hidden) return;
  source = new EventSource("/_sandbox/events");
  source.addEventListener("update", (event) => {
    tellConnection("Live", "good");
    show(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    const refused = source.readyState === EventSource.CLOSED;
    tellConnection(refused ? "Not let in: trying again" : "Stopped: trying again", "bad");
    if (refused) again = setTimeout(connect, AGAIN_AFTER);
  });
}

function disconnect() {
  clearTimeout(again);
  if (source) source.close();
  source = null;
}

function tellConnection(text, kind) {
  setText(byId("connection"), text);
  byId("connection").className = `badge ${kind}`;
}

function togglePause() {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (paused) tellConnection("Paused", "warn");
  connect();
}

// --- what arrives ---------------------------------------------------------------------------------------------------

let buckets = new Array(SECONDS).fill(0);
let bucketAt = Math.floor(performance.now() / 1000);
let total = 0;
let refused = 0;
let fired = 0;
let offset = 0;

function show(news) {
  offset = Date.now() - news.now * 1000;
  if (news.afresh) begin();
  showFigures(news);
  showLimits(news);
  showFaults(news.faults);
  showRequests(news);
  showRecords(news.records);
  say();
}

function begin() {
  byId("rows").replaceChildren();
  buckets.fill(0);
}

function showFigures(news) {
  roll();
  if (!news.afresh) buckets[SECONDS - 1] += news.requests.total - total;
  total = news.requests.total;
  refused = news.limits.refused;
  fired = Object.values(news.faults.fired).reduce((sum, one) => sum + one, 0);
  setText(byId("total"), number(total));
  setText(byId("flying"), number(Object.values(news.in_flight).reduce((sum, one) => sum + one, 0)));
  setText(byId("refused"), number(refused));
  byId("refused").className = refused ? "bad" : "";
  setText(byId("fired"), number(fired));
  const providers = Object.entries(news.requests.by_provider);
  const answers = Object.entries(news.requests.by_answer).sort();
  pills(byId("providers"), [
    ...providers.map(([name, times]) => `${PROVIDERS[name] ?? name}: ${number(times)}`),
    ...answers.map(([name, times]) => `${name}: ${number(times)}`),
  ]);
  draw();
}

function pills(list, texts) {
  if (list.textContent === texts.join("")) return;
  list.replaceChildren(...texts.map((text) => make("li", "", text)));
}

function roll() {
  const now = Math.floor(performance.now() / 1000);
  for (let steps = Math.min(now - bucketAt, SECONDS); steps > 0; steps -= 1) {
    buckets.shift();
    buckets.push(0);
  }
  bucketAt = now;
}

function draw() {
  const most = Math.max(...buckets, 1);
  const bars = buckets.flatMap((count, index) => (count ? [bar(index, (count / most) * 20)] : []));
  byId("chart").replaceChildren(...bars);
  const last = buckets[SECONDS - 2];
  setText(byId("rate"), number(last));
  setText(byId("chart-text"), `Requests of the last minute, second by second; the most were ${number(Math.max(...buckets))}`);
}

function bar(index, height) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const size = { x: index + 0.1, y: 20 - height, width: 0.8, height };
  for (const [name, value] of Object.entries(size)) made.setAttribute(name, value);
  return made;
}

// --- limits ---------------------------------------------------------------------------------------------------------

let meters = [];

function showLimits(news) {
  const { windows, parallel, findings } = news.limits;
  const wanted = windows.map((one) => ({
    name: `${number(one.calls)} in ${one.seconds === 1 ? "a second" : `${one.seconds} seconds`}`,
    used: one.used, most: one.calls, peak: one.peak, endsAt: one.ends_at,
  }));
  if (parallel !== null) {
    const flying = news.in_flight.ocamba;
    wanted.push({ name: `${number(parallel)} at once`, used: flying, most: parallel, peak: news.peak_parallel.ocamba ?? 0, endsAt: null });
  }
  if (meters.length !== wanted.length) {
    meters = wanted.map(meter);
    byId("windows").replaceChildren(...meters.map((one) => one.item));
  }
  wanted.forEach((one, index) => fill(meters[index], one));
  showVerdict(findings, wanted.length);
}

function meter() {
  const name = make("span");
  const count = make("span", "number");
  const filled = make("div", "fill");
  const gauge = make("div", "bar", filled);
  const note = make("p", "quiet");
  gauge.setAttribute("role", "meter");
  gauge.setAttribute("aria-valuemin", "0");
  return { item: make("li", "", make("div", "line", name, count), gauge, note), name, count, filled, gauge, note };
}

function fill(parts, one) {
  const used = Math.min(one.used, one.most);
  setText(parts.name, one.name);
  setText(parts.count, `${number(one.used)} of ${number(one.most)}`);
  parts.filled.style.width = `${(used / one.most) * 100}%`;
  parts.item.className = one.used >= one.most ? "full" : "";
  parts.gauge.setAttribute("aria-label", one.name);
  parts.gauge.setAttribute("aria-valuemax", one.most);
  parts.gauge.setAttribute("aria-valuenow", used);
  parts.endsAt = one.endsAt;
  parts.peak = one.peak;
  note(parts);
}

function note(parts) {
  const left = parts.endsAt === null ? 0 : Math.ceil((parts.endsAt * 1000 + offset - Date.now()) / 1000);
  const ends = left > 1 ? `; empty again in ${left} s` : "";
  setText(parts.note, `Most so far ${number(parts.peak)}${ends}`);
}

function showVerdict(findings, limits) {
  const verdict = byId("verdict");
  verdict.className = findings.length ? "verdict-bad" : "verdict-good";
  if (findings.length) setText(verdict, `✗ Over a limit: ${findings.join("; ")}`);
  else setText(verdict, limits ? "✓ No limit was ever passed" : "This sandbox has no limits");
}

// --- requests -------------------------------------------------------------------------------------------------------

function showRequests(news) {
  const rows = news.latest.map(requestRow);
  if (news.left_out) rows.push(gapRow(news.left_out, news.afresh));
  if (rows.length) {
    const body = byId("rows");
    body.prepend(...rows);
    while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
  }
  showEmptiness();
}

function requestRow(one) {
  const wrong = one.fault !== null || one.refused || one.status === null || one.status >= 400;
  const time = new Date(one.arrived_at * 1000 + offset).toLocaleTimeString("en-GB");
  const what = make("td", "", `${PROVIDERS[one.provider] ?? one.provider} ${one.operation}`, make("span", "path", `${one.method} ${one.path}`));
  const answer = make("td", "", tag(one), ...(one.fault === null ? [] : [make("span", "tag warn", `fault: ${one.fault}`)]));
  return make("tr", wrong ? "wrong" : "fine", make("td", "", time), what, answer);
}

function tag(one) {
  if (one.status === null) return make("span", "tag bad", "dropped");
  if (one.refused) return make("span", "tag bad", `${one.status} over the limit`);
  return make("span", `tag ${one.status >= 400 ? "bad" : "good"}`, one.status);
}

function gapRow(count, earlier) {
  const cell = make("td", "", `${number(count)} ${earlier ? "earlier" : "more"} not shown`);
  cell.colSpan = 3;
  return make("tr", "gap", cell);
}

function showEmptiness() {
  const only = byId("only-wrong").checked;
  const none = byId("rows").rows.length === 0;
  byId("requests").classList.toggle("only-wrong", only);
  byId("no-rows").hidden = !none;
  byId("no-wrong").hidden = none || !only || byId("rows").querySelector(".wrong") !== null;
}

// --- faults ---------------------------------------------------------------------------------------------------------

const armed = new Map();

function showFaults(faults) {
  const numbers = new Set(faults.armed.map((one) => one.number));
  for (const [key, item] of armed) if (!numbers.has(key)) disarm(key, item);
  for (const one of faults.armed) {
    if (!armed.has(one.number)) arm(one);
    setText(armed.get(one.number).firstElementChild, describe(one));
  }
  byId("none-armed").hidden = armed.size > 0;
  const happened = Object.entries(faults.fired).map(([label, times]) => `${label}: ${number(times)}`);
  pills(byId("happened"), happened);
  byId("none-happened").hidden = happened.length > 0;
}

function arm(one) {
  const off = make("button", "", "Switch off");
  off.type = "button";
  off.setAttribute("aria-label", `Switch off ${describe(one)}`);
  off.addEventListener("click", () => act("faults/remove", { number: one.number }, `Off: ${one.label}`));
  armed.set(one.number, make("li", "", make("span"), off));
  byId("armed").append(armed.get(one.number));
}

function disarm(key, item) {
  const focused = item.contains(document.activeElement);
  item.remove();
  armed.delete(key);
  if (focused) byId("armed-title").focus();
}

function describe(one) {
  const times = one.left === null ? "always" : one.left === 1 ? "once" : `${number(one.left)} times`;
  const chance = one.probability === 1 ? "" : `, chance ${Number((one.probability * 100).toPrecision(3))} %`;
  return `${one.label}, ${one.match ?? "every request"}, ${times}${chance}`;
}

function fault() {
  const text = (id) => byId(id).value.trim();
  return {
    kind: text("kind"), where: text("where"), match: text("match") || null,
    times: text("times") ? Number(text("times")) : null, probability: Number(text("chance")) / 100,
    seconds: Number(text("seconds")), retry_after: text("retry") || null,
  };
}

async function act(route, body, said, place = byId("fault-said")) {
  try {
    await post(route, body);
    place.className = "";
    place.textContent = said;
  } catch (problem) {
    place.className = "bad";
    place.textContent = problem.message;
  }
}

async function post(route, body = {}) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(`/_sandbox/${route}`, options).catch(() => {
    throw new Error("The sandbox does not answer.");
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.replace(/^\w+Error: /, ""));
}

// --- records --------------------------------------------------------------------------------------------------------

const looks = Object.entries(KINDS).map(([name, kind]) => look(name, kind));

function look(name, kind) {
  const sum = make("span", "quiet");
  const states = make("ul", "pills");
  const rows = make("tbody");
  const head = make("tr", "", ...Object.values(kind.columns).map((text) => heading(text)));
  const around = make("div", "table", make("table", "", make("thead", "", head), rows));
  const empty = make("p", "quiet", "None");
  const details = make("details", "", make("summary", "", `Look at ${kind.title.toLowerCase()}`));
  const parts = { name, kind, sum, states, rows, details, around, empty, wanted: "", known: "", next: 0, timer: 0 };
  around.tabIndex = 0;
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", kind.title);
  if (kind.id) details.append(finder(parts));
  details.append(around, empty);
  details.addEventListener("toggle", () => fetchRows(parts));
  byId("kinds").append(make("div", "", make("h3", "", `${kind.title} `, sum), states, details));
  return parts;
}

function heading(text) {
  const made = make("th", "", text);
  made.scope = "col";
  return made;
}

function finder(parts) {
  const input = make("input");
  const form = make("form", "", input, make("button", "", "Find"));
  input.setAttribute("aria-label", `${parts.kind.id} to find`);
  input.placeholder = `${parts.kind.id}; empty: the last`;
  input.autocomplete = "off";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    parts.wanted = input.value.trim();
    fetchRows(parts);
  });
  return form;
}

function showRecords(records) {
  for (const parts of looks) {
    const sums = Object.entries(records[parts.kind.sums] ?? {});
    const known = JSON.stringify(sums);
    const whole = parts.name === "opt-outs" ? (records.opt_outs?.["opt-outs"] ?? 0) : sums.reduce((sum, [, times]) => sum + times, 0);
    setText(parts.sum, number(whole));
    pills(parts.states, whole ? sums.map(([state, times]) => `${state}: ${number(times)}`) : []);
    parts.details.hidden = whole === 0;
    if (known !== parts.known) {
      parts.known = known;
      fetchSoon(parts);
    }
  }
}

function fetchSoon(parts) {
  clearTimeout(parts.timer);
  parts.timer = setTimeout(() => fetchRows(parts), Math.max(0, parts.next - Date.now()));
}

async function fetchRows(parts) {
  if (!parts.details.open) return;
  parts.next = Date.now() + LOOKED_EVERY;
  const query = new URLSearchParams({ kind: parts.name, id: parts.wanted });
  const response = await fetch(`/_sandbox/records?${query}`).catch(() => null);
  if (!response?.ok) return;
  const rows = await response.json();
  const names = Object.keys(parts.kind.columns);
  parts.rows.replaceChildren(...rows.map((row) => make("tr", "", ...names.map((name) => make("td", "", row[name])))));
  parts.around.hidden = rows.length === 0;
  parts.empty.hidden = rows.length > 0;
}

// --- for those who do not see it ------------------------------------------------------------------------------------

let saidAt = -SAID_EVERY;
let sayTimer = 0;

function say() {
  if (sayTimer) return;
  const wait = Math.max(0, saidAt + SAID_EVERY - performance.now());
  sayTimer = setTimeout(() => {
    sayTimer = 0;
    saidAt = performance.now();
    setText(byId("said"), `${number(total)} requests, ${number(refused)} over a limit, ${number(fired)} faults met`);
  }, wait);
}

// --- start ----------------------------------------------------------------------------------------------------------

byId("pause").addEventListener("click", togglePause);
byId("only-wrong").addEventListener("change", showEmptiness);
byId("clear").addEventListener("click", () => act("faults/clear", {}, "All are off"));
byId("fault").addEventListener("submit", (event) => {
  event.preventDefault();
  const body = fault();
  act("fault", body, `On: ${body.kind} ${body.where}`);
});
byId("reset").addEventListener("click", () => byId("sure").showModal());
byId("no").addEventListener("click", () => byId("sure").close());
byId("yes").addEventListener("click", () => {
  byId("sure").close();
  act("reset", {}, "The sandbox was reset", byId("notice"));
});
document.addEventListener("visibilitychange", connect);
setInterval(() => {
  roll();
  draw();
  meters.forEach(note);
}, 1000);
showEmptiness();
connect();
