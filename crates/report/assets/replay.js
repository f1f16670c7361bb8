"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const frames = data.frames;
  const times = frames.map((f) => f.t);
  const t0 = times[0] ?? 0, t1 = times[times.length - 1] ?? 0;
  const pictures = data.pictures.map((src) => { const p = new Image(); p.src = src; return p; });
  const state = { i: 0, t: t0, playing: false, scale: 0, headingUp: true };
  const css = () => getComputedStyle(document.documentElement);
  let ink = {};
  const readInk = () => {
    const s = css();
    for (const name of ["ground", "road", "walk", "paint", "kerb", "building", "route", "plan", "ego", "trail", "card", "ink", "soft", "line", "grid",
      "good", "bad", "warn", "accent", "c0", "c1", "c2", "c4", "c6"]) ink[name] = s.getPropertyValue("--" + name).trim();
  };

  const facts = [data.town, `seed ${data.seed}`, `route ${data.scores[0].toFixed(1)} %`, `penalty ${data.scores[1].toFixed(2)}`,
    `score ${data.scores[2].toFixed(1)}`, `${(t1 - t0).toFixed(1)} s`];
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  const failed = data.status.startsWith("Failed"), clean = !data.events.some((e) => e.kind === "infraction");
  $("status").textContent = data.status || "unfinished";
  $("status").classList.add(failed ? "bad" : clean ? "good" : "warn");

  // A canvas at the screen's own resolution, in CSS pixels.
  const fit = (canvas) => {
    const r = canvas.getBoundingClientRect(), k = devicePixelRatio || 1;
    const w = Math.max(1, Math.round(r.width * k)), h = Math.max(1, Math.round(r.height * k));
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const g = canvas.getContext("2d");
    g.setTransform(k, 0, 0, k, 0, 0);
    return [g, r.width, r.height];
  };

  const frameAt = (t) => {
    let low = 0, high = times.length - 1;
    while (low < high) { const mid = (low + high + 1) >> 1; if (times[mid] <= t + 1e-6) low = mid; else high = mid - 1; }
    return low;
  };

  const drawCameras = (f) => {
    const canvas = $("cams");
    const [w0, h0] = data.mosaic;
    if (!w0 || !h0) { canvas.style.aspectRatio = "3 / 1"; } else canvas.style.aspectRatio = `${w0} / ${h0}`;
    const [g, w, h] = fit(canvas);
    g.fillStyle = "#000"; g.fillRect(0, 0, w, h);
    g.font = "11px system-ui, sans-serif";
    const picture = f.i === undefined ? null : pictures[f.i];
    if (!picture) { g.fillStyle = "#888"; g.fillText("no camera pictures in this replay", 12, 20); return; }
    if (!picture.complete) { picture.onload = draw; return; }
    g.imageSmoothingQuality = "high";
    g.drawImage(picture, 0, 0, w, h);
    const columns = Math.min(3, Math.max(1, data.cameras.length)), rows = Math.ceil(data.cameras.length / columns);
    data.cameras.forEach((name, n) => {
      const place = data.places[n], x = (place % columns) * w / columns, y = Math.floor(place / columns) * h / rows;
      const label = name.replace(/^CAM_/, "").replace(/_/g, " ").toLowerCase();
      const width = g.measureText(label).width;
      g.fillStyle = "rgba(0,0,0,.55)"; g.fillRect(x + 5, y + 5, width + 10, 17);
      g.fillStyle = "#fff"; g.fillText(label, x + 10, y + 17);
      g.strokeStyle = "rgba(0,0,0,.6)"; g.strokeRect(x, y, w / columns, h / rows);
    });
  };

  // The map is drawn once per view change into paths; the view is a transform.
  const outline = (points, closed) => {
    const path = new Path2D();
    for (let k = 0; k + 1 < points.length; k += 2) path[k ? "lineTo" : "moveTo"](points[k], points[k + 1]);
    if (closed) path.closePath();
    return path;
  };
  const closedKinds = new Set(["surface", "sidewalk", "crossing", "building"]);
  const strokes = data.map.map(([kind, points]) => [kind, outline(points, closedKinds.has(kind))]);
  const routePath = outline(data.path, false);
  const order = ["sidewalk", "surface", "building", "crossing", "boundary", "solid", "broken", "stop"];
  const vehicles = new Set([0, 1, 2, 3, 4]), people = new Set([6, 7, 8]);

  const box = (g, x, y, yaw, l, w) => { g.save(); g.translate(x, y); g.rotate(yaw); g.beginPath(); g.roundRect(-l / 2, -w / 2, l, w, Math.min(l, w) * 0.2); g.restore(); };

  const drawBev = (f) => {
    const canvas = $("bev");
    const [g, w, h] = fit(canvas);
    g.fillStyle = ink.ground; g.fillRect(0, 0, w, h);
    const scale = state.scale || Math.min(w, h) / 62;
    const [ex, ey, yaw] = f.e;
    g.save();
    g.translate(w / 2, h * (state.headingUp ? 0.66 : 0.5));
    g.scale(scale, -scale);
    if (state.headingUp) g.rotate(Math.PI / 2 - yaw);
    g.translate(-ex, -ey);
    for (const kind of order) for (const [k, path] of strokes) {
      if (k !== kind) continue;
      g.setLineDash([]);
      if (k === "surface") { g.fillStyle = ink.road; g.fill(path); g.strokeStyle = ink.road; g.lineWidth = 0.25; g.stroke(path); }
      else if (k === "sidewalk") { g.fillStyle = ink.walk; g.fill(path); }
      else if (k === "building") { g.fillStyle = ink.building; g.fill(path); }
      else if (k === "crossing") { g.fillStyle = ink.paint; g.globalAlpha = 0.35; g.fill(path); g.globalAlpha = 1; }
      else {
        g.strokeStyle = k === "boundary" ? ink.kerb : ink.paint;
        g.lineWidth = k === "stop" ? 0.5 : k === "boundary" ? 0.2 : 0.15;
        if (k === "broken") g.setLineDash([3, 4.5]);
        g.stroke(path);
      }
    }
    g.setLineDash([]); g.lineCap = "round"; g.lineJoin = "round";
    g.strokeStyle = ink.route; g.lineWidth = 2.2; g.stroke(routePath);
    g.strokeStyle = ink.trail; g.lineWidth = 0.35; g.beginPath();
    for (let k = Math.max(0, state.i - 200); k <= state.i; k++) g[k === Math.max(0, state.i - 200) ? "moveTo" : "lineTo"](frames[k].e[0], frames[k].e[1]);
    g.stroke();
    for (const [x, y, color] of f.l) {
      g.fillStyle = ["#777", "#21b35a", "#f0b429", "#e5383b"][color];
      g.beginPath(); g.arc(x, y, 0.85, 0, 7); g.fill(); g.strokeStyle = "rgba(0,0,0,.55)"; g.lineWidth = 0.15; g.stroke();
    }
    for (const [, cls, x, y, a, l, wd, , flags] of f.a) {
      if (!vehicles.has(cls)) { g.fillStyle = people.has(cls) ? ink.c4 : ink.c6; g.globalAlpha = 0.28; g.beginPath(); g.arc(x, y, 1.1, 0, 7); g.fill(); g.globalAlpha = 1; }
      box(g, x, y, a, Math.max(l, 0.7), Math.max(wd, 0.7));
      g.fillStyle = vehicles.has(cls) ? ink.c1 : people.has(cls) ? ink.c4 : ink.c6;
      g.fill();
      g.lineWidth = flags & 2 ? 0.3 : 0.12; g.strokeStyle = flags & 2 ? ink.ink : "rgba(0,0,0,.5)"; g.stroke();
      g.save(); g.translate(x, y); g.rotate(a);
      if (vehicles.has(cls)) { g.fillStyle = "rgba(0,0,0,.35)"; g.fillRect(l * 0.14, -wd * 0.38, l * 0.16, wd * 0.76); }
      if (flags & 1) { g.fillStyle = "#ff2222"; g.fillRect(-l / 2 - 0.12, -wd / 2, 0.35, wd); }
      g.restore();
    }
    const [el, ew, ahead] = data.ego;
    box(g, ex + Math.cos(yaw) * ahead, ey + Math.sin(yaw) * ahead, yaw, el, ew);
    g.fillStyle = ink.ego; g.fill(); g.lineWidth = 0.15; g.strokeStyle = "rgba(0,0,0,.6)"; g.stroke();
    if (f.p) {
      g.strokeStyle = ink.plan; g.lineWidth = 0.5; g.stroke(outline(f.p, false));
      g.fillStyle = ink.plan;
      for (let k = 2; k + 1 < f.p.length; k += 2) { g.beginPath(); g.arc(f.p[k], f.p[k + 1], 0.5, 0, 7); g.fill(); }
    }
    for (const e of data.events) if (e.at && e.kind === "infraction" && e.t <= f.t + 1e-6) {
      g.strokeStyle = ink.bad; g.lineWidth = 0.4;
      g.beginPath(); g.moveTo(e.at[0] - 1, e.at[1] - 1); g.lineTo(e.at[0] + 1, e.at[1] + 1); g.moveTo(e.at[0] - 1, e.at[1] + 1); g.lineTo(e.at[0] + 1, e.at[1] - 1); g.stroke();
    }
    g.restore();
    const bar = [50, 20, 10, 5].find((m) => m * scale < w / 4) || 2;
    g.strokeStyle = ink.soft; g.fillStyle = ink.soft; g.lineWidth = 1.5; g.font = "11px system-ui, sans-serif"; g.textAlign = "right";
    g.beginPath(); g.moveTo(w - 14 - bar * scale, 18); g.lineTo(w - 14, 18); g.stroke(); g.fillText(`${bar} m`, w - 14, 33); g.textAlign = "left";
  };

  // Strips: speed, steer, throttle and brake over time, infractions as marks above, the moment as a line.
  const LEFT = 66, RIGHT = 22, TOP = 16, BOTTOM = 18;
  const xOf = (t, w) => LEFT + (t - t0) / Math.max(1e-9, t1 - t0) * (w - LEFT - RIGHT);
  const strips = [
    { name: "speed", unit: "m/s", part: 0.42, lines: [[(f) => f.v, "c0"]], low: 0, high: Math.max(5, ...frames.map((f) => f.v)) * 1.05 },
    { name: "steer", unit: "left + / right −", part: 0.27, lines: [[(f) => -f.c[1], "c2"]], low: -1, high: 1, zero: true },
    { name: "pedals", unit: "", part: 0.31, lines: [[(f) => f.c[0], "good"], [(f) => f.c[2], "bad"]], low: 0, high: 1 },
  ];
  const drawStrips = () => {
    const canvas = $("strips");
    const [g, w, h] = fit(canvas);
    g.clearRect(0, 0, w, h);
    g.font = "11px system-ui, sans-serif";
    const all = h - TOP - BOTTOM;
    let y = TOP;
    for (const s of strips) {
      const hh = all * s.part - 6, yOf = (v) => y + hh - (v - s.low) / (s.high - s.low) * hh;
      g.fillStyle = ink.soft; g.textAlign = "right";
      g.fillText(s.name, LEFT - 8, y + 10);
      if (s.name === "speed") g.fillText(`${s.high.toFixed(0)} m/s`, LEFT - 8, y + 24);
      g.strokeStyle = ink.grid; g.lineWidth = 1;
      for (const v of s.zero ? [0] : [s.low, s.high]) { g.beginPath(); g.moveTo(LEFT, yOf(v)); g.lineTo(w - RIGHT, yOf(v)); g.stroke(); }
      for (const [value, color] of s.lines) {
        g.strokeStyle = ink[color]; g.lineWidth = 1.6; g.beginPath();
        const stride = Math.max(1, Math.floor(frames.length / (w * 2)));
        for (let k = 0; k < frames.length; k += stride) g[k ? "lineTo" : "moveTo"](xOf(times[k], w), yOf(value(frames[k])));
        g.stroke();
      }
      if (s.name === "pedals") {
        g.fillStyle = ink.good; g.fillText("throttle", LEFT - 8, y + 24);
        g.fillStyle = ink.bad; g.fillText("brake", LEFT - 8, y + 38);
      }
      y += all * s.part;
    }
    g.fillStyle = ink.soft; g.textAlign = "center";
    const step = [1, 2, 5, 10, 20, 30, 60].find((m) => (t1 - t0) / m <= Math.max(2, w / 90)) || 60;
    for (let t = Math.ceil(t0 / step) * step; t <= t1 + 1e-9; t += step) {
      g.fillText(`${t} s`, xOf(t, w), h - 4);
      g.strokeStyle = ink.grid; g.beginPath(); g.moveTo(xOf(t, w), TOP); g.lineTo(xOf(t, w), h - BOTTOM); g.stroke();
    }
    for (const e of data.events) {
      const x = xOf(e.t, w);
      if (e.kind === "note") { g.fillStyle = ink.soft; g.globalAlpha = 0.6; g.fillRect(x - 0.75, 5, 1.5, 7); g.globalAlpha = 1; continue; }
      g.fillStyle = e.kind === "infraction" ? ink.bad : ink.warn;
      g.globalAlpha = 0.35; g.fillRect(x - 0.5, TOP, 1, all); g.globalAlpha = 1;
      g.beginPath(); g.moveTo(x - 5, 2); g.lineTo(x + 5, 2); g.lineTo(x, 12); g.closePath(); g.fill();
    }
    const x = xOf(state.t, w);
    g.strokeStyle = ink.accent; g.lineWidth = 2; g.beginPath(); g.moveTo(x, 2); g.lineTo(x, h - BOTTOM); g.stroke();
    g.fillStyle = ink.accent; g.beginPath(); g.arc(x, h - BOTTOM, 4, 0, 7); g.fill();
    g.textAlign = "left";
    canvas.setAttribute("aria-valuenow", state.t.toFixed(2));
    canvas.setAttribute("aria-valuemin", t0); canvas.setAttribute("aria-valuemax", t1);
  };

  const draw = () => {
    const f = frames[state.i];
    if (!f) return;
    drawCameras(f); drawBev(f); drawStrips();
    $("speed").textContent = f.v.toFixed(1);
    $("command").textContent = data.commands[f.m] || "";
    $("clock").textContent = `${state.t.toFixed(2)} / ${t1.toFixed(2)} s`;
    $("note").textContent = f.n || "";
  };
  const seek = (t) => { state.t = Math.min(t1, Math.max(t0, t)); state.i = frameAt(state.t); draw(); };
  const step = (by) => { const i = Math.min(frames.length - 1, Math.max(0, state.i + by)); seek(times[i] ?? t0); };

  let last = 0;
  const tick = (now) => {
    if (!state.playing) return;
    seek(state.t + (now - last) / 1000 * Number($("rate").value));
    last = now;
    if (state.t >= t1) return pause();
    requestAnimationFrame(tick);
  };
  const pause = () => { state.playing = false; $("play").textContent = "▶"; };
  const play = () => { if (state.t >= t1) seek(t0); state.playing = true; $("play").textContent = "❚❚"; last = performance.now(); requestAnimationFrame(tick); };
  const toggle = () => (state.playing ? pause() : play());
  $("play").onclick = toggle;
  $("back").onclick = () => { pause(); step(-1); };
  $("next").onclick = () => { pause(); step(1); };
  const turn = () => { state.headingUp = !state.headingUp; $("turn").textContent = state.headingUp ? "heading up" : "north up"; draw(); };
  $("turn").onclick = turn;
  const scrub = (event) => {
    const r = $("strips").getBoundingClientRect();
    seek(t0 + (event.clientX - r.left - LEFT) / Math.max(1, r.width - LEFT - RIGHT) * (t1 - t0));
  };
  $("strips").onpointerdown = (event) => { pause(); event.target.setPointerCapture(event.pointerId); scrub(event); };
  $("strips").onpointermove = (event) => { if (event.buttons) scrub(event); };
  $("bev").addEventListener("wheel", (event) => {
    event.preventDefault();
    const r = $("bev").getBoundingClientRect();
    state.scale = Math.min(40, Math.max(1.5, (state.scale || Math.min(r.width, r.height) / 62) * Math.exp(-event.deltaY * 0.0012)));
    draw();
  }, { passive: false });
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "SELECT") return;
    const act = { " ": toggle, ArrowLeft: () => { pause(); step(event.shiftKey ? -10 : -1); }, ArrowRight: () => { pause(); step(event.shiftKey ? 10 : 1); },
      Home: () => seek(t0), End: () => seek(t1), n: turn, N: turn }[event.key];
    if (act && !(event.key === " " && event.target.tagName === "BUTTON")) { event.preventDefault(); act(); }
  });
  // Remarks are many and minor: they come after the rest, folded away.
  const remarks = document.createElement("details"), summary = document.createElement("summary"), list = document.createElement("ol");
  const minor = data.events.filter((e) => e.kind === "note").length;
  summary.textContent = minor === 1 ? "1 remark" : `${minor} remarks`;
  remarks.append(summary, list);
  for (const e of data.events) {
    const item = document.createElement("li"), time = document.createElement("time"), text = document.createElement("span");
    time.textContent = `${e.t.toFixed(2)} s`; text.textContent = e.text; text.className = e.kind;
    item.append(time, text); item.onclick = () => { pause(); seek(e.t); };
    (e.kind === "note" ? list : $("events")).append(item);
  }
  if (minor) $("events").after(remarks);
  if (!frames.some((f) => f.n)) $("note").style.display = "none";
  const refresh = () => { readInk(); draw(); };
  document.addEventListener("themechange", refresh);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  new ResizeObserver(draw).observe($("bev"));
  addEventListener("resize", draw);
  // #t=12.5 opens at that second.
  const asked = /[#&]t=([\d.]+)/.exec(location.hash);
  readInk();
  seek(asked ? Number(asked[1]) : t0);
})();
