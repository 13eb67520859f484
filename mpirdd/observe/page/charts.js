// The charts, drawn by plotly from the page's data D.
"use strict";

const PALETTE = ["#4c8bf5", "#e8833a", "#2ca58d", "#c85a9c", "#a58b00", "#7b6fd0", "#5f9ea0", "#3aa6c9", "#7a9a3c", "#a0705a"];
const EXCHANGE = "#8a93a3", MOST_SEGMENTS = 12000;

function colour(key) { return PALETTE[key % PALETTE.length]; }

// plotly interprets some HTML in its texts; the user's text must stay text.
function esc(text) { return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

function cut(text, most) { return text.length > most ? text.slice(0, most - 1) + "…" : text; }

function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function layout(more) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
  const made = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 60, r: 12, t: 8, b: 36 },
    font: { color: css("--ink"), family: "system-ui, sans-serif", size: 12 }, hoverlabel: { align: "left", font: { size: 12 } },
    showlegend: false, modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--accent") }, ...more };
  made.xaxis = { ...axis, ...(more.xaxis || {}) };
  made.yaxis = { ...axis, ...(more.yaxis || {}) };
  return made;
}

// plotly's own legends would cover narrow charts.
function legend(id, items) {
  document.getElementById(`${id}-legend`).replaceChildren(...items.map(([name, color, round]) =>
    el("span", {}, el("i", { class: "swatch", style: `background:${color}${round ? ";border-radius:50%" : ""}` }), name)));
}

