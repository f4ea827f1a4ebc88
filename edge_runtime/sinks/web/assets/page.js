// Asks for the newest picture, draws it, asks again: a slow link gets fewer pictures, never older ones.
// question "next" or "next heat" --> answer: length, JSON, length, JPEG, map (see board.py)
"use strict";

const STALE_MS = 1000; // a picture older than this is not shown as live
const SILENT_MS = 4000; // a server that has not answered for so long is asked anew
const STATE_RGB = {
  TRACKING: "#4ade80", COASTING: "#fbbf24", LOST: "#f87171", FAULT: "#f87171", SEARCHING: "#9fb0c3",
};
const WARM = [[0, 0, 0, 0], [60, 15, 110, 90], [190, 40, 80, 140], [250, 130, 20, 165], [255, 240, 120, 185]];

const $ = (id) => document.getElementById(id);
const canvas = $("picture");
const pen = canvas.getContext("2d");
const heatLayer = document.createElement("canvas");

let socket = null;
let retryMs = 0;
let askedAt = 0; // performance.now() of the question under way
let answeredAt = performance.now();
let shown = null; // {record, ageMs and at: age bound when it arrived}
let picture = null; // ImageBitmap
let hasMap = false;
let header = {};
let stats = null;
let statsAt = 0;
let history = [];
let openedAt = performance.now();
let heatWanted = recall("heat") === "1";

// ---- link

function connect() {
  if (document.hidden) return;
  const mine = new WebSocket(location.origin.replace(/^http/, "ws") + "/live" + location.search);
  let opened = false;
  socket = mine;
  mine.binaryType = "arraybuffer";
  mine.onopen = () => {
    opened = true;
    retryMs = 0;
    answeredAt = performance.now();
    link("live", "live");
    ask();
  };
  mine.onmessage = async (event) => {
    if (mine !== socket) return;
    answeredAt = performance.now();
    await take(event.data, answeredAt);
    if (mine === socket) requestAnimationFrame(ask);
  };
  mine.onclose = (event) => {
    if (mine !== socket) return;
    socket = null;
    if (opened && event.code === 1001) link("ended", "run ended");
    else if (document.body.dataset.link !== "ended") link("connecting", "reconnecting");
    retryMs = Math.min(2000, retryMs ? retryMs * 2 : 250);
    setTimeout(connect, retryMs);
  };
}

function ask() {
  if (document.hidden || !socket || socket.readyState !== WebSocket.OPEN) return;
  askedAt = performance.now();
  socket.send(heatWanted ? "next heat" : "next");
}

function link(kind, text) {
  document.body.dataset.link = kind;
  $("link-text").textContent = text;
  tick(); // what the page says of the link changes with it, in one step
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    if (socket) socket.close(1000);
    socket = null;
  } else if (!socket) connect();
});

async function take(buffer, at) {
  const view = new DataView(buffer);
  const textLength = view.getUint32(0);
  const body = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, textLength)));
  const jpegLength = view.getUint32(4 + textLength);
  const jpegAt = 8 + textLength;
  if (body.header) showHeader(body.header);
  if (body.stats) {
    stats = body.stats;
    history = body.history;
    statsAt = at;
    showStats();
  }
  if (!body.record) return;
  const travelMs = Math.max(0, at - askedAt - body.held_ms); // both ways: the age is never understated
  const fresh = await createImageBitmap(new Blob([new Uint8Array(buffer, jpegAt, jpegLength)], {type: "image/jpeg"}));
  if (picture) picture.close();
  picture = fresh;
  hasMap = Boolean(body.map);
  if (hasMap) paintMap(new Uint8Array(buffer, jpegAt + jpegLength), body.map);
  shown = {record: body.record, ageMs: body.age_ms + travelMs, at};
  draw();
  showTarget();
  tick();
}

// ---- picture

