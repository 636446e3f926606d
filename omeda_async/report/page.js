
"use strict";
(() => {
  // All texts of the data are put in as text nodes: nothing of them is ever read as HTML.
  const data = JSON.parse(document.getElementById("data").textContent);
  const WORDS = {
    done: "done", already_done: "already done", partly_done: "partly done", too_late: "too late", rejected: "rejected",
    failed: "failed", unknown: "unknown", not_sent: "not sent", left: "without an outcome",
  };
  const ANSWERS = {
    done: "answered", refused: "refused (4xx)", limited: "refused for the limit (429)", broken: "server in trouble (5xx)",
    lost: "no answer",
  };
  const PAGE = innerWidth < 640 ? 20 : 50;
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const amount = (number) => number.toLocaleString("en-US");
  const counted = (number, thing) => `${amount(number)} ${thing}${number === 1 ? "" : "s"}`;

  function make(name, attributes = {}, ...children) {
    const svg = attributes.svg;
    const node = svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (key !== "svg") node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  const draw = (name, attributes, ...children) => make(name, {...attributes, svg: true}, ...children);

  function duration(seconds) {
    if (seconds < 9.95) return `${(Math.round(seconds * 10) / 10).toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
    return `${amount(Math.floor(whole / 86400))} d ${Math.floor((whole % 86400) / 3600)} h`;
  }
  const moment = (text) => text.replace("T", " ").replace(/(\.\d+)?(\+00:00|Z)$/, " UTC");

  // ---- sums

  function sums() {
    const parts = [data.place, data.state];
    if (data.started) parts.push(`began ${moment(data.started)}`);
    byId("about").textContent = parts.filter(Boolean).join(" · ");
    if (data.cause) {
      byId("cause").textContent = `Ended early: ${data.cause}`;
      byId("cause").hidden = false;
    }
    const counts = Object.keys(WORDS).map((kind) => [kind, kind === "left" ? data.under_way : data.counts[kind] || 0]);
    const all = counts.reduce((sum, [, count]) => sum + count, 0);
    byId("plain").remove();  // what a browser shows that lets no script run
    const tiles = byId("tiles");
    const tile = (text, figure, kind) => {
      const item = make("li", kind ? {"data-kind": kind} : {}, make("b", {}, figure), text);
      tiles.append(item);
    };
    tile(all === 1 ? "record" : "records", amount(all));
    for (const [kind, count] of counts) if (count) tile(WORDS[kind], amount(count), kind);
    tile(data.requests === 1 ? "request" : "requests", amount(data.requests));
    if (data.seconds !== null) tile("duration", duration(data.seconds));
    share(counts.filter(([, count]) => count), all);
    for (const note of notes()) byId("notes").append(make("li", {}, note));
    byId("made").textContent = `Made by omeda-async ${data.version}. E-mail addresses are masked. ` +
      "This page holds all it shows, and asks nobody for anything.";
  }

  function notes() {
    const found = [...data.notes];
    const {total, rows} = data.failures;
    if (total > rows.length) {
      found.push(`Of the records that are not done, the first ${amount(rows.length)} are listed; all are counted.`);
    }
    return found;
  }

  function share(counts, all) {
    if (!all) return;
    const told = counts.map(([kind, count]) => `${amount(count)} ${WORDS[kind]}`).join(", ");
    const svg = draw("svg", {viewBox: "0 0 1000 16", height: 16, preserveAspectRatio: "none", role: "img", "aria-label": told});
    let at = 0;
    for (const [kind, count] of counts) {
      const width = (count / all) * 1000;
      svg.append(draw("rect", {x: at, y: 0, width: Math.max(width, 2), height: 16, "data-kind": kind}));
      at += width;
    }
    byId("share").append(svg);
  }

  // ---- how to go on

  function steps() {
    byId("next").hidden = !data.steps.length;
    data.steps.forEach((step, number) => {
      const code = make("code", {id: `line-${number}`}, step.line);
      const button = make("button", {type: "button", "aria-describedby": code.id}, "Copy the command");
      button.addEventListener("click", () => copy(step.line, code));
      byId("steps").append(make("p", {}, step.why), make("div", {class: "line"}, code, button));
      if (step.note) byId("steps").append(make("p", {class: "quiet"}, step.note));
    });
  }

  async function copy(text, code) {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      getSelection().selectAllChildren(code);  // browsers that keep the clipboard from files still copy what is selected
      done = document.execCommand("copy");
    }
    byId("copied").textContent = done ? "Copied." : "It is selected: copy it with your keyboard.";
  }

  // ---- charts

  const LEFT = 40, RIGHT = 8, TOP = 14, BOTTOM = 22;

  function rebinned(values, factor, join) {
    const found = [];
    for (let at = 0; at < values.length; at += factor) found.push(values.slice(at, at + factor).reduce(join));
    return found;
  }
  const plus = (one, other) => one + other;
  const larger = (one, other) => Math.max(one, other);
  const smaller = (one, other) => Math.min(one, other);

  function ticks(seconds, room) {
    const steps = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
    const step = steps.find((one) => seconds / one <= room / 70) || Math.ceil(seconds / 6 / 86400) * 86400;
    const found = [];
    for (let at = 0; at <= seconds + 1e-9; at += step) found.push(at);
    return found;
  }

  function tickText(seconds) {
    if (seconds < 60) return `${Math.round(seconds * 100) / 100} s`;
    if (seconds >= 86400 && seconds % 86400 === 0) return `${amount(seconds / 86400)} d`;
    if (seconds < 3600) return seconds % 60 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s` : `${seconds / 60} min`;
    const minutes = Math.round(seconds / 60);
    return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  }

  function frame(width, height, seconds, top, told) {
    const svg = draw("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": told});
    const inner = width - LEFT - RIGHT, floor = height - BOTTOM;
    const x = (at) => LEFT + (seconds ? at / seconds : 0) * inner;
    const y = (value) => floor - (top ? value / top : 0) * (floor - TOP);
    for (const value of top ? [0, top] : []) {
      svg.append(draw("line", {class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value)}));
      svg.append(draw("text", {x: LEFT - 6, y: y(value) + 4, "text-anchor": "end"}, amount(value)));
    }
    for (const at of ticks(seconds, inner)) {
      const anchor = at === 0 ? "start" : x(at) > width - 40 ? "end" : "middle";
      svg.append(draw("text", {x: x(at), y: height - 5, "text-anchor": anchor}, tickText(at)));
    }
    return {svg, x, y, floor};
  }

  function bars(values, below, bin, seconds, {x, y}) {
    let path = "";
    values.forEach((value, at) => {
      if (!value) return;
      const left = x(Math.min(at * bin, seconds)), right = x(Math.min((at + 1) * bin, seconds));
      const gap = right - left > 4 ? 1 : 0;
      path += `M${left.toFixed(1)} ${y(below[at]).toFixed(1)}V${y(below[at] + value).toFixed(1)}H${(right - gap).toFixed(1)}V${y(below[at]).toFixed(1)}Z`;
    });
    return path;
  }

  function pauses(line, seconds, {svg, x, floor}) {
    const spans = [];
    line.paused.forEach((paused, at) => {
      const left = at * line.width, right = Math.min(seconds, left + Math.min(paused, line.width)), last = spans[spans.length - 1];
      if (!paused || right <= left) return;
      if (last && left - last[1] < line.width / 2) last[1] = right;
      else spans.push([left, right]);
    });
    for (const [left, right] of spans) {
      svg.append(draw("rect", {class: "pause", x: x(left), y: TOP, width: Math.max(1, x(right) - x(left)), height: floor - TOP}));
    }
  }

  function legend(entries) {
    const list = make("ul", {class: "legend"});
    for (const [kind, text] of entries) list.append(make("li", {}, make("span", {class: "swatch", "data-kind": kind}), text));
    return list;
  }

  function windowChart(line, one, width, factor, seconds) {
    const peaks = rebinned(one.peaks, factor, larger), most = peaks.reduce(larger, 0);
    const per = tickText(one.seconds);
    const told = `At most ${amount(most)} of ${amount(one.calls)} slots were taken.`;
    const top = Math.max(one.calls, most), parts = frame(width, 130, seconds, top, told);
    pauses(line, seconds, parts);
    const path = bars(peaks, peaks.map(() => 0), line.width * factor, seconds, parts);
    parts.svg.append(draw("path", {d: path, "data-kind": "use"}));
    const at = parts.y(one.calls);
    parts.svg.append(draw("line", {class: "cap", x1: LEFT, x2: width - RIGHT, y1: at, y2: at}));
    parts.svg.append(draw("text", {class: "cap-text", x: width - RIGHT, y: at - 4, "text-anchor": "end"}, `limit ${amount(one.calls)}`));
    byId("charts").append(make("h3", {}, `The window of ${amount(one.calls)} requests in ${per}`), make("p", {class: "quiet"}, told), parts.svg);
  }

  function sentChart(line, width, factor, seconds) {
    const sent = rebinned(line.sent, factor, plus), bin = line.width * factor, most = sent.reduce(larger, 0);
    const told = `${amount(line.sent.reduce(plus, 0))} requests; at most ${amount(most)} in ${tickText(bin)}.`;
    const parts = frame(width, 130, seconds, Math.max(1, most), told);
    pauses(line, seconds, parts);
    parts.svg.append(draw("path", {d: bars(sent, sent.map(() => 0), bin, seconds, parts), "data-kind": "use"}));
    byId("charts").append(make("h3", {}, `Requests sent in every ${tickText(bin)}`),
      make("p", {class: "quiet"}, "There is no window to compare with: the limit of this provider is a pace."), parts.svg);
  }

  function answersChart(line, width, factor, seconds) {
    const kinds = Object.keys(ANSWERS).filter((kind) => line.answers[kind].some(Boolean));
    const size = Math.max(1, ...kinds.map((kind) => line.answers[kind].length));
    const series = kinds.map((kind) => {
      const values = [...line.answers[kind], ...Array(size - line.answers[kind].length).fill(0)];
      return [kind, rebinned(values, factor, plus)];
    });
    const sums = series.map(([kind]) => [kind, line.answers[kind].reduce(plus, 0)]);
    const below = Array(Math.ceil(size / factor)).fill(0);
    const top = below.map((_, at) => series.reduce((sum, [, values]) => sum + values[at], 0)).reduce(larger, 1);
    const told = sums.map(([kind, sum]) => `${amount(sum)} ${ANSWERS[kind]}`).join(", ") || "No answers.";
    const parts = frame(width, 130, seconds, top, told), bin = line.width * factor;
    pauses(line, seconds, parts);
    for (const [kind, values] of series) {
      parts.svg.append(draw("path", {d: bars(values, below, bin, seconds, parts), "data-kind": kind}));
      values.forEach((value, at) => { below[at] += value; });
    }
    const entries = sums.map(([kind, sum]) => [kind, `${ANSWERS[kind]}: ${amount(sum)}`]);
    if (line.paused.some(Boolean)) entries.push(["pause", "the provider asked for a pause"]);
    byId("charts").append(make("h3", {}, `Answers in every ${tickText(bin)}`), parts.svg, legend(entries));
  }

  function figures(line, seconds) {
    const factor = Math.ceil(line.width ? seconds / line.width / 60 : 1) || 1, bin = line.width * factor;
    const sent = rebinned(line.sent, factor, plus);
    const heads = ["From", "Sent", ...line.windows.map((one) => `Taken of ${amount(one.calls)} in ${tickText(one.seconds)}`), "Paused"];
    const body = make("tbody");
    const columns = line.windows.map((one) => rebinned(one.peaks, factor, larger));
    const paused = rebinned(line.paused, factor, plus);
    for (let at = 0; at * bin <= seconds && at < 200; at++) {
      const cells = [sent[at] || 0, ...columns.map((column) => column[at] || 0), paused[at] ? duration(paused[at]) : "–"];
      body.append(make("tr", {}, make("th", {scope: "row"}, tickText(at * bin)),
        ...cells.map((cell) => make("td", {class: "number"}, typeof cell === "number" ? amount(cell) : cell))));
    }
    const head = heads.map((text, at) => make("th", {scope: "col", class: at ? "number" : ""}, text));
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), body);
    const region = make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures of the time line"}, table);
    return make("details", {}, make("summary", {}, "The figures as a table"), region);
  }

  function timeline(width) {
    const line = data.timeline, seconds = Math.max(line.seconds, line.width);
    const buckets = Math.max(1, Math.ceil(seconds / line.width));
    const factor = Math.max(1, Math.ceil(buckets / Math.floor((width - LEFT - RIGHT) / 3)));
    for (const one of line.windows) windowChart(line, one, width, factor, seconds);
    if (!line.windows.length) sentChart(line, width, factor, seconds);
    answersChart(line, width, factor, seconds);
    if (line.windows.length) byId("charts").append(make("p", {class: "quiet"},
      "A request takes a slot of each window from when it is sent until a window's length after its answer, or until the provider's answers prove that a window has begun anew."));
    byId("charts").append(figures(line, seconds));
  }

  function runsChart(width) {
    const runs = data.runs, at = (text) => Date.parse(text) / 1000;
    const shown = runs.slice(-RUNS_SHOWN), last = runs[runs.length - 1];
    const begin = shown.map((run) => at(run.started)).reduce(smaller);  // a clock that is set back lets a later run begin earlier
    const end = shown.map((run) => at(run.ended || run.started)).reduce(larger);
    const seconds = Math.max(1, end - begin), height = TOP + BOTTOM + shown.length * 22;
    const told = `${counted(runs.length, "run")}; the last one is ${last.state}.`;
    const {svg, x} = frame(width, height, seconds, 0, told);
    shown.forEach((run, row) => {
      const left = x(at(run.started) - begin), right = x(Math.max(begin, at(run.ended || run.started)) - begin);
      svg.append(draw("text", {x: LEFT - 6, y: TOP + row * 22 + 12, "text-anchor": "end"}, `${runs.length - shown.length + row + 1}`));
      svg.append(draw("rect", {x: left, y: TOP + row * 22, width: Math.max(4, right - left), height: 16, rx: 2, "data-kind": RUNS[run.state]}));
    });
    byId("charts").append(make("p", {class: "quiet"}, `When ${runs.length > shown.length ? `the latest ${shown.length} of the ${amount(runs.length)}` : "the"} runs of this journal began and ended. Single requests are not known.`), svg, runsList(shown));
  }

  const RUNS_SHOWN = 40;
  const RUNS = {complete: "done", stopped: "too_late", killed: "unknown", "under way": "use"};

  function runsList(shown) {
    const list = make("ol", {class: "runs", start: data.runs.length - shown.length + 1});
    for (const run of shown) {
      const seconds = run.ended ? (Date.parse(run.ended) - Date.parse(run.started)) / 1000 : 0;
      const rate = seconds >= 1 ? `, ${(run.requests / seconds).toFixed(1)} per second on average` : "";
      const after = seconds < 0 ? ", with its clock set back" : ` after ${duration(seconds)}`;
      const took = run.ended ? `${run.state}${after}` : run.state === "killed" ? "killed, not known when" : run.state;
      const item = make("li", {}, make("span", {class: "swatch", "data-kind": RUNS[run.state]}),
        `began ${moment(run.started)}, ${took}; ${counted(run.requests, "request")}${rate}`);
      if (run.cause) item.append(make("span", {class: "quiet"}, ` ${run.cause}`));
      list.append(item);
    }
    return list;
  }

  function charts() {
    byId("time").hidden = !data.timeline && !data.runs.length;
    const width = Math.max(240, byId("charts").clientWidth);
    byId("charts").replaceChildren();
    if (data.timeline) timeline(width);
    else if (data.runs.length) runsChart(width);
  }

  // ---- waits

  const RETRIES = {
    AnswerLost: "an answer was lost", ConnectionFailed: "no connection", RateLimited: "refused for the limit (429)",
    ServerError: "server in trouble", UnreadableAnswer: "what came was no answer",
  };

  function waits() {
    if (!data.timeline) return;
    const found = data.timeline.waits;
    const rows = [
      ["Their turn under the limit", found.limit],
      ["The provider's pauses (Retry-After)", found.asked],
      ...Object.entries(found.retries).map(([error, wait]) => [`A pause before another try: ${RETRIES[error] || error}`, wait]),
      ["The provider's answers", found.answers],
    ];
    for (const [text, wait] of rows) {
      if (!wait.times) continue;
      const cells = [amount(wait.times), duration(wait.longest), duration(wait.seconds)];
      byId("waits").tBodies[0].append(make("tr", {}, make("th", {scope: "row"}, text),
        ...cells.map((cell) => make("td", {class: "number"}, cell))));
    }
    if (found.pauses.times) {
      byId("waiting").append(make("p", {}, `The provider asked for ${counted(found.pauses.times, "pause")}; ` +
        `the account stood still for ${duration(found.pauses.seconds)} in all.`));
    }
    byId("waiting").hidden = !byId("waits").tBodies[0].rows.length;
  }

  // ---- causes

  const {causes, counts, rows, word} = data.failures;
  const CAUSES_SHOWN = 12;
  const textOf = (cause) => causes[cause][2] || causes[cause][1] || WORDS[causes[cause][0]];

  function why() {
    const order = counts.map((_, cause) => cause).sort((one, other) => counts[other] - counts[one]);
    byId("why").hidden = !order.length;
    const most = counts[order[0]] || 1;
    for (const cause of order.slice(0, CAUSES_SHOWN)) {
      const [kind, error] = causes[cause];
      const svg = draw("svg", {viewBox: "0 0 1000 6", height: 6, preserveAspectRatio: "none", "aria-hidden": "true"},
        draw("rect", {x: 0, y: 0, width: Math.max(3, (counts[cause] / most) * 1000), height: 6, "data-kind": kind}));
      const button = make("button", {type: "button", "aria-label": `Show the ${counted(counts[cause], "record")}: ${textOf(cause)}`}, "Show");
      button.addEventListener("click", () => { chosen.cause = cause; byId("clear").hidden = false; refresh(); byId("records").focus(); });
      const text = make("span", {class: "text"}, make("span", {class: "pill", "data-kind": kind}, WORDS[kind]), ` ${textOf(cause)}`);
      if (error && causes[cause][2]) text.append(make("span", {class: "quiet"}, ` ${error}`));
      byId("causes").append(make("li", {}, make("span", {class: "count"}, amount(counts[cause])), text, button, svg));
    }
    const rest = order.slice(CAUSES_SHOWN);
    if (rest.length) {
      const records = rest.reduce((sum, cause) => sum + counts[cause], 0);
      byId("more-causes").textContent = `And ${counted(rest.length, "more cause")} of ${counted(records, "record")}; search for them below.`;
    }
  }

  // ---- the table of records

  const NUMBER = 0, NAME = 1, ATTEMPTS = 2, CAUSE = 3, PLAIN = 4;
  const plain = (text) => text.normalize().toLowerCase().replace(/\s+/g, " ").trim();  // as it reads, however it is written
  const chosen = {text: "", status: "", cause: null, by: "number", down: false, page: 0};
  const collator = new Intl.Collator("en", {numeric: true});
  const order = Object.keys(WORDS);
  let ranks = null;
  const byRank = () => {  // causes in the order of their texts, once
    if (!ranks) {
      ranks = [];
      causes.map((_, cause) => cause).sort((one, other) => collator.compare(textOf(one), textOf(other))).forEach((cause, rank) => { ranks[cause] = rank; });
    }
    return ranks;
  };
  const COLUMNS = {
    number: [word === "row" ? "Row" : "Record", (one, other) => one[NUMBER] - other[NUMBER]],
    name: ["Name", (one, other) => collator.compare(one[NAME], other[NAME])],
    status: ["Outcome", (one, other) => order.indexOf(causes[one[CAUSE]][0]) - order.indexOf(causes[other[CAUSE]][0])],
    why: ["Why", (one, other) => byRank()[one[CAUSE]] - byRank()[other[CAUSE]]],
    attempts: ["Tries", (one, other) => one[ATTEMPTS] - other[ATTEMPTS]],
  };
  let found = rows, sorted = "";  // they come in the order of their outcomes

  function fits() {
    const text = plain(chosen.text), number = text.replace(/(?<=\d),(?=\d)/g, "");  // as numbers stand in the table
    const told = causes.map(([kind, ...texts]) => plain([WORDS[kind], ...texts].join(" ")).includes(text));
    return (row) => (chosen.cause === null || row[CAUSE] === chosen.cause) &&
      (!chosen.status || causes[row[CAUSE]][0] === chosen.status) &&
      (!text || told[row[CAUSE]] || (row[PLAIN] ??= plain(row[NAME])).includes(text) || `${row[NUMBER]}` === number);
  }

  function refresh() {
    const wanted = `${chosen.by} ${chosen.down}`;
    if (wanted !== sorted) {
      const compare = COLUMNS[chosen.by][1], sign = chosen.down ? -1 : 1;
      rows.sort((one, other) => sign * compare(one, other) || one[NUMBER] - other[NUMBER]);
      sorted = wanted;
    }
    found = rows.filter(fits());
    chosen.page = 0;
    page();
  }

  function page() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE)), from = chosen.page * PAGE;
    byId("table").tBodies[0].replaceChildren(...found.slice(from, from + PAGE).map(line));
    byId("found").textContent = found.length === rows.length ? counted(found.length, "record") : `${amount(found.length)} of ${counted(rows.length, "record")}`;
    byId("page").textContent = `Page ${amount(chosen.page + 1)} of ${amount(pages)}`;
    byId("previous").disabled = chosen.page === 0;
    byId("following").disabled = chosen.page + 1 >= pages;
    for (const head of byId("table").tHead.rows[0].cells) {
      if (head.dataset.by === chosen.by) head.setAttribute("aria-sort", chosen.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  function line(row) {
    const kind = causes[row[CAUSE]][0], cell = (attributes, ...children) => make("td", {role: "cell", ...attributes}, ...children);
    return make("tr", {role: "row"},
      cell({"data-label": COLUMNS.number[0]}, amount(row[NUMBER])),
      cell({}, row[NAME] || "–"),
      cell({}, make("span", {class: "pill", "data-kind": kind}, WORDS[kind])),
      cell({class: "wide"}, textOf(row[CAUSE])),
      cell({class: "number", "data-label": "Tries"}, amount(row[ATTEMPTS])));
  }

  function table() {
    byId("records").hidden = byId("skip").hidden = !rows.length;
    if (!rows.length) return;
    for (const [by, [text]] of Object.entries(COLUMNS)) {
      const button = make("button", {type: "button"}, text);
      button.addEventListener("click", () => {
        chosen.down = chosen.by === by && !chosen.down;
        chosen.by = by;
        refresh();
      });
      const head = make("th", {role: "columnheader", scope: "col", class: by === "attempts" ? "number" : "", "data-by": by}, button);
      byId("table").tHead.rows[0].append(head);
    }
    for (const kind of order) {
      if (causes.some((cause) => cause[0] === kind)) byId("status").append(make("option", {value: kind}, WORDS[kind]));
    }
    byId("search").addEventListener("input", (event) => { chosen.text = event.target.value; refresh(); });
    byId("status").addEventListener("change", (event) => { chosen.status = event.target.value; refresh(); });
    byId("clear").addEventListener("click", () => { chosen.cause = null; byId("clear").hidden = true; refresh(); byId("search").focus(); });
    byId("previous").addEventListener("click", () => { chosen.page -= 1; page(); });
    byId("following").addEventListener("click", () => { chosen.page += 1; page(); });
    refresh();
  }

  sums();
  steps();
  waits();
  why();
  table();
  charts();
  let drawn = innerWidth;
  addEventListener("resize", () => {  // a phone that only hides its address bar changes no width
    if (innerWidth !== drawn) { drawn = innerWidth; charts(); }
  });
})();