const CONFIG = { displaylogo: false, responsive: true, scrollZoom: false, showSendToCloud: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

function lanes() { return D.executors.map(executor => executor.rank); }

function timelineHeight() { return Math.min(900, 76 + Math.max(lanes().length, 2) * laneHeight()); }

function laneHeight() { return Math.max(5, Math.min(30, 640 / Math.max(1, lanes().length))); }

// The segments between two times: single tasks while they are few, else for each piece of time the stage that took most of it.
function segments(from, to) {
  const t = D.tasks, visible = [];
  for (let i = 0; i < t.stage.length; i += 1) if (t.start[i] < to && t.start[i] + t.duration[i] > from) visible.push(i);
  if (visible.length <= 4000) return visible.map(i => ({ stage: t.stage[i], executor: t.executor[i], start: t.start[i], end: t.start[i] + t.duration[i], task: i }));
  const bins = Math.max(60, Math.min(900, Math.floor(MOST_SEGMENTS / Math.max(1, lanes().length)))), width = (to - from) / bins;
  const cells = new Map();
  for (const i of visible) {
    const begin = Math.max(t.start[i], from), end = Math.min(t.start[i] + t.duration[i], to);
    for (let bin = Math.floor((begin - from) / width); bin < bins && from + bin * width < end; bin += 1) {
      const left = from + bin * width, overlap = Math.min(end, left + width) - Math.max(begin, left), key = t.executor[i] * bins + bin;
      if (!cells.has(key)) cells.set(key, new Map());
      const by = cells.get(key), was = by.get(t.stage[i]) || [0, 0];
      by.set(t.stage[i], [was[0] + overlap, was[1] + t.count[i]]);
    }
  }
  const merged = [], last = new Map();
  for (const key of [...cells.keys()].sort((a, b) => a - b)) {
    const executor = Math.floor(key / bins), bin = key % bins, by = cells.get(key);
    let stage = -1, most = -1, tasks = 0, busy = 0;
    for (const [each, [time, number]] of by) { busy += time; if (time > most) { most = time; stage = each; tasks = number; } }
    const before = last.get(executor), start = from + bin * width, full = busy > 0.75 * width;
    if (before && before.stage === stage && before.bin === bin - 1 && before.full && full) { before.end = start + width; before.bin = bin; before.tasks += tasks; continue; }
    const made = { stage, executor, start, end: start + Math.max(Math.min(busy, width), width * 0.35), tasks, bin, full };
    merged.push(made); last.set(executor, made);
  }
  return merged;
}

function told(segment) {
  const stage = D.stages[segment.stage], t = D.tasks;
  const head = `<b>${esc(cut(`stage ${stage.id} ${stage.name}`, 60))}</b><br>${esc(cut(stage.site || "", 60))}<br>`;
  if (segment.task === undefined) return `${head}${count(segment.tasks)} tasks or parts of them, ${seconds(segment.end - segment.start)}<br>zoom in for single tasks`;
  const i = segment.task, moved = [["in", "bytes_in"], ["shuffle write", "shuffle_write"], ["shuffle read", "shuffle_read"], ["spilled", "spilled"]]
    .filter(([, name]) => t[name] && t[name][i]).map(([title, name]) => `${title} ${bytes(t[name][i])}`).join(", ");
  const state = D.statuses[t.status[i]];
  if (t.count[i] > 1) return `${head}${count(t.count[i])} tasks, one after the other: ${seconds(t.duration[i])}${moved ? `<br>${moved}` : ""}`;
  return `${head}partition ${t.partition[i]}${t.attempt[i] ? `, attempt ${t.attempt[i]}` : ""}: ${seconds(t.duration[i])}${state === "ok" ? "" : `, <b>${esc(state)}</b>`}${moved ? `<br>${moved}` : ""}`;
}

function timelineTraces(from, to) {
  const place = new Map(lanes().map((rank, i) => [rank, i])), traces = new Map();
  const thick = Math.max(3, laneHeight() * 0.62);
  const trace = (key, name, line) => {
    if (!traces.has(key)) traces.set(key, { type: "scatter", mode: "lines", plain: name, name: esc(name), x: [], y: [], text: [], customdata: [], hoverinfo: "text", connectgaps: false,
      line: { color: line, width: thick, simplify: false } });
    return traces.get(key);
  };
  const add = (to, start, end, row, text, data) => {
    to.x.push(start, (start + end) / 2, end, null); to.y.push(row, row, row, null);
    to.text.push(text, text, text, ""); to.customdata.push(data, data, data, null);
  };
  for (const segment of segments(from, to)) {
    const stage = D.stages[segment.stage];
    const bad = segment.task !== undefined && D.statuses[D.tasks.status[segment.task]] !== "ok";
    const to_ = bad ? trace("failed", "not finished: failed, lost or stopped", css("--bad")) :
      trace(`s${segment.stage}`, cut(`${stage.id} ${stage.name}`, 34), colour(segment.stage));
    add(to_, segment.start, segment.end, place.get(segment.executor), told(segment), segment.stage);
  }
  for (const exchange of D.exchanges) {
    if (exchange.end < from || exchange.start > to) continue;
    const text = `<b>exchange</b> ${esc(cut(exchange.name, 60))}<br>${seconds(exchange.end - exchange.start)}`;
    add(trace("exchange", "exchange", EXCHANGE), exchange.start, exchange.end, place.get(exchange.executor), text, null);
  }
  const made = [...traces.values()];
  const names = made.map(each => [each.plain, each.line.color]).sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
  legend("timeline", names.length <= 30 ? names : [...names.slice(0, 30), [`and ${count(names.length - 30)} more stages`, "transparent"]]);
  const losses = D.losses.filter(loss => place.has(loss.executor));
  if (losses.length) made.push({ type: "scatter", mode: "markers", name: "executor lost", x: losses.map(l => l.at), y: losses.map(l => place.get(l.executor)),
    text: losses.map(l => esc(cut(l.text, 120))), hoverinfo: "text", marker: { symbol: "x", size: 12, color: css("--bad"), line: { width: 1, color: css("--card") } } });
  return made;
}

function timelinePlot() {
  const div = document.getElementById("timeline-plot");
  if (!div) return;
  const rows = lanes(), hosts = D.executors.map(executor => executor.host);
  const several = new Set(hosts).size > 1, step = Math.ceil(rows.length / 40);
  const shown = rows.map((rank, i) => esc(several ? `${rank} ${cut(hosts[i] || "", 14)}` : `executor ${rank}`));
  const range = kept.timeline || [0, Math.max(D.span, 1e-6)];
  const made = layout({ hovermode: "closest", dragmode: "zoom", margin: { l: 76, r: 12, t: 26, b: 40 },
    xaxis: { range, title: { text: "seconds since the start" }, zeroline: false },
    yaxis: { range: [rows.length - 0.5, -0.5], fixedrange: true, tickvals: rows.map((_, i) => i).filter(i => i % step === 0), ticktext: shown.filter((_, i) => i % step === 0), zeroline: false },
    shapes: D.losses.map(loss => ({ type: "line", x0: loss.at, x1: loss.at, yref: "paper", y0: 0, y1: 1, line: { color: css("--bad"), width: 1, dash: "dot" } })) });
  Plotly.newPlot(div, timelineTraces(range[0], range[1]), made, CONFIG);
  div.on("plotly_click", click => { const key = click.points[0].customdata; if (typeof key === "number") chooseStage(key, true); });
  div.on("plotly_relayout", change => {
    const all = change["xaxis.autorange"], left = change["xaxis.range[0]"], right = change["xaxis.range[1]"];
    if (!all && left === undefined) return;
    const next = all ? [0, Math.max(D.span, 1e-6)] : [left, right];
    kept.timeline = all ? null : next;
    made.xaxis.range = next; made.xaxis.autorange = false;
    Plotly.react(div, timelineTraces(next[0], next[1]), made, CONFIG);
  });
}

function stagePlot(rows, key) {
  const shown = rows.length > 5000 ? [...rows].sort((a, b) => b.duration - a.duration).slice(0, 5000) : rows;
  const good = shown.filter(row => !row.failed), bad = shown.filter(row => row.failed);
  const dots = (some, name, color) => ({ type: "scatter", mode: "markers", name, x: some.map(row => row.partition), y: some.map(row => row.duration),
    text: some.map(row => `partition ${row.partition} on executor ${row.executor}: ${seconds(row.duration)}`), hoverinfo: "text", marker: { color, size: some.length > 500 ? 4 : 7, opacity: 0.8 } });
  Plotly.newPlot("stage-plot", [dots(good, "tasks", colour(key)), ...(bad.length ? [dots(bad, "not finished", css("--bad"))] : [])],
    layout({ hovermode: "closest", margin: { l: 60, r: 12, t: 26, b: 36 }, xaxis: { title: { text: "partition" } }, yaxis: { title: { text: "seconds" }, rangemode: "tozero" } }), CONFIG);
}

function lineageHeight() { 
  const depth = 1 + Math.max(0, ...D.lineage.nodes.map(node => node.y));
  return 60 + depth * Math.max(18, Math.min(58, 840 / depth));
}

function lineagePlot() {
  if (!document.getElementById("lineage-plot")) return;
  const nodes = D.lineage.nodes, traces = [], items = [];
  for (const wide of [false, true]) {
    const edges = D.lineage.edges.filter(edge => edge[2] === wide), x = [], y = [];
    for (const [from, to] of edges) { x.push(nodes[from].x, nodes[to].x, null); y.push(nodes[from].y, nodes[to].y, null); }
    if (!x.length) continue;
    items.push([wide ? "through a shuffle" : "narrow", wide ? "#e8833a" : css("--soft")]);
    traces.push({ type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line: { color: wide ? "#e8833a" : css("--soft"), width: wide ? 3 : 1.4 } });
  }
  const looks = { plain: ["square", css("--soft"), 11], shuffle: ["diamond", "#e8833a", 13], source: ["circle", "#4c8bf5", 12], kept: ["star", "#2ca58d", 16], checkpoint: ["hexagon", "#7b6fd0", 15] };
  const names = { plain: "computed", shuffle: "shuffled", source: "source", kept: "kept (cache, persist)", checkpoint: "checkpoint" };
  const few = nodes.length <= 70;
  for (const [state, [symbol, color, size]] of Object.entries(looks)) {
    const some = nodes.filter(node => node.state === state);
    if (!some.length) continue;
    items.push([names[state], color, true]);
    traces.push({ type: "scatter", mode: few ? "markers+text" : "markers", x: some.map(n => n.x), y: some.map(n => n.y),
      text: some.map(n => esc(cut(n.label, 26))), textposition: "middle right", textfont: { size: 11 }, cliponaxis: false, hovertext: some.map(n => n.detail.map(line => esc(cut(line, 90))).join("<br>")), hoverinfo: "text",
      marker: { symbol, color, size, line: { width: 1, color: css("--card") } } });
  }
  const xs = nodes.map(node => node.x), ys = nodes.map(node => node.y);
  legend("lineage", items);
  const bare = { showgrid: false, zeroline: false, showticklabels: false, showline: false };
  Plotly.newPlot("lineage-plot", traces, layout({ hovermode: "closest", dragmode: "pan", margin: { l: 12, r: 12, t: 26, b: 8 },
    xaxis: { ...bare, range: [Math.min(...xs) - 0.3, Math.max(...xs) + 0.9] }, yaxis: { ...bare, range: [Math.max(...ys) + 0.6, Math.min(...ys) - 0.6] } }), CONFIG);
}

function memoryPlot() {
  if (!document.getElementById("memory-plot")) return;
  // A limit far above all use would press the lines flat.
  const used = Math.max(1, ...D.memory.map(m => Math.max(...m.used)));
  const limits = [...new Set(D.memory.map(m => m.limit).filter(limit => limit && limit < 4 * used))].slice(0, 3);
  const most = Math.max(used, ...limits), unit = Math.max(0, Math.min(5, Math.floor(Math.log2(most) / 10)));
  const scale = 1024 ** unit, few = D.memory.length <= 12;
  const traces = D.memory.map((m, i) => ({ type: "scatter", mode: "lines", name: `executor ${m.executor}`, x: m.t, y: m.used.map(v => v / scale),
    line: { color: colour(i), width: few ? 2 : 1, shape: "hv" }, text: m.used.map(v => `executor ${m.executor}: ${bytes(v)}`), hoverinfo: "text+x" }));
  const shapes = limits.map(limit => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: limit / scale, y1: limit / scale, line: { color: css("--bad"), width: 1, dash: "dash" } }));
  const annotations = limits.map(limit => ({ xref: "paper", x: 1, xanchor: "right", y: limit / scale, yanchor: "bottom", text: `limit ${bytes(limit)}`, showarrow: false, font: { size: 11, color: css("--bad") } }));
  Plotly.newPlot("memory-plot", traces, layout({ hovermode: "closest", shapes, annotations,
    xaxis: { title: { text: "seconds since the start" }, range: [0, Math.max(D.span, 1e-6)] }, yaxis: { title: { text: UNITS[unit] }, rangemode: "tozero", range: [0, 1.1 * most / scale] }, margin: { l: 60, r: 12, t: 26, b: 40 } }), CONFIG);
  legend("memory", few ? traces.map(trace => [trace.name, trace.line.color]) : []);
}