function paintMap(levels, [width, height]) {
  heatLayer.width = width;
  heatLayer.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const place = (levels[i] / 255) * (WARM.length - 1);
    const low = Math.min(WARM.length - 2, Math.floor(place));
    for (let c = 0; c < 4; c++) {
      image.data[4 * i + c] = WARM[low][c] + (WARM[low + 1][c] - WARM[low][c]) * (place - low);
    }
  }
  heatLayer.getContext("2d").putImageData(image, 0, 0);
}

function draw() {
  if (!picture) return;
  const dense = Math.min(2, window.devicePixelRatio || 1);
  const shownWidth = canvas.clientWidth || picture.width;
  const width = Math.round(Math.min(1920, Math.max(picture.width, shownWidth * dense)));
  const height = Math.round((width * picture.height) / picture.width);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, width, height);
  if (heatWanted && hasMap) pen.drawImage(heatLayer, 0, 0, width, height);
  const unit = width / Math.max(320, shownWidth); // canvas pixels per page pixel
  const {record} = shown;
  for (const other of record.others || []) frame(other.box, "#ffffffb0", 1.5 * unit, [5 * unit, 4 * unit]);
  if (record.box) {
    const predicted = record.box_src === "pred";
    frame(record.box, STATE_RGB[record.state] || "#fff", 2.5 * unit, predicted ? [9 * unit, 6 * unit] : []);
    label(record, unit);
  }
  canvas.dataset.box = record.box ? record.box.join(",") : "";
}

function frame([x0, y0, x1, y1], color, thick, dash) {
  const [left, top] = [x0 * canvas.width, y0 * canvas.height];
  const [wide, tall] = [(x1 - x0) * canvas.width, (y1 - y0) * canvas.height];
  pen.setLineDash(dash);
  for (const [style, extra] of [["#000000a0", 2], [color, 0]]) {
    pen.strokeStyle = style;
    pen.lineWidth = thick + extra;
    pen.strokeRect(left, top, wide, tall);
  }
  pen.setLineDash([]);
}

function label(record, unit) {
  const text = record.cls + (record.score === null ? " (predicted)" : "  " + record.score.toFixed(2));
  const size = 14 * unit;
  pen.font = `600 ${size}px system-ui, sans-serif`;
  const wide = pen.measureText(text).width + size;
  const tall = size * 1.6;
  const left = Math.max(0, Math.min(record.box[0] * canvas.width, canvas.width - wide));
  const above = record.box[1] * canvas.height - tall;
  const top = above >= 0 ? above : Math.min(record.box[3] * canvas.height, canvas.height - tall);
  pen.fillStyle = STATE_RGB[record.state] || "#fff";
  pen.fillRect(left, top, wide, tall);
  pen.fillStyle = "#0b0f14";
  pen.textBaseline = "middle";
  pen.fillText(text, left + size / 2, top + tall / 2);
}

// ---- figures

function showHeader(found) {
  header = found;
  const model = (found.model && found.model.name) || "";
  const source = (found.source && found.source.name) || "";
  $("what").textContent = [source, model].filter(Boolean).join("  ·  ");
  $("version").textContent = found.software ? `${found.software.name} ${found.software.version}` : "";
}

function showTarget() {
  const {record} = shown;
  const degrees = (rad) => `${Math.abs((rad * 180) / Math.PI).toFixed(1)}°`;
  const {bearing} = record;
  put("class", record.cls);
  put("score", record.score === null ? null : record.score.toFixed(2));
  $("score-bar").style.width = `${100 * (record.score || 0)}%`;
  put("present", typeof record.p_present === "number" ? record.p_present.toFixed(2) : null);
  put("track", record.tid === null ? "" : `track ${record.tid}`);
  put("az", bearing && `${degrees(bearing.az)} ${bearing.az < 0 ? "left" : "right"}`);
  put("el", bearing && `${degrees(bearing.el)} ${bearing.el < 0 ? "down" : "up"}`);
  put("size", bearing && `${degrees(bearing.size_x)} × ${degrees(bearing.size_y)}`);
  put("range", record.range_m === null ? null : `${record.range_m.toFixed(0)} m`);
  put("flags", record.flags && record.flags.length ? record.flags.join(", ").replaceAll("_", " ") : "");
}

