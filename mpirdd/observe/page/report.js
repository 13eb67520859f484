// The page: header, tiles, tables, and the parts that hold the charts (charts.js). The user's text enters the page only as
// textContent, and the charts only through esc().
"use strict";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function bytes(n) {
  if (n === null || n === undefined) return "";
  let unit = 0;
  while (Math.abs(n) >= 1024 && unit < UNITS.length - 1) { n /= 1024; unit += 1; }
  return `${unit === 0 || Math.abs(n) >= 100 ? Math.round(n) : n.toFixed(1)} ${UNITS[unit]}`;
}

function count(n) { return n === null || n === undefined ? "" : Math.round(n).toLocaleString("en-US"); }

function seconds(s) {
  if (s === null || s === undefined) return "";
  if (s <= 0) return "0 s";
  const us = Number((s * 1e6).toPrecision(2)), ms = Number((s * 1e3).toPrecision(3)), whole = Math.round(s), minutes = Math.round(s / 60);
  if (us < 1000) return `${us} µs`;
  if (ms < 1000) return `${ms} ms`;
  if (s < 120) return `${Number(s.toPrecision(3))} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const SHOWN = { bytes, count, seconds, text: value => value === null || value === undefined ? "" : String(value) };

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

// A sortable table. columns: [{title, kind, of: row => value, node: row => element, wide}], pick: row => what a click does.
function table(columns, rows, { sort = null, down = true, pick = null, id = null, most = 2000 } = {}) {
  const kindOf = column => column.kind || "text";
  const state = { column: sort, down };
  const head = el("tr"), body = el("tbody"), more = el("p", { class: "say" });
  function fill() {
    let shown = rows;
    if (state.column !== null) {
      const of = columns[state.column].of, sign = state.down ? -1 : 1;
      const value = row => { const v = of(row); return v === null || v === undefined ? -Infinity : v; };
      shown = [...rows].sort((a, b) => {
        const x = value(a), y = value(b);
        return sign * (typeof x === "string" && typeof y === "string" ? x.localeCompare(y, "en", { numeric: true }) : x > y ? 1 : x < y ? -1 : 0);
      });
    }
    body.replaceChildren(...shown.slice(0, most).map(row => {
      const cells = columns.map(column => el("td", { class: `${kindOf(column) === "text" ? "text" : ""}${column.wide ? " wide" : ""}` },
        column.node ? column.node(row) : SHOWN[kindOf(column)](column.of(row))));
      const line = el("tr", row.key !== undefined ? { "data-key": row.key } : {}, ...cells);
      if (row.failed === true) line.classList.add("bad");
      if (pick) {
        line.classList.add("pick");
        line.tabIndex = 0;
        line.addEventListener("click", () => pick(row));
        line.addEventListener("keydown", press => { if (press.key === "Enter") pick(row); });
        if (row.key === chosen.stage && id === "stage-table") line.classList.add("chosen");
      }
      return line;
    }));
    more.textContent = shown.length > most ? `The first ${count(most)} of ${count(shown.length)} rows in this order.` : "";
    [...head.children].forEach((cell, i) => {
      if (i === state.column) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }
  columns.forEach((column, i) => head.append(el("th", { class: kindOf(column) === "text" ? "text" : "", scope: "col" },
    el("button", { tabindex: "0", role: "button", title: column.hint || "sort", onclick: () => {
      state.down = state.column === i ? !state.down : kindOf(column) !== "text";
      state.column = i;
      if (id) kept[id] = { sort: i, down: state.down };
      fill();
    }, onkeydown: press => { if (press.key === "Enter") press.target.click(); } }, column.title))));
  fill();
  const made = el("div", {}, el("div", { class: "scroll" }, el("table", id ? { id } : {}, el("thead", {}, head), body)), more);
  return made;
}

const chosen = { stage: null, shuffle: 0 }, kept = {};
let D = null;

function part(id, title, say, ...content) {
  return el("section", { id }, el("h2", {}, title), say ? el("p", { class: "say" }, say) : null, ...content);
}

function plot(id, height) { return el("div", { id, class: "plot", style: `height:${height}px` }); }

function key(id) { return el("div", { id: `${id}-legend`, class: "legend" }); }

function spread(stage, longest) {
  const at = value => `${(100 * value / longest).toFixed(2)}%`;
  const box = el("span", { class: "box", title: `shortest ${seconds(stage.min)}, half between ${seconds(stage.q1)} and ${seconds(stage.q3)}, ` +
    `median ${seconds(stage.median)}, longest ${seconds(stage.max)}` });
  if (stage.max === null) return box;
  box.append(el("i", { style: `left:${at(stage.min)};width:${at(stage.max - stage.min)}` }),
    el("b", { style: `left:${at(stage.q1)};width:${at(stage.q3 - stage.q1)}` }), el("u", { style: `left:${at(stage.median)}` }));
  return box;
}

function stageTable() {
  const longest = Math.max(1e-9, ...D.stages.map(stage => stage.max || 0));
  const columns = [
    { title: "stage", kind: "count", of: s => s.id, node: s => el("span", {}, el("span", { class: "swatch", style: `background:${colour(s.key)}` }), String(s.id)) },
    { title: "operation", of: s => s.name }, { title: "line", of: s => s.site },
    { title: "tasks", kind: "count", of: s => s.done, node: s => s.done < s.tasks ? `${count(s.done)} of ${count(s.tasks)}` : count(s.tasks) },
    { title: "failed", kind: "count", of: s => s.failed || null, node: s => el("span", { class: "bad" }, count(s.failed || null)) },
    { title: "began", kind: "seconds", of: s => s.start }, { title: "took", kind: "seconds", of: s => s.took, hint: "from its first task to its last" },
    { title: "task time", kind: "seconds", of: s => s.busy, hint: "sum over its tasks" },
    { title: "spread", of: s => s.max, node: s => spread(s, longest), hint: "sort by the longest task" },
    { title: "median", kind: "seconds", of: s => s.median }, { title: "longest", kind: "seconds", of: s => s.max },
    { title: "/ median", hint: "longest / median", kind: "count", of: s => s.median ? s.max / s.median : null, node: s => s.median && s.done > 1 ? `${(s.max / s.median).toFixed(1)}x` : "" },
    { title: "in", kind: "bytes", of: s => s.bytes_in || null }, { title: "records in", kind: "count", of: s => s.records_in || null },
    { title: "records out", kind: "count", of: s => s.records_out || null },
    { title: "shuffle write", kind: "bytes", of: s => s.shuffle_write || null }, { title: "shuffle read", kind: "bytes", of: s => s.shuffle_read || null },
    { title: "spilled", kind: "bytes", of: s => s.spilled || null }, { title: "peak memory", kind: "bytes", of: s => s.peak || null },
    { title: "gc", kind: "seconds", of: s => s.gc || null }, { title: "most time in", of: s => s.mostly },
  ].filter(column => ["stage", "operation"].includes(column.title) || D.stages.some(stage => column.of(stage)));
  const sorted = kept["stage-table"] || { sort: 0, down: false };
  return table(columns, D.stages, { ...sorted, id: "stage-table", pick: stage => chooseStage(stage.key, true) });
}

function taskRows(key) {
  const t = D.tasks, rows = [];
  for (let i = 0; i < t.stage.length; i += 1) {
    if (t.stage[i] !== key) continue;
    const row = { failed: D.statuses[t.status[i]] !== "ok" };
    for (const name of Object.keys(t)) row[name] = t[name][i];
    rows.push(row);
  }
  return rows;
}

function taskTable(rows) {
  const columns = [
    { title: "partition", kind: "count", of: r => r.partition }, { title: "attempt", kind: "count", of: r => r.attempt },
    { title: "executor", kind: "count", of: r => r.executor }, { title: "began", kind: "seconds", of: r => r.start },
    { title: "took", kind: "seconds", of: r => r.duration }, ...(rows.some(row => row.count > 1) ? [{ title: "tasks", kind: "count", of: r => r.count }] : []), { title: "state", of: r => D.statuses[r.status] },
    ...[["in", "bytes", "bytes_in"], ["records in", "count", "records_in"], ["records out", "count", "records_out"],
      ["shuffle write", "bytes", "shuffle_write"], ["shuffle read", "bytes", "shuffle_read"], ["spilled", "bytes", "spilled"],
      ["peak memory", "bytes", "peak"], ["gc", "seconds", "gc"]]
      .filter(([, , name]) => D.tasks[name] && rows.some(row => row[name]))
      .map(([title, kind, name]) => ({ title, kind, of: row => row[name] || null })),
  ];
  return table(columns, rows, { sort: columns.findIndex(column => column.title === "took"), id: "task-table", most: 500 });
}

function chooseStage(key, scroll) {
  chosen.stage = key;
  const stage = D.stages[key], place = document.getElementById("stage-tasks");
  document.querySelectorAll("#stage-table tr.pick").forEach(row => row.classList.toggle("chosen", row.dataset.key === String(key)));
  const rows = taskRows(key);
  const there = rows.reduce((sum, row) => sum + row.count, 0);
  const counted = `${count(there)}${there < stage.attempts ? ` of ${count(stage.attempts)}` : ""} tasks`;
  const many = rows.length > 1;
  place.replaceChildren(el("h3", {}, `Stage ${stage.id}: ${stage.name}${stage.site ? ` at ${stage.site}` : ""}, ${counted}`),
    stage.parts.length ? el("p", { class: "say" }, "Where its task time went: " + stage.parts.map(([name, s]) => `${name} ${seconds(s)}`).join(", ") + ".") : "",
    many ? plot("stage-plot", 240) : "", taskTable(rows));
  if (many) stagePlot(rows, key);
  if (scroll) place.scrollIntoView({ behavior: "smooth", block: "nearest" });
}

function lists() {
  const made = [];
  if (D.jobs.length) made.push(["jobs", "Jobs", part("jobs", "Jobs", "", table([
    { title: "job", kind: "count", of: j => j.id }, { title: "action", of: j => j.name }, { title: "line", of: j => j.site },
    { title: "began", kind: "seconds", of: j => j.start },
    { title: "took", kind: "seconds", of: j => j.took }, { title: "state", of: j => j.status, node: j => el("span", j.status === "failed" ? { class: "bad" } : {}, j.status) }, { title: "stages", of: j => j.stages },
  ].filter(column => D.jobs.some(job => column.of(job) !== null && column.of(job) !== "")), D.jobs, { sort: 0, down: false, id: "job-table" }))]);
  if (D.executors.length) made.push(["executors", "Executors", part("executors", "Executors", "", table([
    { title: "executor", kind: "count", of: e => e.rank }, { title: "host", of: e => e.host }, { title: "pid", of: e => e.pid },
    { title: "tasks", kind: "count", of: e => e.tasks }, { title: "busy", kind: "seconds", of: e => e.busy },
    { title: "idle", kind: "seconds", of: e => e.idle }, { title: "memory limit", kind: "bytes", of: e => e.limit },
    { title: "most memory used", kind: "bytes", of: e => e.peak }, { title: "spilled", kind: "bytes", of: e => e.spilled },
    { title: "in place of", of: e => e.instead }, { title: "lost", kind: "seconds", of: e => e.lost }, { title: "cause", of: e => e.cause, wide: true },
  ].filter(column => D.executors.some(row => column.of(row) !== null && column.of(row) !== "")), D.executors.map(e => ({ ...e, failed: e.lost !== null })), { sort: 0, down: false }))]);
  return made;
}

function draw() {
  const main = document.getElementById("main"), at = window.scrollY;
  document.getElementById("title").textContent = D.title;
  const badge = document.getElementById("status");
  badge.textContent = D.status; badge.className = `badge ${D.status}`;
  document.getElementById("footer").textContent = D.footer;
  const parts = [];
  if (D.hints.length) parts.push(["hints", "Stands out", part("hints", "What stands out", "", el("ul", {}, ...D.hints.map(hint => el("li", {}, hint))))]);
  if (D.errors.length) parts.push(["errors", "Errors", part("errors", D.losses.length ? "Errors and losses" : "Errors", "", ...D.errors.map((error, i) =>
    el("details", i === 0 ? { open: "" } : {}, el("summary", { class: "bad" }, error.title), el("pre", {}, error.text))))]);
  if (D.tasks.stage.length || D.exchanges.length) parts.push(["timeline", "Timeline", part("timeline", "Timeline",
    "One row for each executor. Tasks have the colour of their stage; gaps are idle time. Drag to zoom, double-click to see all, click a task for its stage.",
    plot("timeline-plot", timelineHeight()), key("timeline"))]);
  if (D.stages.length) parts.push(["stages", "Stages", part("stages", "Stages", "Click a stage to see its tasks, click a title to sort.",
    stageTable(), el("div", { id: "stage-tasks" }))]);
  if (D.lineage.nodes.length) parts.push(["lineage", "Lineage", part("lineage", "Lineage", D.lineage.note, plot("lineage-plot", lineageHeight()), key("lineage"))]);
  if (D.memory.length) parts.push(["memory", "Memory", part("memory", "Memory", "What each executor uses of its budget.", plot("memory-plot", 280), key("memory"))]);
  const pair = [];
  if (D.shuffles.length) {
    const select = el("select", { id: "shuffle", onchange: () => { chosen.shuffle = select.selectedIndex; shufflePlot(); } },
      ...D.shuffles.map(shuffle => el("option", {}, shuffle.name)));
    chosen.shuffle = Math.min(chosen.shuffle, D.shuffles.length - 1);
    select.selectedIndex = chosen.shuffle;
    pair.push(part("shuffles", "Shuffles", "Bytes that each executor sent to each.", el("label", { for: "shuffle" }, "Shuffle "), select, plot("shuffle-plot", 380)));
  }
  if (D.partitions.length) pair.push(part("partitions", "Largest partitions", "", table([
    { title: "stage", of: p => p.name }, { title: "partition", kind: "count", of: p => p.partition },
    { title: "bytes", kind: "bytes", of: p => p.bytes }, { title: "records", kind: "count", of: p => p.records },
    { title: "share", kind: "count", of: p => p.share, node: p => p.share === null ? "" : `${(100 * p.share).toFixed(p.share < 0.1 ? 1 : 0)} %` },
    { title: "/ median", kind: "count", of: p => p.times, node: p => p.times === null ? "" : `${p.times.toFixed(1)}x` },
  ].filter(column => D.partitions.some(row => column.of(row) !== null)), D.partitions, { sort: null })));
  if (pair.length) parts.push(["shuffles", "Shuffles", pair.length === 2 ? el("div", { class: "two" }, ...pair) : pair[0]]);
  if (D.keys.length) parts.push(["keys", "Keys", part("keys", "Hottest keys", "Those with the most records on the way into each shuffle.", table([
    { title: "shuffle", of: k => k.name }, { title: "key", of: k => k.shown, wide: true },
    { title: "records", kind: "count", of: k => k.records }, { title: "share", kind: "count", of: k => k.share, node: k => k.share === null ? "" : `${(100 * k.share).toFixed(1)} %` },
  ].filter(column => D.keys.some(row => column.of(row) !== null)), D.keys))]);
  if (D.flame) parts.push(["profile", "Profile", part("profile", "Profile",
    "Where the time of tasks went, callers above what they call. Click to zoom in.", plot("flame-plot", 460))]);
  parts.push(...lists());
  if (D.kept.length) parts.push(["kept", "Kept", part("kept", "Kept partitions", "", table([
    { title: "RDD", of: k => k.name }, { title: "level", of: k => k.level },
    { title: "partitions kept", kind: "count", of: k => k.partitions, node: k => k.partitions < k.all ? `${count(k.partitions)} of ${count(k.all)}` : count(k.all) },
    { title: "partitions that", of: k => k.what },
    { title: "in memory", kind: "bytes", of: k => k.memory || null }, { title: "on disk", kind: "bytes", of: k => k.disk || null },
  ].filter(column => D.kept.some(row => column.of(row) !== null)), D.kept))]);
  if (D.settings.length) parts.push(["settings", "Settings", part("settings", "Settings", "", table([
    { title: "name", of: s => s[0] }, { title: "value", of: s => s[1], wide: true }], D.settings))]);
  main.replaceChildren(...D.notes.map(note => el("p", { class: "note" }, note)),
    el("div", { class: "tiles" }, ...D.tiles.map(([label, value, bad]) => el("div", { class: bad ? "tile bad" : "tile" }, el("b", {}, value), el("span", {}, label)))),
    ...parts.map(([, , content]) => content));
  document.getElementById("nav").replaceChildren(...parts.map(([id, title]) => el("a", { href: `#${id}` }, title)));
  drawCharts();
  if (chosen.stage !== null && chosen.stage < D.stages.length) chooseStage(chosen.stage, false);
  window.scrollTo(0, at);
}

async function follow() {
  const began = performance.now();
  try {
    const answer = await fetch(`data${location.search}&seen=${D.seen === undefined ? "" : D.seen}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = answer.status === 204 ? null : await answer.json();
    if (fresh) { D = fresh; draw(); }
    if (D.status !== "running") return;
  } catch (problem) {
    if (!(problem instanceof TypeError) && !(problem instanceof Error && /^\d+$/.test(problem.message))) throw problem;
    const badge = document.getElementById("status");
    badge.textContent = "no longer served"; badge.className = "badge unknown";
    return;
  }
  setTimeout(follow, Math.max(2000, 4 * (performance.now() - began)));
}

document.addEventListener("DOMContentLoaded", () => {
  D = JSON.parse(document.getElementById("data").textContent);
  if (!D.live) draw();
  else follow();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
});