function shufflePlot() {
  const shuffle = D.shuffles[chosen.shuffle];
  if (!shuffle || !document.getElementById("shuffle-plot")) return;
  const few = shuffle.ranks.length <= 12, tick = shuffle.ranks.map(String);
  Plotly.newPlot("shuffle-plot", [{ type: "heatmap", x: tick, y: tick, z: shuffle.matrix, colorscale: [[0, css("--ground")], [1, "#e8833a"]], showscale: false, xgap: few ? 2 : 0, ygap: few ? 2 : 0,
    text: shuffle.matrix.map((row, i) => row.map((n, j) => `executor ${tick[i]} to ${tick[j]}: ${bytes(n)}`)), hoverinfo: "text" }],
  layout({ margin: { l: 60, r: 12, t: 26, b: 40 }, xaxis: { title: { text: "to executor" }, type: "category", constrain: "domain" }, yaxis: { title: { text: "from executor" }, type: "category", autorange: "reversed" },
    annotations: few ? shuffle.matrix.flatMap((row, i) => row.map((n, j) => ({ x: j, y: i, text: bytes(n), showarrow: false, font: { size: 11, color: css("--ink") } }))) : [] }), CONFIG);
}

function flamePlot() {
  if (!D.flame || !document.getElementById("flame-plot")) return;
  const f = D.flame;
  Plotly.newPlot("flame-plot", [{ type: "icicle", ids: f.ids, labels: f.labels.map(esc), parents: f.parents, values: f.values, branchvalues: "total",
    tiling: { orientation: "v" }, leaf: { opacity: 1 }, text: f.values.map(us => seconds(us / 1e6)), hovertemplate: "%{label}<br>%{text} (%{percentRoot:.1%})<extra></extra>", textinfo: "label+text",
    sort: false, textfont: { color: f.labels.map((label, i) => i === 0 ? css("--ink") : "#10131a") }, marker: { colors: f.labels.map((label, i) => i === 0 ? css("--line") : colour([...label].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 9973, 7))) }, pathbar: { visible: true } }],
  layout({ margin: { l: 4, r: 4, t: 24, b: 4 } }), CONFIG);
}

function drawCharts() { timelinePlot(); lineagePlot(); memoryPlot(); shufflePlot(); flamePlot(); }