function showStats() {
  const source = stats.source || {};
  const engine = stats.engine || {};
  const dropped = stats.dropped || {};
  const rows = [["Frames before the network", dropped.frames]];
  for (const sink of stats.sinks || []) {
    rows.push([sink.name, sink.failure ? "failed" : sink.dropped, sink.failure ? "dead" : ""]);
  }
  rows.push(["Frames unreadable", source.unreadable], ["Camera reconnects", source.reconnects]);
  rows.push(["Engine reloads", engine.reloads], ["Faults", stats.faults]);
  $("drops").replaceChildren(...rows.filter((row) => row[1] !== undefined).map(([name, count, kind]) => {
    const item = tag("li", kind || (count ? "some" : ""), tag("span", "", name), tag("b", "", String(count)));
    item.title = name;
    return item;
  }));
  for (const [row, name] of [["row-age", "age"], ["row-infer", "infer"]]) {
    const recent = (stats.stages && stats.stages[name] && stats.stages[name].recent) || {};
    const cells = $(row).getElementsByTagName("td");
    ["p50_ms", "p95_ms", "p99_ms"].forEach((key, i) => {
      cells[i].textContent = typeof recent[key] === "number" ? recent[key].toFixed(1) : "–";
    });
  }
  put("rate", typeof stats.fps === "number" ? `${stats.fps.toFixed(1)} results/s` : "");
  put("frames", typeof stats.frames === "number" ? `${stats.frames} frames, ${stats.valid ?? 0} valid` : "");
  put("uptime", typeof stats.uptime_s === "number" ? `up ${clock(stats.uptime_s)}` : "");
  showTransitions();
  chart();
}

function showTransitions() {
  const newest = (stats.transitions || []).slice(-8).reverse();
  if (!newest.length) return;
  $("transitions").replaceChildren(...newest.map((one) => {
    const line = tag("li", "", tag("span", ""), tag("span", "quiet num", `${clock((stats.t_mono_ns - one.t_mono_ns) / 1e9)} ago`));
    line.firstChild.append(`${one.from} → `, tag("b", one.to, one.to));
    if (one.tid !== null && one.tid !== undefined) line.firstChild.append(`  track ${one.tid}`);
    if (one.reason) line.append(tag("span", "why quiet", one.reason));
    return line;
  }));
}

function chart() {
  const board = $("chart");
  const dense = window.devicePixelRatio || 1;
  const [width, height] = [board.clientWidth, board.clientHeight];
  if (!width) return;
  board.width = width * dense;
  board.height = height * dense;
  const ink = board.getContext("2d");
  const style = getComputedStyle(document.body);
  const color = (name) => style.getPropertyValue(name).trim();
  ink.scale(dense, dense);
  const limit = header.max_age_ms || 0;
  const most = Math.max(10, ...history.map((bin) => (bin ? bin[0] : 0))) * 1.15;
  const step = [5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((s) => most / s <= 5) || most / 3;
  const [left, right, top, bottom] = [34, width - 2, 6, height - 6];
  const x = (i) => left + ((right - left) * (i + 0.5)) / history.length;
  const y = (ms) => bottom - ((bottom - top) * ms) / most;
  ink.font = "11px system-ui, sans-serif";
  ink.textAlign = "right";
  ink.textBaseline = "middle";
  for (let ms = 0; ms < most; ms += step) {
    ink.fillStyle = color("--quiet");
    ink.fillText(String(ms), left - 6, y(ms));
    ink.fillStyle = color("--line");
    ink.fillRect(left, Math.round(y(ms)), right - left, 1);
  }
  history.forEach((bin, i) => { // an outage is a gap, shaded once there was something before it
    if (bin || !history.slice(0, i).some(Boolean)) return;
    ink.fillStyle = color("--bad") + "2e";
    ink.fillRect(x(i - 0.5), top, x(1) - x(0), bottom - top);
  });
  if (limit && limit < most) {
    ink.strokeStyle = color("--warn");
    ink.setLineDash([4, 4]);
    line(ink, [[left, y(limit)], [right, y(limit)]]);
    ink.setLineDash([]);
  }
  for (const [which, name] of [[0, "--age"], [1, "--infer"]]) {
    ink.strokeStyle = color(name);
    ink.lineWidth = 1.8;
    ink.lineJoin = "round";
    let run = [];
    for (const [i, bin] of [...history, null].entries()) {
      if (bin) run.push([x(i), y(bin[which])]);
      else if (run.length) {
        line(ink, run.length > 1 ? run : [run[0], [run[0][0] + 2, run[0][1]]]);
        run = [];
      }
    }
  }
}

function line(ink, points) {
  ink.beginPath();
  points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
  ink.stroke();
}

// ---- what time alone changes

function tick() {
  const now = performance.now();
  const ageMs = shown ? shown.ageMs + now - shown.at : now - openedAt;
  const isStale = ageMs > STALE_MS;
  const record = shown && shown.record;
  const faulty = Boolean(stats) && stats.healthy === false && now - statsAt < 2 * STALE_MS;
  const maxAgeMs = header.max_age_ms || 150;
  const state = isStale ? (shown ? "STALE" : "NONE") : record ? record.state : "NONE";
  document.body.dataset.state = faulty && !isStale ? "FAULT" : state;
  const name = isStale ? (shown ? "NO DATA" : "WAITING") : faulty ? "FAULT" : record ? record.state : "–";
  put("state", name);
  put("state-short", name);
  const late = !isStale && ageMs > maxAgeMs;
  put("age", shown ? seconds(ageMs) : null);
  put("since", record && record.since_det_ms !== null ? `${seconds(record.since_det_ms + ageMs)} ago` : null);
  put("age-chip", shown ? seconds(ageMs) : "–");
  $("age").classList.toggle("late", late || isStale);
  $("age-chip").classList.toggle("late", late || isStale);
  const isValid = record && record.valid && !faulty && !late;
  put("valid", !record || !record.box || isStale ? "" : isValid ? "valid" : "not valid");
  $("valid").classList.toggle("late", !isValid);
  $("stale").hidden = !isStale;
  if (isStale) {
    put("stale-text", shown ? `no data for ${seconds(ageMs)}` : "waiting for the first picture");
    put("stale-why", why());
  }
  $("fault").hidden = !faulty || !shown;
  if (faulty) put("fault", stats.reason || "not healthy");
  document.title = `${isStale && shown ? "NO DATA" : name} · dips-edge`;
}

function why() {
  const {link: kind} = document.body.dataset;
  if (kind === "ended") return "the run has ended; waiting for the next one";
  if (kind !== "live") return "no connection to the aircraft; trying again";
  if (stats && stats.source && stats.source.connected === false) return "the camera is not connected";
  return (stats && stats.reason) || "connected, but no new picture comes";
}

// ---- helpers

function put(id, text) {
  const shownText = text === null || text === undefined ? "–" : text;
  const element = $(id);
  if (element.textContent !== shownText) element.textContent = shownText;
}

function tag(name, kind, ...content) {
  const element = document.createElement(name);
  element.className = kind;
  element.append(...content);
  return element;
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : clock(ms / 1000);
}

function clock(s) {
  const whole = Math.max(0, Math.floor(s));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function recall(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function toggleHeat() {
  heatWanted = !heatWanted;
  try { localStorage.setItem("heat", heatWanted ? "1" : "0"); } catch { /* private window: not remembered */ }
  $("heat").setAttribute("aria-pressed", String(heatWanted));
  draw();
}

$("heat").setAttribute("aria-pressed", String(heatWanted));
$("heat").addEventListener("click", toggleHeat);
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "h" && !event.metaKey && !event.ctrlKey && !event.altKey) toggleHeat();
});
window.addEventListener("resize", () => { draw(); chart(); });
setInterval(() => {
  tick();
  if (socket && performance.now() - answeredAt > SILENT_MS) { // half-open: nothing will ever tell us
    const silent = socket;
    socket = null;
    silent.onclose = null;
    silent.close();
    link("connecting", "reconnecting");
    connect();
  }
}, 100);
connect();
